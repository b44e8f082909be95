"""Rank correlation with people's ratings, as Crisscrossed Captions reports it: SITS, SIS, STS.

Queries differ in how many of their pairs were rated, so a correlation over all pairs would weigh
them unevenly. Instead, half of the queries are drawn, and one rated pair of each; Spearman's
correlation of ratings and scores is taken, and averaged over 1,000 such draws.

Source: Parekh et al., EACL 2021 (see `cxc`), on correlation; equal values share the mean of their
ranks, as usual (Kendall and Gibbons, "Rank Correlation Methods", 1990, chapter 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SAMPLES = 1_000


@dataclass(frozen=True, slots=True)
class RatedPairs:
    """Pairs that people rated, in the order of their file.

    Args:
        first: (P,) int64, rows of the queries: captions, the first image, the first caption.
        second: (P,) int64, rows of what they were compared with.
        ratings: (P,) float64 from 0 to 5.
    """

    first: np.ndarray
    second: np.ndarray
    ratings: np.ndarray

    def rated_twice(self, threshold: float, *, same_side: bool) -> tuple[int, int]:
        """How many pairs were rated twice, and for how many of these it matters which one counts.

        Args:
            threshold: from which rating on a pair is right.
            same_side: (a, b) and (b, a) are one pair.
        """
        a, b = self.first, self.second
        if same_side:
            a, b = np.minimum(a, b), np.maximum(a, b)
        keys = a * (int(b.max(initial=0)) + 1) + b
        _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
        right = np.bincount(inverse, self.ratings >= threshold)
        twice = counts > 1
        return int(twice.sum()), int((twice & (right > 0) & (right < counts)).sum())


@dataclass(frozen=True, slots=True)
class Correlation:
    """Spearman's correlation times 100.

    Args:
        mean: over the draws.
        deviation: standard deviation over the draws.
        queries: that have a rated pair.
        pairs: rated.
    """

    mean: float
    deviation: float
    queries: int
    pairs: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON: "spearman", "deviation", "queries", "pairs"."""
        return {
            "spearman": self.mean,
            "deviation": self.deviation,
            "queries": self.queries,
            "pairs": self.pairs,
        }


def sampled_correlation(
    rated: RatedPairs, scores: np.ndarray, samples: int = SAMPLES, seed: int = 0
) -> Correlation | None:
    """The mean of Spearman's correlation over draws of half the queries, one pair of each.

    Args:
        rated: P pairs.
        scores: (P,) float64, of the same pairs.
        samples: draws.
        seed: the same seed gives the same figures.

    Returns:
        None if there are fewer than four queries, or all ratings or all scores are equal.
    """
    order = np.argsort(rated.first, kind="stable")
    queries, counts = np.unique(rated.first, return_counts=True)
    starts = np.cumsum(counts) - counts
    levels = [np.unique(one[order], return_inverse=True)[1] for one in (rated.ratings, scores)]
    if len(queries) < 4 or not all(level.any() for level in levels):
        return None
    generator = np.random.default_rng(seed)
    half = len(queries) // 2
    found = np.empty(samples)
    for sample in range(samples):
        chosen = generator.choice(len(queries), half, replace=False, shuffle=False)
        pairs = starts[chosen] + (generator.random(half) * counts[chosen]).astype(np.int64)
        found[sample] = _pearson(*(_mean_ranks(level[pairs]) for level in levels))
    return Correlation(
        100 * float(np.nanmean(found)),
        100 * float(np.nanstd(found)),
        len(queries),
        len(rated.ratings),
    )


def _mean_ranks(levels: np.ndarray) -> np.ndarray:
    """Ranks of whole numbers from 0, equal ones at the mean of their places: (n,) float64."""
    counts = np.bincount(levels)
    last = np.cumsum(counts)
    means: np.ndarray = (last - (counts - 1) / 2)[levels]
    return means


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    both = float(a @ a) * float(b @ b)
    return float(a @ b) / both**0.5 if both else float("nan")
