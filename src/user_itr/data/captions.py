"""The in-memory description of a captioned image set, shared by every reader and consumer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from user_itr.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class CaptionedImages:
    """Images of one split and their captions: any number of captions an image, in any order.

    Args:
        name: data set name, for reports ("flickr8k").
        split: split name ("train", "dev", "test", ...).
        image_ids: N unique ids, in the order of the split file; ids key the feature store.
        captions: M captions.
        caption_image: (M,) int64, the row in `image_ids` that each caption describes.
        image_paths: N image files, where the set has images.
        feature_file: a `.npy` of region features (rows, K, d), where the set came precomputed.
        feature_rows: (N,) int64, the row of `feature_file` that holds each image.
        caption_ids: M whole numbers, the captions' ids in their source (annotation id of MSCOCO,
            `sentid` of a Karpathy JSON), where it gives every caption one.
        coco_ids: N whole numbers, the images' ids in MSCOCO, where the source gives them all.

    Raises:
        DataError: if the lengths disagree, an id is repeated, or a caption points at no image.
    """

    name: str
    split: str
    image_ids: tuple[str, ...]
    captions: tuple[str, ...]
    caption_image: np.ndarray
    image_paths: tuple[Path, ...] | None = None
    feature_file: Path | None = None
    feature_rows: np.ndarray | None = None
    caption_ids: tuple[int, ...] | None = None
    coco_ids: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        where = f"{self.name} ({self.split})"
        if self.caption_image.shape != (len(self.captions),):
            raise DataError(
                f"{where}: caption_image has shape {self.caption_image.shape} "
                f"for {len(self.captions)} captions; give one image row a caption."
            )
        rows = self.caption_image
        if len(rows) and (int(rows.min()) < 0 or int(rows.max()) >= len(self.image_ids)):
            raise DataError(f"{where}: a caption points outside the {len(self.image_ids)} images.")
        if len(set(self.image_ids)) != len(self.image_ids):
            raise DataError(f"{where}: image ids repeat; give each image one id.")
        for field, entries in (
            ("image_paths", self.image_paths),
            ("feature_rows", self.feature_rows),
            ("coco_ids", self.coco_ids),
        ):
            if entries is not None and len(entries) != len(self.image_ids):
                raise DataError(
                    f"{where}: {field} has {len(entries)} entries for {len(self.image_ids)} images."
                )
        if self.caption_ids is not None and len(self.caption_ids) != len(self.captions):
            raise DataError(
                f"{where}: caption_ids has {len(self.caption_ids)} entries for "
                f"{len(self.captions)} captions."
            )

    def __len__(self) -> int:
        return len(self.image_ids)

    def captions_by_image(self) -> list[np.ndarray]:
        """The caption rows of each image: N arrays of int64, an empty one where there is none."""
        order = np.argsort(self.caption_image, kind="stable")
        bounds = np.searchsorted(self.caption_image[order], np.arange(len(self) + 1))
        return [order[bounds[i] : bounds[i + 1]] for i in range(len(self))]

    def first_captions(self, count: int) -> CaptionedImages:
        """The same set cut to its first `count` captions, and to the images that they describe."""
        kept = self.caption_image[:count]
        images, rows = np.unique(kept, return_inverse=True)
        return replace(
            self,
            image_ids=tuple(self.image_ids[row] for row in images),
            captions=self.captions[:count],
            caption_image=rows.astype(np.int64),
            image_paths=(
                None if self.image_paths is None else tuple(self.image_paths[row] for row in images)
            ),
            feature_rows=None if self.feature_rows is None else self.feature_rows[images],
            caption_ids=None if self.caption_ids is None else self.caption_ids[:count],
            coco_ids=(
                None if self.coco_ids is None else tuple(self.coco_ids[row] for row in images)
            ),
        )

    def subset(self, rows: Sequence[int] | np.ndarray) -> CaptionedImages:
        """The same set cut to the images `rows` (int), in that order, with their captions."""
        rows = np.asarray(rows, dtype=np.int64)
        by_image = self.captions_by_image()
        kept = [by_image[row] for row in rows]
        caption_rows = np.concatenate(kept) if kept else np.empty(0, np.int64)
        paths, feature_rows = self.image_paths, self.feature_rows
        caption_ids, coco_ids = self.caption_ids, self.coco_ids
        return CaptionedImages(
            name=self.name,
            split=self.split,
            image_ids=tuple(self.image_ids[row] for row in rows),
            captions=tuple(self.captions[row] for row in caption_rows),
            caption_image=np.repeat(np.arange(len(rows)), [len(k) for k in kept]).astype(np.int64),
            image_paths=None if paths is None else tuple(paths[row] for row in rows),
            feature_file=self.feature_file,
            feature_rows=None if feature_rows is None else feature_rows[rows],
            caption_ids=(
                None if caption_ids is None else tuple(caption_ids[row] for row in caption_rows)
            ),
            coco_ids=None if coco_ids is None else tuple(coco_ids[row] for row in rows),
        )
