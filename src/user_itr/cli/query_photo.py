"""The photo that a person asks with: a file by any form of its name, or standard input."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import overload

from user_itr.errors import DataError

STANDARD_INPUT = Path("-")


@overload
@contextmanager
def query_photo(given: Path) -> Iterator[Path]: ...


@overload
@contextmanager
def query_photo(given: Path | None) -> Iterator[Path | None]: ...


@contextmanager
def query_photo(given: Path | None) -> Iterator[Path | None]:
    """The file of a photo, for the block; None where none is given.

    Raises:
        DataError: if there is no such file, or standard input has no picture.
    """
    if given is None:
        yield None
    elif given == STANDARD_INPUT:
        with tempfile.TemporaryDirectory(prefix="user-itr-") as folder:
            file = Path(folder, "picture")
            file.write_bytes(_standard_input())
            try:
                yield file
            except DataError as error:
                raise DataError(str(error).replace(str(file), "standard input")) from None
    else:
        yield find_photo(given)


def find_photo(given: Path) -> Path:
    """The file of a photo, as it is called on the disk; standard input stays what it is.

    Raises:
        DataError: if there is no such file; the message names the nearest one.
    """
    from user_itr.search.names import as_on_disk, nearest

    file = as_on_disk(given)
    if given == STANDARD_INPUT or file.is_file():
        return file
    folder = as_on_disk(given.parent)
    close = nearest(given, folder.iterdir() if folder.is_dir() else [])
    remedy = "check the path" if close in (None, file) else f"the nearest name there is {close}"
    raise DataError(f"{given}: no such image file, so it cannot be read; {remedy}.")


def _standard_input() -> bytes:
    from user_itr.data.reading import MAX_BYTES

    content = b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_BYTES + 1)
    if not content:
        raise DataError("standard input: is empty; send a picture there.")
    if len(content) > MAX_BYTES:
        raise DataError(
            f"standard input: over the limit of {MAX_BYTES:,} bytes; scale the image down first."
        )
    return content
