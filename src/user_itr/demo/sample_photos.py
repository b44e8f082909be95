"""Photographs that come with the package, so that a demo needs no network."""

from __future__ import annotations

import shutil
from pathlib import Path

PHOTOS = Path(__file__).parent / "photos"
"""`NOTICE.md` there says whose they are."""


def copy_sample_photos(folder: Path) -> list[Path]:
    """Copy the photographs into a folder; those there already are kept.

    Returns:
        The copies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    photos = sorted(PHOTOS.glob("*.jpg"))
    for path in photos:
        if not (folder / path.name).exists():
            shutil.copyfile(path, folder / path.name)
    return [folder / path.name for path in photos]
