"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to `path`; the file there before stays until the new one is on the disk.

    Raises:
        OSError: if it cannot be written; nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:  # Ctrl-C too
        with suppress(OSError):
            partial.unlink()
        raise
    sync_names(path.parent)


def sync_names(folder: Path) -> None:
    """Bring to the disk which files a folder holds: what was made, renamed or removed in it.

    Raises:
        OSError: if the disk fails.
    """
    if os.name == "nt":  # Windows opens no folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_files(folder: Path) -> None:
    """Bring the files that lie in a folder to the disk, and their names.

    Raises:
        OSError: if the disk is full or fails.
    """
    for file in folder.iterdir():
        with file.open("rb+") as handle:
            os.fsync(handle.fileno())
    sync_names(folder)
