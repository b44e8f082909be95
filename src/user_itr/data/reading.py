"""Reading image files of anybody: whole, once, and nothing that has no end."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from user_itr.errors import DataError

MAX_BYTES = 1 << 30
"""Larger files are refused before they are read."""

IRREGULAR = "is no regular file; give an image file."
"""What is said of pipes, devices and folders."""


def read_file(path: Path) -> tuple[bytes, os.stat_result]:
    """The bytes of a file, and its status just before they were read.

    Raises:
        DataError: if it is a device, a pipe or the like, is empty, or has more than `MAX_BYTES`.
        OSError: if it cannot be read.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"{path}: {IRREGULAR}")
            require_size(path, status.st_size)
            content = file.read(MAX_BYTES)
    except IsADirectoryError:
        raise DataError(f"{path}: {IRREGULAR}") from None
    except ValueError as error:  # a zero in the name
        raise DataError(f"{path!r}: is not the path of a file ({error}); check the path.") from None
    if not content:
        raise DataError(f"{path}: is empty; replace or remove the file.")
    return content, status


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
