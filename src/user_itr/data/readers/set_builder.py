"""Turns what a reader finds in files into a `CaptionedImages`, and defects into problems."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from user_itr.data.captions import CaptionedImages
from user_itr.data.problems import Problem
from user_itr.data.readers.image_folder import ImageFolder
from user_itr.data.unicode import is_valid_unicode
from user_itr.errors import DataError

_SAME_SPLIT = frozenset({"dev", "val", "valid", "validation"})
_ORDER = {"train": 0, **dict.fromkeys(_SAME_SPLIT, 1), "test": 2}


class SetBuilder:
    """Collects the images of one split and their captions.

    Args:
        name: data set name.
        split: split name.
        folder: where the image files are.
        problems: every defect is appended here, and what it concerns is left out.
    """

    def __init__(self, name: str, split: str, folder: ImageFolder, problems: list[Problem]) -> None:
        self._name = name
        self._split = split
        self._folder = folder
        self._problems = problems
        self._paths: dict[str, Path] = {}
        self._captions: dict[str, list[str]] = {}
        self._caption_ids: dict[str, list[object]] = {}
        self._coco_ids: dict[str, object] = {}
        self._places: dict[str, tuple[Path, str]] = {}
        self._missing: dict[str, Problem] = {}

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._paths

    def add_image(
        self,
        name: str,
        file: Path,
        where: str,
        *,
        again: bool = False,
        coco_id: object = None,
    ) -> str | None:
        """Add an image by its name in the images folder.

        Args:
            name: relative file name, as `file` spells it.
            file: the file that lists it.
            where: the place in that file.
            again: whether an image may be listed more than once.
            coco_id: its number in MSCOCO, where the file gives one.

        Returns:
            The image id, or None where the image is left out.
        """
        if not name:
            self._problems.append(Problem(file, where, "the image name is empty."))
            return None
        if not is_valid_unicode(name):
            self._problems.append(Problem(file, where, f"image name {name!a} is no valid Unicode."))
            return None
        image_id, path = self._folder.locate(name)
        if image_id in self._paths or image_id in self._missing:
            if not again:
                first = self._places[image_id][1]
                message = f"image {image_id!r} is listed twice, first at {first}; keep one."
                self._problems.append(Problem(file, where, message))
                return None
            return image_id if image_id in self._paths else None
        self._places[image_id] = (file, where)
        if path is None:
            message = f"image {image_id!r} is not in {self._folder.root}; restore or unlist it."
            self._missing[image_id] = Problem(file, where, message)
            return None
        self._paths[image_id] = path
        self._captions[image_id] = []
        self._caption_ids[image_id] = []
        self._coco_ids[image_id] = coco_id
        return image_id

    def add_caption(
        self, image_id: str, caption: object, file: Path, where: str, caption_id: object = None
    ) -> None:
        """Add a caption of an image that is in the set; runs of white space become one space."""
        text = clean_caption(caption)
        if isinstance(text, Rejected):
            message = f"the caption of image {image_id!r} {text}; write one or remove the entry."
            self._problems.append(Problem(file, where, message))
        else:
            self._captions[image_id].append(text)
            self._caption_ids[image_id].append(caption_id)

    def build(self) -> CaptionedImages:
        """The set. Images that got no caption are reported and left out.

        Raises:
            DataError: if not one of the listed images is in the images folder.
        """
        if self._missing and not self._paths:
            raise DataError(
                f"{self._name} ({self._split}): none of the {len(self._missing):,} images is in "
                f"{self._folder.root} (the first is {next(iter(self._missing))!r}); "
                "name the images folder by --images."
            )
        self._problems.extend(self._missing.values())
        kept = [image_id for image_id, captions in self._captions.items() if captions]
        for image_id, captions in self._captions.items():
            if not captions:
                file, where = self._places[image_id]
                message = f"image {image_id!r} has no captions; add one or unlist it."
                self._problems.append(Problem(file, where, message))
        counts = [len(self._captions[image_id]) for image_id in kept]
        return CaptionedImages(
            name=self._name,
            split=self._split,
            image_ids=tuple(kept),
            captions=tuple(text for image_id in kept for text in self._captions[image_id]),
            caption_image=np.repeat(np.arange(len(kept), dtype=np.int64), counts),
            image_paths=tuple(self._paths[image_id] for image_id in kept),
            caption_ids=_whole_numbers([one for name in kept for one in self._caption_ids[name]]),
            coco_ids=_whole_numbers([self._coco_ids[image_id] for image_id in kept]),
        )


def _whole_numbers(found: list[object]) -> tuple[int, ...] | None:
    """The ids, or None unless every one is there and is a whole number."""
    numbers = tuple(one for one in found if isinstance(one, int) and not isinstance(one, bool))
    return numbers if len(numbers) == len(found) else None


class Rejected(str):
    """Why a caption cannot be used, as the rest of a sentence."""

    __slots__ = ()


def clean_caption(caption: object) -> str | Rejected:
    """A caption with runs of white space made one space, or why it cannot be used."""
    if caption is None:
        return Rejected("is missing")
    if not isinstance(caption, str):
        return Rejected(f"is {type(caption).__name__}, not text")
    if not is_valid_unicode(caption):
        return Rejected("is no valid Unicode")
    return " ".join(caption.split()) or Rejected("is empty")


def match_split(root: Path, split: str, available: list[str]) -> str:
    """The split of the set that `split` asks for; dev, val and validation name the same one.

    Raises:
        DataError: if the set has no such split; the message lists those it has.
    """
    if split in available:
        return split
    others = [name for name in available if split in _SAME_SPLIT and name in _SAME_SPLIT]
    if len(others) == 1:
        return others[0]
    there = ", ".join(available) or "none"
    raise DataError(f"{root}: no split {split!r}; the splits of this set are: {there}.")


def sort_splits(names: set[str]) -> list[str]:
    """Split names in the order train, dev or val, test, then the others by name."""
    return sorted(names, key=lambda name: (_ORDER.get(name, 3), name))
