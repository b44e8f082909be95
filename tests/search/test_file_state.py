from __future__ import annotations

import os
from pathlib import Path

import pytest

from user_itr.search import file_state as module
from user_itr.search.file_state import (
    NEVER_EQUAL,
    RACY_NS,
    numbers_are_stable,
    same,
    same_file,
    settled,
    state_of,
)
from user_itr.search.store.base import FileState

STATE = FileState(5, 1_000, 2_000, 7)
NOW = 10 * RACY_NS


def test_a_state_tells_renames_and_overwrites_with_the_same_time(tmp_path: Path) -> None:
    one, two = tmp_path / "a", tmp_path / "b"
    for path in (one, two):
        path.write_bytes(b"12345")
        os.utime(path, ns=(1, 10**18))
    first, second = state_of(one.stat()), state_of(two.stat())
    assert (first.size, first.mtime_ns) == (5, 10**18)
    assert same(first, first)
    assert not same(first, second), "another file of the same size and time"
    two.replace(one)
    assert not same(first, state_of(one.stat()))


@pytest.mark.parametrize(
    ("found", "equal"),
    [
        (STATE, True),
        (STATE._replace(size=6), False),
        (STATE._replace(mtime_ns=1_001), False),
        (STATE._replace(ctime_ns=2_001), False),
        (STATE._replace(ctime_ns=NEVER_EQUAL), False),
        (STATE._replace(inode=8), False),
        (STATE._replace(inode=0), True),
    ],
)
def test_what_is_the_same(found: FileState, equal: bool) -> None:
    assert same(STATE, found) is same(found, STATE) is equal


def test_a_file_read_just_after_its_change_is_read_again() -> None:
    old = FileState(5, NOW - RACY_NS, NOW - RACY_NS, 7)
    assert settled(old, NOW) == old
    for fresh in (
        old._replace(mtime_ns=NOW - RACY_NS + 1),
        old._replace(ctime_ns=NOW - RACY_NS + 1),
        old._replace(mtime_ns=NOW + 1),
    ):
        assert settled(fresh, NOW) == fresh._replace(ctime_ns=NEVER_EQUAL)
    ahead = old._replace(mtime_ns=NOW + 10**18)  # a camera of the year 2058
    assert settled(ahead, NOW) == ahead


def test_only_a_file_that_nobody_copied_is_the_same_one() -> None:
    assert same_file(STATE, STATE)
    assert same_file(STATE._replace(ctime_ns=NEVER_EQUAL), STATE)
    assert not same_file(STATE, STATE._replace(ctime_ns=2_001)), "a copy on a disk filled alike"
    assert not same_file(STATE._replace(inode=0), STATE._replace(inode=0))


def test_times_beyond_64_bits(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    for seconds in (2**34, -(2**31)):
        os.utime(path, (seconds, seconds))
        state = state_of(path.stat())
        assert same(state, state_of(path.stat()))
        assert abs(state.mtime_ns) < 2**63


MOUNTS = """\
24 1 254:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 24 0:44 / /mnt/stick rw - exfat /dev/sdb1 rw
31 24 0:45 / /mnt/phone rw,nosuid - fuse.simple-mtpfs mtp rw
32 24 0:46 / /mnt/ntfs rw - fuseblk /dev/sdc1 rw
33 24 0:47 / /mnt/nas rw - cifs //nas/photos rw,vers=3.1.1,serverino,soft
34 24 0:48 / /mnt/old rw - cifs //old/photos rw,vers=1.0,noserverino
"""


def test_numbers_of_some_file_systems_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    monkeypatch.setattr(module, "_MOUNTS", tmp_path / "mountinfo")
    monkeypatch.setattr(module.sys, "platform", "linux")
    numbers_are_stable.cache_clear()
    devices = [os.makedev(254, 1), *(os.makedev(0, minor) for minor in range(44, 50))]
    assert [numbers_are_stable(device) for device in devices] == [
        *(True, False, False, True, True, False),
        True,  # unknown, as a subvolume of btrfs
    ]
    numbers_are_stable.cache_clear()
