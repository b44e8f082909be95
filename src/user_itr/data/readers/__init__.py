"""Readers of captioned image sets: one file a layout, all with the same three functions.

`detect(root)` tells whether a folder looks like the layout, `splits(root)` names its splits, and
`read(root, split, images, problems)` gives one of them as a `CaptionedImages`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from user_itr.data.captions import CaptionedImages
from user_itr.data.problems import Problem
from user_itr.data.readers import (
    captions_file,
    coco,
    flickr8k,
    karpathy,
    multi30k,
    scan,
    webdataset,
)
from user_itr.errors import DataError

__all__ = [
    "FORMATS",
    "Format",
    "detect_format",
    "load_captions",
    "read_captions",
    "read_splits",
    "splits",
]


@dataclass(frozen=True, slots=True)
class Format:
    """A layout that can be read.

    Args:
        layout: what such a folder looks like, in a few words.
        detect: whether a folder (or file) looks like it.
        splits: the splits of a folder.
        read: reads one split and appends the problems it finds.
    """

    layout: str
    detect: Callable[[Path], bool]
    splits: Callable[[Path], list[str]]
    read: Callable[..., CaptionedImages]


FORMATS: dict[str, Format] = {
    name: Format(module.LAYOUT, module.detect, module.splits, module.read)
    for name, module in (
        ("flickr8k", flickr8k),
        ("karpathy", karpathy),
        ("coco", coco),
        ("captions", captions_file),
        ("scan", scan),
        ("multi30k", multi30k),
        ("webdataset", webdataset),
    )
}
"""The layouts by the name that `--format` takes."""


def detect_format(root: Path) -> str:
    """The name of the layout of a data folder, or of a captions file.

    Raises:
        DataError: if there is no such folder, or it looks like no layout, or like several.
    """
    if not root.exists():
        raise DataError(f"{root}: no such folder; give a folder with images and captions.")
    found = [name for name, entry in FORMATS.items() if entry.detect(root)]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"{root}: could be {' or '.join(found)}; choose one by --format.")
    known = "; ".join(f"{name}: {entry.layout}" for name, entry in FORMATS.items())
    raise DataError(f"{root}: no captioned image set that can be read here. Known are {known}.")


def splits(root: Path, format: str = "auto") -> list[str]:
    """The splits of a set: train, dev or val, test, then others by name.

    Raises:
        DataError: if the format is unknown, or the set cannot be read.
    """
    return _format(root, format).splits(root)


def read_captions(
    root: Path,
    split: str,
    *,
    format: str = "auto",
    images: Path | None = None,
    pictures: bool = True,
) -> tuple[CaptionedImages, list[Problem]]:
    """Read one split and report its defects; what a defect concerns is left out of the set.

    Args:
        root: the data folder, or the captions file of the formats that have one.
        split: a split name; "dev", "val" and "validation" stand for each other.
        format: a key of `FORMATS`, or "auto".
        images: the images folder, where it is not beside the captions.
        pictures: whether image files must be there; ready-made embeddings need none.

    Returns:
        The set without the defective parts, and every problem in the order of the files.

    Raises:
        DataError: if the set cannot be read at all: a missing file, split or images folder, a
            malformed file, numbers of rows and captions that do not fit.
    """
    problems: list[Problem] = []
    captioned = _format(root, format).read(root, split, images, problems, pictures=pictures)
    return captioned, problems


def load_captions(
    root: Path,
    split: str,
    *,
    format: str = "auto",
    images: Path | None = None,
    pictures: bool = True,
) -> CaptionedImages:
    """Read one split of a set that is in order; arguments as for `read_captions`.

    Raises:
        DataError: on the first problem, however small, with the number of the others.
    """
    captioned, problems = read_captions(
        root, split, format=format, images=images, pictures=pictures
    )
    if not problems:
        return captioned
    others = f" ({len(problems) - 1:,} more problems)" if len(problems) > 1 else ""
    raise DataError(f"{problems[0]}{others} List them by `user-itr data check {root}`.")


def read_splits(
    root: Path, names: list[str], *, format: str = "auto", images: Path | None = None
) -> tuple[list[CaptionedImages], list[Problem]]:
    """Read several splits and report every problem once, also images that two splits share.

    A split that cannot be read at all is a problem here, so that the others are still checked.

    Args:
        root: as for `read_captions`.
        names: split names.
        format: as for `read_captions`.
        images: as for `read_captions`.

    Raises:
        DataError: if the format is unknown.
    """
    reader = _format(root, format)
    problems: list[Problem] = []
    sets: list[CaptionedImages] = []
    for name in names:
        try:
            sets.append(reader.read(root, name, images, problems))
        except DataError as error:
            message = str(error).removeprefix(f"{root}: ")
            problems.append(Problem(root, f"split {name}", message))
    split_of: dict[str, str] = {}
    for captioned in sets:
        for image_id in captioned.image_ids:
            first = split_of.setdefault(image_id, captioned.split)
            # SCAN's test is by design a part of its testall.
            if first != captioned.split and {first, captioned.split} != {"test", "testall"}:
                message = f"is also in split {first}; keep it in one."
                problems.append(
                    Problem(root, f"split {captioned.split}, image {image_id!r}", message)
                )
    return sets, list(dict.fromkeys(problems))


def _format(root: Path, name: str) -> Format:
    if name == "auto":
        name = detect_format(root)
    elif not root.exists():
        raise DataError(f"{root}: no such folder; give a folder with images and captions.")
    if name not in FORMATS:
        raise DataError(f"unknown format {name!r}; known are auto, {', '.join(FORMATS)}.")
    return FORMATS[name]
