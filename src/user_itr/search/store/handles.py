"""An SQLite file read beside SQLite itself.

The first file that a process closes takes away all locks that it has on this file, those of SQLite
too (POSIX; https://sqlite.org/howtocorrupt.html, 2.2). So a file that was opened stays open for as
long as anybody in this process has a connection to it.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import BinaryIO

Key = tuple[int, int]
"""Device and inode of a file."""

_guard = threading.RLock()  # who holds it may collect a store, whose end calls `let_go`
_users: dict[Key, int] = {}
_opened: dict[Key, BinaryIO] = {}


def hold(file: Path) -> Key:
    """Say that there is a connection to a file, until `let_go` is called with the answer."""
    status = file.stat()
    key = status.st_dev, status.st_ino
    with _guard:
        _users[key] = _users.get(key, 0) + 1
    return key


def let_go(key: Key) -> None:
    """Say that a connection has ended."""
    with _guard:
        _users[key] -= 1
        if not _users[key]:
            del _users[key]
            opened = _opened.pop(key, None)
            if opened is not None:
                opened.close()


def reading(file: Path, key: Key) -> BinaryIO:
    """The file that is held by `key`, to be read under the index's lock and not to be closed."""
    with _guard:
        if key not in _opened:
            _opened[key] = file.open("rb")
        return _opened[key]
