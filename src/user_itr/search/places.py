"""Folders and photos that a person names, found on the disk as they are spelled there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from user_itr.errors import DataError
from user_itr.search.names import as_on_disk
from user_itr.search.walk import walk


def absolute(path: str | Path) -> Path:
    """A path that a person gave: absolute, without links, `~` and Unicode forms as on the disk.

    Raises:
        DataError: if the path is invalid.
    """
    try:
        return as_on_disk(Path(path)).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL
        raise DataError(f"{str(path)!r} is no path ({error}).") from None


def outermost_with_images(folders: Iterable[Path], allow_empty: bool) -> list[Path]:
    """The folders to go through so that all of `folders` are, none inside another, sorted.

    Folders that are missing or hold no images are left out with `allow_empty`.

    Raises:
        DataError: if there is one and `allow_empty` is false.
    """
    wanted = {absolute(folder) for folder in folders}
    found = []
    for folder in sorted(wanted):
        if not wanted.isdisjoint(folder.parents):
            continue
        if folder.is_file() or walk(str(folder)).files:
            found.append(folder)
        elif not allow_empty:
            raise DataError(
                f"{folder}: is missing or holds no images; mount the disk it is on, or let its "
                "photos leave the index with --allow-empty (allow_empty=True)."
            )
    return found
