"""Reading image files of anybody: whole, once, and nothing that has no end."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from user_itr.errors import DataError

MAX_BYTES = 1 << 30
"""Larger files are refused before they are read."""

IRREGULAR = "is no regular file; give an image file."
"""What is said of pipes, devices and folders."""


class OutsideError(DataError):
    """A path leads out of the folder that it has to stay in."""


def read_file(path: Path) -> tuple[bytes, os.stat_result]:
    """The bytes of a file, and its status just before they were read.

    Raises:
        DataError: if it is a device, a pipe or the like, is empty, or has more than `MAX_BYTES`.
        OSError: if it cannot be read.
    """
    with open_file(path) as file:
        status = os.fstat(file.fileno())
        require_size(path, status.st_size)
        content = file.read(MAX_BYTES)
    if not content:
        raise DataError(f"{path}: is empty; replace or remove the file.")
    return content, status


def open_file(path: Path) -> BinaryIO:
    """Open a regular file to read it. What is checked is what was opened, whatever its name is now.

    Raises:
        DataError: if it is a device, a pipe, a folder or the like.
        OSError: if it cannot be opened.
    """
    try:
        return _regular(path, open(path, "rb", opener=_without_waiting))
    except IsADirectoryError:
        raise DataError(f"{path}: {IRREGULAR}") from None
    except ValueError as error:  # a zero in the name
        raise DataError(f"{path!r}: is not the path of a file ({error}); check the path.") from None


def open_within(path: Path, folder: Path) -> BinaryIO:
    """Open a regular file of a folder, whatever others do to its names meanwhile.

    Links are resolved as long as they stay in the folder. Then each part of the path is opened
    from the one before, and no link is followed: a part that was replaced with one is refused.
    Where the system cannot do that (Windows), the file that was opened is compared with the one
    that the resolved path leads to.

    Args:
        path: of the file, in the folder.
        folder: may be a link itself.

    Raises:
        OutsideError: if the path leads out of the folder.
        DataError: if the file is a device, a pipe, a folder or the like.
        OSError: if it cannot be opened.
    """
    try:
        top = folder.resolve()
        target = path.resolve()
    except (RuntimeError, ValueError) as error:  # links in a circle; a zero in the name
        raise FileNotFoundError(str(error)) from None
    if not target.is_relative_to(top):
        raise OutsideError(f"{path.name}: is a link out of the folder {folder}.")
    *folders, name = target.relative_to(top).parts or (".",)
    if os.open not in os.supports_dir_fd or not hasattr(os, "O_NOFOLLOW"):
        file = open_file(target)
        if os.path.samestat(os.fstat(file.fileno()), os.lstat(target)) and path.resolve() == target:
            return file
        file.close()
        raise OutsideError(f"{path.name}: was replaced while it was opened.")
    here = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in folders:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return _regular(path, os.fdopen(os.open(name, flags, dir_fd=here), "rb"))
    except IsADirectoryError:
        raise DataError(f"{path}: {IRREGULAR}") from None
    finally:
        os.close(here)


def _regular(path: Path, file: BinaryIO) -> BinaryIO:
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise DataError(f"{path}: {IRREGULAR}")
    return file


def require_size(path: Path, size: int) -> None:
    """Refuse a file of more than `MAX_BYTES`.

    Raises:
        DataError: if it has more.
    """
    if size > MAX_BYTES:
        raise DataError(
            f"{path}: {size:,} bytes is over the limit of {MAX_BYTES:,}; scale the image down "
            "first."
        )


def _without_waiting(path: str, flags: int) -> int:
    """Open a pipe without waiting for somebody to write into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
