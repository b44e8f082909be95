"""The bootstrap over images: what is drawn, and whether one model is better than another.

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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from user_itr.errors import DataError
from user_itr.evaluation.cross_modal import CrossModalRanks
from user_itr.evaluation.metrics import DEFAULT_KS
from user_itr.evaluation.ranks import TieRule

RESAMPLES = 10_000
_BLOCK = 500  # resamples at once: (500, N) counts, 4 MB for a thousand images
_BLOCK_COUNTS = 5_000_000  # fewer where images are many: 40 MB


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
class Answers:
    """How the queries of one direction were answered.

    Args:
        image: (Q,) int64, the image that each query is drawn with: itself, or that of the caption.
        rank: (Q,) int64 or float64, of the best positive.
        hits: (Q,) float64 by K, K ascending: 1 where a positive is among the first K, or the
            probability of that.
    """

    image: np.ndarray
    rank: np.ndarray
    hits: Mapping[int, np.ndarray]

    @classmethod
    def from_ranks(cls, rank: np.ndarray, image: np.ndarray, ks: Sequence[int]) -> Answers:
        """From ranks alone: a query is a hit at K where its rank is at most K."""
        return cls(image, rank, {k: (rank <= k).astype(np.float64) for k in sorted(set(ks))})


@dataclass(frozen=True, slots=True)
class CrossModalAnswers:
    """How the queries of both directions were answered, at the same K.

    Args:
        i2t: images as queries.
        t2i: captions as queries.
    """

    i2t: Answers
    t2i: Answers

    @classmethod
    def of(
        cls,
        ranks: CrossModalRanks,
        caption_image: np.ndarray,
        ks: Sequence[int] = DEFAULT_KS,
        ties: TieRule = "pessimistic",
    ) -> CrossModalAnswers:
        """From the ranks of both directions.

        Args:
            ranks: of all queries that have a positive.
            caption_image: (M,) int, the image that each caption was written for.
            ks: cut-offs.
            ties: the rule for ranks and hits.
        """
        image_of = (ranks.i2t.queries, np.asarray(caption_image)[ranks.t2i.queries])
        return cls(
            *(
                Answers(image, best.ranks(ties), {k: best.hits(k, ties) for k in sorted(set(ks))})
                for best, image in zip((ranks.i2t, ranks.t2i), image_of, strict=True)
            )
        )

    def by_image(self) -> HitsByImage:
        """Hits summed by image, for images that have a query in either direction."""
        found, rows = self.places()
        columns = []
        for answers, row in zip((self.i2t, self.t2i), rows, strict=True):
            queries = np.bincount(row, minlength=found).astype(np.float64)
            for hits in answers.hits.values():
                columns.append((np.bincount(row, hits, minlength=found), queries))
        hits, queries = (np.column_stack(side) for side in zip(*columns, strict=True))
        return HitsByImage(hits, queries)

    def places(self) -> tuple[int, tuple[np.ndarray, np.ndarray]]:
        """The number of images that have a query, and the place of each query's image in them.

        Raises:
            DataError: if a direction has no query.
        """
        if min(len(self.i2t.image), len(self.t2i.image)) == 0:
            raise DataError("a direction has no query with a positive; there is nothing to draw.")
        both = np.append(self.i2t.image, self.t2i.image)
        images, places = np.unique(both, return_inverse=True)
        first = len(self.i2t.image)
        return len(images), (places[:first], places[first:])


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
    return CrossModalAnswers(
        Answers.from_ranks(i2t_ranks, np.arange(len(described)), ks),
        Answers.from_ranks(t2i_ranks, image, ks),
    ).by_image()


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
    images = len(won)
    drawn = np.concatenate(
        [
            _differences(counts, won, queries, len(row))
            for counts in resampled_counts(images, resamples, seed)
        ]
    )
    values = _differences(np.ones((1, images)), won, queries, len(row))[0]
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    below, above = (drawn <= 0).sum(axis=0), (drawn >= 0).sum(axis=0)
    p_values = np.minimum(1, 2 * (1 + np.minimum(below, above)) / (resamples + 1))
    return tuple(
        Difference(*map(float, one)) for one in zip(values, low, high, p_values, strict=True)
    )


def resampled_counts(images: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each image is drawn in each resample: blocks of (B, images) int64.

    Args:
        images: N, at least 1; every resample draws N of them with replacement.
        resamples: the sum of B over the blocks.
        seed: of the draw.
    """
    random = np.random.default_rng(seed)
    block = max(1, min(_BLOCK, _BLOCK_COUNTS // images))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        places = random.integers(images, size=(size, images)) + images * np.arange(size)[:, None]
        yield np.bincount(places.ravel(), minlength=size * images).reshape(size, images)


def _differences(
    counts: np.ndarray, won: np.ndarray, queries: np.ndarray, seeds: int
) -> np.ndarray:
    """(B, N) counts, (N, C) hits won and queries -> (B, C + 1) differences in percent points."""
    counts = counts.astype(np.float64)  # a product of integers would not use the BLAS
    recalls = 100 * (counts @ won) / (counts @ queries) / seeds
    # Gains and losses that cancel in the sum leave 1e-15 behind, which is no difference.
    return np.round(np.column_stack([recalls, recalls.sum(axis=1)]), 9)
