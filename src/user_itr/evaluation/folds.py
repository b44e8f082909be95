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
from user_itr.evaluation.metrics import DEFAULT_KS, CrossModalMetrics, evaluate_scores
from user_itr.evaluation.ranks import TieRule, check_relevance
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import Scores


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
    scores: Scores,
    relevance: Relevance,
    folds: int,
    ks: Sequence[int] = DEFAULT_KS,
    *,
    ties: TieRule = "pessimistic",
) -> FoldedMetrics:
    """Metrics of each of some equal folds of the images, in their order, with their captions.

    A caption belongs to the fold of every image it is right for, and to no fold if it has none.

    Args:
        scores: (N, M), images in rows, captions in columns.
        relevance: the captions that are right for each image.
        folds: F, a divisor of N: 5 for MSCOCO's 5,000 test images.
        ks: as for `evaluate_scores`.
        ties: as for `evaluate_scores`.

    Raises:
        ConfigError: if `folds` does not divide N, or `ks` or `ties` has a bad value.
        DataError: if scores and relevance do not fit, or a fold has no pair.
    """
    check_relevance(scores, relevance)
    size = fold_size(relevance.queries, folds)
    found = []
    for first in range(0, relevance.queries, size):
        images = np.arange(first, first + size)
        pairs = slice(relevance.offsets[first], relevance.offsets[first + size])
        captions = np.unique(relevance.indices[pairs])
        if len(captions) == 0:
            raise DataError(
                f"images {first} to {first + size - 1} have no captions, so their fold cannot be "
                "evaluated; give fewer folds."
            )
        found.append(
            evaluate_scores(
                scores.take(images, captions), relevance.take(images, captions), ks, ties=ties
            )
        )
    return FoldedMetrics(tuple(found))
