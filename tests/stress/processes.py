"""What Linux tells of processes: memory, children, open files, threads."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")


def field(pid: int, name: str) -> int:
    """A number of /proc/PID/status."""
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise KeyError(name)


def resident(pid: int) -> float:
    """MiB of memory that a process holds."""
    return field(pid, "VmRSS") / 1024


def descendants(pid: int) -> set[int]:
    """The processes that a process started, and those that these started."""
    parents = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = field(int(entry.name), "PPid")
            except (OSError, KeyError):
                continue  # it ended meanwhile
    found: set[int] = set()
    below = {pid}
    while below:
        below = {child for child, parent in parents.items() if parent in below} - found
        found |= below
    return found


def still_there(pids: Iterable[int], seconds: float = 10.0) -> set[int]:
    """Those of some processes that do not end within so many seconds; zombies have ended."""
    left = set(pids)
    deadline = time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        left = {pid for pid in left if _runs(pid)}
        time.sleep(0.02)
    return left


def _runs(pid: int) -> bool:
    try:
        return (PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def open_files(pid: int) -> list[str]:
    """What the file descriptors of a process lead to, sorted."""
    names = []
    for entry in (PROC / str(pid) / "fd").iterdir():
        try:
            names.append(str(entry.readlink()))
        except OSError:
            continue  # the one that lists
    return sorted(names)
