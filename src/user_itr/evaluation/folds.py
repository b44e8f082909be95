"""The mean over equal folds of a split, as MSCOCO's 5K test is reported in five folds of 1,000.

A fold is a run of images in the split's order with all their captions, and is evaluated as if
nothing else were there. Folds have the same number of images: recall hangs on how many candidates a
query meets, so unequal folds would average figures of different tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import numpy as np

from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.metrics import (
    DEFAULT_KS,
    CrossModalMetrics,
    as_caption_image,
    evaluate_embeddings,
    take_rows,
)
from user_itr.evaluation.ranks import Embeddings, TieRule


@dataclass(frozen=True, slots=True)
class FoldedMetrics:
    """The metrics of every fold, and their means.

    Args:
        folds: one of each fold, in the split's order.
    """

    folds: tuple[CrossModalMetrics, ...]

    @property
    def rsum(self) -> float:
        """Mean of the folds' rsum, which is the rsum of the mean recalls."""
        return fmean(fold.rsum for fold in self.folds)

    def mean(self, direction: Literal["i2t", "t2i"]) -> dict[str, float]:
        """Mean over the folds of each entry of `RetrievalMetrics.to_dict`, by the same names."""
        each = [getattr(fold, direction).to_dict() for fold in self.folds]
        return {name: fmean(values[name] for values in each) for name in each[0]}

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: "mean" ("i2t", "t2i", "rsum") and "folds" (a document of each fold)."""
        return {
            "mean": {"i2t": self.mean("i2t"), "t2i": self.mean("t2i"), "rsum": self.rsum},
            "folds": [fold.to_dict() for fold in self.folds],
        }


def fold_size(images: int, folds: int) -> int:
    """Images in each of `folds` equal folds of `images` images.

    Raises:
        ConfigError: if `folds` is no divisor of `images`.
    """
    if folds < 1 or images % folds:
        raise ConfigError(
            f"folds is {folds}, and {images:,} images do not fall into {folds} equal folds; "
            f"give a number that divides {images:,}."
        )
    return images // folds


def evaluate_folds(
    images: Embeddings,
    captions: Embeddings,
    caption_image: np.ndarray,
    folds: int,
    ks: Sequence[int] = DEFAULT_KS,
    *,
    ties: TieRule = "pessimistic",
) -> FoldedMetrics:
    """Metrics of each of some equal folds of the images, in their order, with their captions.

    Args:
        images: (N, D), one row an image.
        captions: (M, D), one row a caption.
        caption_image: (M,) int, the row of `images` that each caption describes, in any order.
        folds: F, a divisor of N: 5 for MSCOCO's 5,000 test images.
        ks: as for `evaluate_embeddings`.
        ties: as for `evaluate_embeddings`.

    Raises:
        ConfigError: if `folds` does not divide N, or `ks` or `ties` has a bad value.
        DataError: as for `evaluate_embeddings`; a row in the message counts within its fold.
    """
    size = fold_size(len(images), folds)
    caption_image = as_caption_image(caption_image, len(captions))
    outside = (caption_image < 0) | (caption_image >= len(images))
    if outside.any():
        row = int(np.argmax(outside))
        raise DataError(
            f"captions, row {row}: its image, row {caption_image[row]}, is outside the "
            f"{len(images)} images."
        )
    found = []
    for first in range(0, len(images), size):
        inside = np.flatnonzero(caption_image // size == first // size)
        found.append(
            evaluate_embeddings(
                images[first : first + size],
                take_rows(captions, inside),
                caption_image[inside] - first,
                ks,
                ties=ties,
            )
        )
    return FoldedMetrics(tuple(found))
