"""What tells that a file was left alone since it was read, without reading it again."""

from __future__ import annotations

import functools
import os
import sys
from contextlib import suppress
from pathlib import Path

from user_itr.search.store.base import LAST, FileState, fitting

RACY_NS = 2_000_000_000
"""A file that was changed so shortly before it was read may change again at the same time: the
clocks of file systems tick in up to 2 s (FAT)."""

NEVER_EQUAL = -1
"""A `ctime_ns` that no file has: the next run reads the file again."""

_MOUNTS = Path("/proc/self/mountinfo")
_NUMBERS_CHANGE = ("exfat", "vfat", "msdos", "9p", "fuse", "vboxsf", "prl_fs", "vmhgfs", "afs")
"""Types of file systems, by their beginning, that may number a file anew at each mount."""


def state_of(status: os.stat_result) -> FileState:
    """The state in a file's status; times and numbers are kept within 63 bits."""
    inode = status.st_ino & LAST if numbers_are_stable(status.st_dev) else 0
    return FileState(
        status.st_size, fitting(status.st_mtime_ns), fitting(status.st_ctime_ns), inode
    )


def settled(state: FileState, now_ns: int) -> FileState:
    """The state to keep of a file that was read at `now_ns`; never equal where that is too fresh.

    As git's index does with "racily clean" entries.
    """
    fresh = abs(now_ns - state.mtime_ns) < RACY_NS or state.ctime_ns > now_ns - RACY_NS
    return state._replace(ctime_ns=NEVER_EQUAL) if fresh else state


def same(stored: FileState, found: FileState) -> bool:
    """Whether a file was left alone; its number tells nothing where one of the two lacks it."""
    return stored == found or (stored[:3] == found[:3] and not (stored.inode and found.inode))


def same_file(stored: FileState, found: FileState) -> bool:
    """Whether it is surely one file that got another path, and no copy of it.

    A renamed folder changes nothing in the states of its files. A copy may have the time and, on a
    disk that was filled alike, the number; it has its own `ctime_ns`, which nobody can set.
    """
    return (
        0 != stored.inode == found.inode
        and stored.mtime_ns == found.mtime_ns
        and stored.ctime_ns in (found.ctime_ns, NEVER_EQUAL)
    )


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
