"""What tells that a file was left alone since it was read, without reading it again."""

from __future__ import annotations

import functools
import os
import sys
from contextlib import suppress
from pathlib import Path

from user_itr.search.store.base import FileState

RACY_NS = 2_000_000_000
"""A file that was changed so shortly before it was read may be changed again at the same time stamp:
clocks of file systems tick in up to 2 s (FAT)."""

NEVER_EQUAL = -1
"""A `ctime_ns` that no file has: the next run reads the file again."""

_LAST = 2**63 - 1
_MOUNTS = Path("/proc/self/mountinfo")
_NUMBERS_CHANGE = ("exfat", "vfat", "msdos", "9p", "fuse", "vboxsf", "prl_fs", "vmhgfs", "afs")
"""Types of file systems, by their beginning, that may number a file anew at each mount."""


def state_of(status: os.stat_result) -> FileState:
    """The state in a file's status; times and numbers are kept within 63 bits."""
    inode = status.st_ino & _LAST if numbers_are_stable(status.st_dev) else 0
    return FileState(
        status.st_size, within(status.st_mtime_ns), within(status.st_ctime_ns), inode
    )


def within(time_ns: int) -> int:
    """A time as near as 64 bits come to it: file systems hold the year 2300."""
    return time_ns if -_LAST < time_ns < _LAST else max(-_LAST, min(time_ns, _LAST))


def settled(state: FileState, now_ns: int) -> FileState:
    """The state to keep of a file that was read at `now_ns`; never equal where that is too fresh.

    As git's index does with "racily clean" entries.
    """
    fresh = abs(now_ns - state.mtime_ns) < RACY_NS or state.ctime_ns > now_ns - RACY_NS
    return FileState(state.size, state.mtime_ns, NEVER_EQUAL, state.inode) if fresh else state


def same(stored: FileState, found: FileState) -> bool:
    """Whether a file was left alone, by all that both states know."""
    return (
        stored.mtime_ns == found.mtime_ns
        and stored.size == found.size
        and (stored.ctime_ns == found.ctime_ns or not stored.ctime_ns or not found.ctime_ns)
        and (stored.inode == found.inode or not stored.inode or not found.inode)
    )


def knows_more(found: FileState, stored: FileState) -> bool:
    """Whether `found` has a time or a number that `stored`, of an older format, lacks."""
    return bool((found.ctime_ns and not stored.ctime_ns) or (found.inode and not stored.inode))


@functools.lru_cache(maxsize=256)
def numbers_are_stable(device: int) -> bool:
    """Whether files of a device keep their inode numbers; taken for granted outside Linux."""
    if sys.platform != "linux":
        return True
    with suppress(OSError, ValueError):
        for line in _MOUNTS.read_text("utf-8", "replace").splitlines():
            mount, _, system = line.partition(" - ")
            major, minor = mount.split()[2].split(":")
            if os.makedev(int(major), int(minor)) == device:
                return _stable(*system.split(maxsplit=2))
    return True


def _stable(kind: str, _source: str, options: str = "") -> bool:
    if kind in ("cifs", "smb3"):
        return "serverino" in options.split(",")
    return not kind.startswith(_NUMBERS_CHANGE) or kind == "fuseblk"  # NTFS has numbers of its own
