"""Is one model better than another on these images? A paired bootstrap over images.

Two models answer the same queries, so their recalls are compared query by query. What is drawn
with replacement is an image with all its captions: the captions of an image are no independent
queries, and both directions are drawn together. The candidates stay as they are. So the interval
says how far the difference would move with other images of the same kind, for the trained models
at hand; how far it moves with the seed is for the spread over seeds to say.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 (percentile
interval) and 16 (tests); Davison and Hinkley, "Bootstrap Methods and their Application", 1997,
section 4.2 (the +1 in a p-value counted over random draws).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
_BLOCK = 500  # resamples at once: (500, N) counts, 4 MB for a thousand images


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference in percent points, with its uncertainty over images.

    Args:
        value: on the images as they are.
        low: 2.5 % quantile over the resamples.
        high: 97.5 % quantile.
        p_value: two-sided, of no difference; see `paired_bootstrap`.
    """

    value: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True, slots=True)
class HitsByImage:
    """Queries answered within K, summed by image; columns are R@K of i2t, then of t2i.

    Args:
        hits: (N, 2 * len(ks)) float64, answered queries of each image.
        queries: (N, 2 * len(ks)) float64, all its queries.
    """

    hits: np.ndarray
    queries: np.ndarray


def hits_by_image(
    i2t_ranks: np.ndarray, t2i_ranks: np.ndarray, caption_image: np.ndarray, ks: Sequence[int]
) -> HitsByImage:
    """Sum the hits of both directions by image; images without captions have no query and no row.

    Args:
        i2t_ranks: (N,) int, the rank of each image that has captions, in the order of images.
        t2i_ranks: (M,) int, the rank of each caption.
        caption_image: (M,) int, the image of each caption.
        ks: cut-offs.
    """
    described, image = np.unique(caption_image, return_inverse=True)
    if len(described) != len(i2t_ranks):
        raise ValueError(f"{len(i2t_ranks)} i2t ranks for {len(described)} images with captions")
    captions = np.bincount(image)
    hits: list[np.ndarray] = [(i2t_ranks <= k).astype(np.float64) for k in ks]
    hits += [np.bincount(image, weights=t2i_ranks <= k) for k in ks]
    queries = [np.ones(len(described)) for _ in ks] + [captions.astype(np.float64) for _ in ks]
    return HitsByImage(np.column_stack(hits), np.column_stack(queries))


def paired_bootstrap(
    row: Sequence[HitsByImage],
    reference: Sequence[HitsByImage],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Difference, ...]:
    """Differences in recall, row less reference, each recall being a mean over seeds.

    In a resample image i is drawn w_i times, w ~ Multinomial(N, 1/N), and a recall is
    100 sum_i w_i hits_i / sum_i w_i queries_i. With B resamples of the difference d,

        p = min(1, 2 min(1 + #{d <= 0}, 1 + #{d >= 0}) / (B + 1)).

    So p is 1 for equal models, and 2 / (B + 1) is the smallest that B resamples can show.

    Args:
        row: one for each seed, over the same N images as the reference.
        reference: as many as `row`.
        resamples: B.
        seed: of the draw; the same seed gives the same figures.

    Returns:
        One difference a column of `HitsByImage`, then that of their sum, rsum.
    """
    if not row or len(row) != len(reference):
        raise ValueError(f"{len(row)} and {len(reference)} seeds cannot be paired")
    queries = reference[0].queries
    if any(not np.array_equal(one.queries, queries) for one in (*row, *reference)):
        raise ValueError("row and reference answer other queries; measure both on the same split")
    # Sums of whole numbers are exact, so that equal models differ by 0 and not by rounding.
    won = np.sum([one.hits for one in row], axis=0) - np.sum([r.hits for r in reference], axis=0)
    images, columns = won.shape
    random = np.random.default_rng(seed)
    drawn = np.empty((resamples, columns + 1))
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        places = random.integers(images, size=(size, images)) + images * np.arange(size)[:, None]
        counts = np.bincount(places.ravel(), minlength=size * images).reshape(size, images)
        drawn[start : start + size] = _differences(counts, won, queries, len(row))
    values = _differences(np.ones((1, images)), won, queries, len(row))[0]
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    below, above = (drawn <= 0).sum(axis=0), (drawn >= 0).sum(axis=0)
    p_values = np.minimum(1, 2 * (1 + np.minimum(below, above)) / (resamples + 1))
    return tuple(
        Difference(*map(float, one)) for one in zip(values, low, high, p_values, strict=True)
    )


def _differences(
    counts: np.ndarray, won: np.ndarray, queries: np.ndarray, seeds: int
) -> np.ndarray:
    """(B, N) counts, (N, C) hits won and queries -> (B, C + 1) differences in percent points."""
    counts = counts.astype(np.float64)  # a product of integers would not use the BLAS
    recalls = 100 * (counts @ won) / (counts @ queries) / seeds
    # Gains and losses that cancel in the sum leave 1e-15 behind, which is no difference.
    return np.round(np.column_stack([recalls, recalls.sum(axis=1)]), 9)
