"""The items that are evaluated: of a set, or of nothing but the image of each caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from user_itr.data.captions import CaptionedImages
from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.inputs.arrays import open_array
from user_itr.evaluation.relevance import as_caption_image


@dataclass(frozen=True)
class Items:
    """What is scored.

    Args:
        split: N images and M captions.
        whole: the same images with all their captions, where `split` has the first few of each.
        kept: (M,) int64, the rows of `split`'s captions in `whole`.
        owners: the file that says the image of each caption, where there is no set.
        notes: what was left out.
    """

    split: CaptionedImages
    whole: CaptionedImages
    kept: np.ndarray
    owners: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """For messages: "flickr8k, test", or the file of owners."""
        if self.owners is not None:
            return str(self.owners)
        return f"{self.split.name}, {self.split.split}"


def first_captions(whole: CaptionedImages, count: int | None, owners: Path | None = None) -> Items:
    """The items with the first `count` captions of each image; all of them by default.

    Raises:
        ConfigError: if `count` is below 1.
    """
    if count is None:
        return Items(whole, whole, np.arange(len(whole.captions)), owners)
    if count < 1:
        raise ConfigError(f"captions per image is {count}; give 1 or more.")
    each = whole.captions_by_image()
    kept = np.sort(np.concatenate([rows[:count] for rows in each]).astype(np.int64))
    fewer = sum(len(rows) < count for rows in each)
    notes = []
    if len(kept) < len(whole.captions):
        notes.append(
            f"{len(whole.captions) - len(kept):,} captions beyond the first {count} of their image "
            "were left out"
        )
    if fewer:
        notes.append(f"{fewer:,} images have fewer than {count} captions")
    ids = whole.caption_ids
    split = CaptionedImages(
        whole.name,
        whole.split,
        whole.image_ids,
        tuple(whole.captions[row] for row in kept),
        whole.caption_image[kept],
        whole.image_paths,
        whole.feature_file,
        whole.feature_rows,
        None if ids is None else tuple(ids[row] for row in kept),
        whole.coco_ids,
    )
    return Items(split, whole, kept, owners, tuple(notes))


def read_owners(file: Path) -> np.ndarray:
    """The image row of each caption: (M,) int64.

    Raises:
        DataError: if the file cannot be read or holds no rows of images.
    """
    try:
        rows = as_caption_image(open_array(file))
    except DataError as error:
        raise DataError(f"{file}: {str(error).removeprefix(f'{file}: ')}") from None
    if len(rows) == 0:
        raise DataError(f"{file}: names the image of no caption; give one image row a caption.")
    if int(rows.min()) < 0 or int(rows.max()) >= 2**62:
        raise DataError(
            f"{file}: row {int(rows.argmin() if rows.min() < 0 else rows.argmax())} points outside "
            "the images; give rows from 0 on."
        )
    return rows.astype(np.int64)


def bare_items(
    name: str,
    split: str,
    owner: np.ndarray,
    images: int,
    file: Path | None,
    image_ids: Sequence[str] | None = None,
    caption_ids: Sequence[str] | None = None,
) -> CaptionedImages:
    """Items without a set: numbered, or named by ids.

    Args:
        name: for people.
        split: for people.
        owner: (M,) int64, the image of each caption.
        images: N.
        file: of `owner`, for messages.
        image_ids: N ids; whole numbers are taken for MSCOCO's.
        caption_ids: M ids; the same.

    Raises:
        DataError: if an owner is none of the images.
    """
    if int(owner.max()) >= images:
        row = int(np.argmax(owner >= images))
        raise DataError(
            f"{file}: row {row}, {owner[row]}, points outside the {images:,} images; give rows "
            f"from 0 to {images - 1}."
        )
    return CaptionedImages(
        name,
        split,
        tuple(image_ids or (f"image {row}" for row in range(images))),
        tuple(f"caption {one}" for one in (caption_ids or range(len(owner)))),
        owner,
        caption_ids=_numbers(caption_ids),
        coco_ids=_numbers(image_ids),
    )


def _numbers(ids: Sequence[str] | None) -> tuple[int, ...] | None:
    if ids is None or not all(one.isascii() and one.isdigit() and len(one) < 19 for one in ids):
        return None
    return tuple(map(int, ids))
