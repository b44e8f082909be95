"""Whether results can be written, asked before anything is measured."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from user_itr.errors import ConfigError, DataError


def check_outputs(files: Mapping[str, Path | None], folders: Mapping[str, Path | None]) -> None:
    """Make sure that every output can be written; nothing is made.

    Args:
        files: by their option; None where it was not given.
        folders: the same of outputs that are folders.

    Raises:
        ConfigError: if two outputs are one file.
        DataError: if one cannot be written.
    """
    seen: dict[Path, str] = {}
    for option, path in {**files, **folders}.items():
        if path is None:
            continue
        other = seen.setdefault(path.resolve(), option)
        if other != option:
            raise ConfigError(f"{path}: is given for {other} and for {option}; name two files.")
        if option in files and path.is_dir():
            raise DataError(f"{path}: cannot be written, it is a folder; name a file in it.")
        if option in folders and path.exists() and not path.is_dir():
            raise DataError(f"{path}: cannot be written, it is a file; name a folder.")
        place = path if path.exists() else path.parent
        while not place.exists() and place != place.parent:
            place = place.parent
        if not path.exists() and not place.is_dir():
            raise DataError(f"{path}: cannot be written, {place} is no folder; name another.")
        if not os.access(place, os.W_OK):
            raise DataError(
                f"{path}: cannot be written (Permission denied); name a file in a folder you may "
                "write."
            )
