"""Folders, and files that are there whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from user_itr.errors import ConfigError


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to `path`; the file there before stays until the new one is whole.

    Raises:
        ConfigError: if it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror}); free some space, or give --out a "
            "folder you may write."
        ) from error


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        ConfigError: if it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be made ({error.strerror}); give --out a folder you may write."
        ) from error
