"""Folders and files of an ablation, and sentences where they cannot be made."""

from __future__ import annotations

from pathlib import Path

from user_itr import files
from user_itr.errors import ConfigError


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to `path` whole, or leave the file there before.

    Raises:
        ConfigError: if it cannot be written.
    """
    try:
        files.replace_file(path, content)
    except OSError as error:
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
