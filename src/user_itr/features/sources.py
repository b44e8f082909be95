"""Which images to extract: a captioned set's, or those of a plain folder."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from user_itr.data.images import find_images
from user_itr.data.problems import Problem
from user_itr.data.readers import FORMATS, read_captions, splits
from user_itr.errors import DataError, FeatureError

CAPTION_SUFFIXES = frozenset({".csv", ".json", ".jsonl", ".npy", ".tsv", ".txt"})
"""A folder with such a file at its top is taken for a set that cannot be read, not for images."""


class SourceImages(NamedTuple):
    """The (id, file) pairs of a source, each id once, and what its reader had to leave out."""

    images: list[tuple[str, Path]]
    problems: list[Problem]


def find_source_images(
    source: Path, *, split: str = "all", format: str = "auto", images: Path | None = None
) -> SourceImages:
    """The images of a captioned set, or of a plain folder, in a fixed order.

    Args:
        source: a captioned set, or a folder of images.
        split: a split's name, or "all".
        format: "folder" for every image below a folder; a format of `user_itr.data.readers`; or
            "auto", which takes a folder without any caption file for a plain one.
        images: the set's image folder, where the set does not tell.

    Raises:
        DataError: if `source` cannot be read as `format`, or holds no image.
        FeatureError: if the set has features instead of images.
    """
    unnamed = format == "auto" and split == "all" and images is None
    if format == "folder" or (unnamed and _is_plain(source)):
        return SourceImages(images_in_folder(source), [])
    found: dict[str, Path] = {}
    problems: list[Problem] = []
    for name in splits(source, format) if split == "all" else (split,):
        captioned, defects = read_captions(source, name, format=format, images=images)
        problems += defects
        if captioned.image_paths is None:
            raise FeatureError(
                f"{source}: split {name} comes with features and has no images; "
                "train on it as it is."
            )
        for image_id, path in zip(captioned.image_ids, captioned.image_paths, strict=True):
            found.setdefault(image_id, path)
    return SourceImages(list(found.items()), list(dict.fromkeys(problems)))


def images_in_folder(folder: Path) -> list[tuple[str, Path]]:
    """Every image below `folder` as (id, file), the id being its path from there with slashes.

    Bytes of a file name that are no UTF-8 stand in the id as backslash escapes.

    Raises:
        DataError: if `folder` is no directory, or holds no image.
    """
    images = [
        (_printable(path.relative_to(folder).as_posix()), path) for path in find_images(folder)
    ]
    if not images:
        raise DataError(f"{folder}: holds no image files; give a folder that does.")
    return images


def _is_plain(folder: Path) -> bool:
    return (
        folder.is_dir()
        and not any(entry.detect(folder) for entry in FORMATS.values())
        and not any(path.suffix.lower() in CAPTION_SUFFIXES for path in folder.iterdir())
    )


def _printable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
