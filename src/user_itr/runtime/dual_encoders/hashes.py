"""SHA-256 of large files, each computed once: a search does not read a gigabyte to identify it.

A hash is remembered in the user's cache folder, and holds while the file has the same size, time of
change and inode.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import platformdirs

from user_itr.errors import CheckpointError
from user_itr.files import hash_files, parse_json, replace_file

SETTLED_NS = 2_000_000_000
"""Age that a file must have for its hash to be remembered: a later change could else keep its time,
where the file system counts in seconds."""


def cache_folder() -> Path:
    """Where what can be made again is kept."""
    return platformdirs.user_cache_path("user-itr", appauthor=False)


def file_hash(file: Path) -> str:
    """SHA-256 of a file, 64 hex digits.

    Raises:
        CheckpointError: if it cannot be read.
    """
    file = file.resolve()
    try:
        state = _state(file)
        note = cache_folder() / "hashes" / f"{hashlib.sha256(bytes(file)).hexdigest()}.json"
        known = _remembered(note)
        if known is not None and known[0] == state:
            return known[1]
        found = hash_files([file])
        if time.time_ns() - state[1] > SETTLED_NS and _state(file) == state:
            with suppress(OSError):  # a full or read-only disk: it is computed again
                note.parent.mkdir(parents=True, exist_ok=True)
                replace_file(note, json.dumps([state, found]).encode())
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror}).") from None
    return found


def combined_hash(files: Iterable[Path]) -> str:
    """SHA-256 of several files, their order and contents; their names do not count.

    Raises:
        CheckpointError: if one cannot be read.
    """
    return hashlib.sha256("".join(map(file_hash, files)).encode()).hexdigest()


def _state(file: Path) -> list[int]:
    seen = file.stat()
    return [seen.st_size, seen.st_mtime_ns, seen.st_ino]


def _remembered(note: Path) -> tuple[list[int], str] | None:
    try:
        state, found = parse_json(note.read_bytes())
    except (OSError, ValueError, TypeError):
        return None
    return (state, found) if isinstance(found, str) and len(found) == 64 else None
