"""How far recall, median and mean rank would move with other images: 95 % bootstrap intervals.

Images are drawn with replacement, each with its captions, as for the comparison of two models
(`bootstrap`); the interval is from the 2.5 % to the 97.5 % quantile over the resamples. It speaks
of the sample of images for the model at hand, not of training it again. The candidates stay as they
are, so it says nothing about a larger or smaller collection.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from user_itr.evaluation.bootstrap import (
    Answers,
    CrossModalAnswers,
    resampled_counts,
)
from user_itr.evaluation.cross_modal import CrossModalRanks
from user_itr.evaluation.metrics import DEFAULT_KS
from user_itr.evaluation.ranks import TieRule

INTERVAL_RESAMPLES = 2_000
"""Enough for a 95 % quantile; the small p-values of a test take more (`bootstrap.RESAMPLES`)."""

_BLOCK_QUERIES = 4_000_000  # query weights held at once: 32 MB


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval.

    Args:
        value: on the images as they are.
        low: 2.5 % quantile over the resamples.
        high: 97.5 % quantile.
    """

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """For JSON: "value", "low", "high"."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class DirectionIntervals:
    """One direction.

    Args:
        recall: percent, by K ascending.
        median_rank: of the best positive.
        mean_rank: of the same.
    """

    recall: Mapping[int, Interval]
    median_rank: Interval
    mean_rank: Interval

    def to_dict(self) -> dict[str, dict[str, float]]:
        """For JSON, by the names of `RetrievalMetrics.to_dict`."""
        return {
            **{f"R@{k}": interval.to_dict() for k, interval in self.recall.items()},
            "median_rank": self.median_rank.to_dict(),
            "mean_rank": self.mean_rank.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class CrossModalIntervals:
    """Both directions, drawn together.

    Args:
        i2t: images as queries.
        t2i: captions as queries.
        rsum: sum of the recalls of both.
        resamples: number of draws behind the intervals.
        seed: of the draws.
    """

    i2t: DirectionIntervals
    t2i: DirectionIntervals
    rsum: Interval
    resamples: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: "i2t", "t2i", "rsum", "level" (0.95), "resamples", "seed"."""
        return {
            "i2t": self.i2t.to_dict(),
            "t2i": self.t2i.to_dict(),
            "rsum": self.rsum.to_dict(),
            "level": 0.95,
            "resamples": self.resamples,
            "seed": self.seed,
        }


def recall_intervals(
    ranks: CrossModalRanks,
    caption_image: np.ndarray,
    ks: Sequence[int] = DEFAULT_KS,
    *,
    ties: TieRule = "pessimistic",
    resamples: int = INTERVAL_RESAMPLES,
    seed: int = 0,
) -> CrossModalIntervals:
    """Intervals of the usual metrics of both directions.

    Args:
        ranks: of all queries that have a positive.
        caption_image: (M,) int, the image that each caption was written for: it is drawn with it.
        ks: cut-offs of recall.
        ties: the rule for ranks and hits.
        resamples: number of draws.
        seed: the same seed gives the same intervals.

    Raises:
        DataError: if a direction has no query.
    """
    answers = CrossModalAnswers.of(ranks, caption_image, ks, ties)
    images, places = answers.places()
    sides = tuple(
        _Side(one, place, images)
        for one, place in zip((answers.i2t, answers.t2i), places, strict=True)
    )
    whole = [side.figures(np.ones((1, images), np.int64)) for side in sides]
    blocks: list[list[np.ndarray]] = [[], []]
    for counts in resampled_counts(images, resamples, seed):
        for found, side in zip(blocks, sides, strict=True):
            found.append(side.figures(counts))
    drawn = [np.concatenate(found) for found in blocks]
    recalls = len(answers.i2t.hits)

    def summarise(side: int) -> DirectionIntervals:
        *recall, median, mean = (
            _interval(value, column)
            for value, column in zip(whole[side][0], drawn[side].T, strict=True)
        )
        return DirectionIntervals(dict(zip(answers.i2t.hits, recall, strict=True)), median, mean)

    rsum = _interval(
        sum(float(side[0, :recalls].sum()) for side in whole),
        sum((side[:, :recalls].sum(axis=1) for side in drawn), np.zeros(resamples)),
    )
    return CrossModalIntervals(summarise(0), summarise(1), rsum, resamples, seed)


def _interval(value: float, drawn: np.ndarray) -> Interval:
    """A resample without a query of the direction has no figure; it is NaN and passed over."""
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return Interval(float(value), float(low), float(high))


class _Side:
    """One direction, ready to be weighted by how often each image was drawn."""

    def __init__(self, answers: Answers, places: np.ndarray, images: int) -> None:
        summed = [*answers.hits.values(), answers.rank.astype(np.float64)]
        self.sums = np.column_stack(
            [np.bincount(places, values, minlength=images) for values in summed]
        )
        self.queries = np.bincount(places, minlength=images).astype(np.float64)
        order = np.argsort(answers.rank, kind="stable")
        self.ranks, self.places = answers.rank[order], places[order]

    def figures(self, counts: np.ndarray) -> np.ndarray:
        """(B, N) int64 counts -> (B, len(ks) + 2): recalls in percent, median and mean rank."""
        weights = counts.astype(np.float64)
        with np.errstate(invalid="ignore"):  # 0 / 0 where no query was drawn
            means = weights @ self.sums / (weights @ self.queries)[:, None]
        return np.column_stack([100 * means[:, :-1], self._medians(counts), means[:, -1]])

    def _medians(self, counts: np.ndarray) -> np.ndarray:
        medians = np.empty(len(counts))
        counts = counts.astype(np.int32)  # half the memory of int64, and room for any draw
        step = max(1, _BLOCK_QUERIES // len(self.places))
        for start in range(0, len(counts), step):
            drawn = counts[start : start + step, self.places]  # (b, Q)
            before = drawn.cumsum(axis=1, dtype=np.int32)
            total = before[:, -1]
            middle = [
                self.ranks[(before > place[:, None]).argmax(axis=1)]
                for place in ((total - 1) // 2, total // 2)
            ]
            medians[start : start + step] = np.where(total, (middle[0] + middle[1]) / 2, np.nan)
        return medians
