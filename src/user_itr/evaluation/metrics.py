"""Recall at K, median and mean rank, and rsum; formulas and choices in docs/metrics.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.cross_modal import CrossModalRanks, cross_modal_ranks
from user_itr.evaluation.embedding_scores import Embeddings, EmbeddingScores
from user_itr.evaluation.ranks import BestRanks, TieRule
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import Scores

DEFAULT_KS = (1, 5, 10)
"""The cut-offs that the field reports, and over which the usual rsum is taken."""


def recall_at_k(ranks: np.ndarray, k: int) -> float:
    """Percentage of queries whose rank is at most `k`: (Q,) int ranks from 1 -> [0, 100]."""
    return 100.0 * float(np.mean(_some(ranks) <= k))


def median_rank(ranks: np.ndarray) -> float:
    """Median of (Q,) int ranks from 1; halfway between the middle two where Q is even."""
    return float(np.median(_some(ranks)))


def mean_rank(ranks: np.ndarray) -> float:
    """Arithmetic mean of (Q,) int ranks from 1."""
    return float(np.mean(_some(ranks)))


def _some(ranks: np.ndarray) -> np.ndarray:
    if len(ranks) == 0:
        raise DataError("no ranks to summarise; evaluate at least one query.")
    return ranks


def cutoffs(ks: Sequence[int], ranks: np.ndarray) -> list[int]:
    """`ks` ascending, each once, once there are ranks to cut.

    Raises:
        DataError: if there are no ranks.
        ConfigError: if `ks` is empty or holds a K below 1.
    """
    _some(ranks)
    if len(ks) == 0 or min(ks) < 1:
        raise ConfigError(f"ks is {list(ks)}; give at least one K, each 1 or more.")
    return sorted({int(k) for k in ks})


@dataclass(frozen=True, slots=True)
class RetrievalMetrics:
    """One direction of retrieval.

    Args:
        recall: percent of queries with a positive in the first K, by K, K ascending.
        median_rank: median rank of the best positive, 1 is best.
        mean_rank: mean of the same.
        queries: number of queries averaged over.
        candidates: number of candidates each was ranked among.
    """

    recall: Mapping[int, float]
    median_rank: float
    mean_rank: float
    queries: int
    candidates: int

    @classmethod
    def of(
        cls, found: BestRanks, ks: Sequence[int] = DEFAULT_KS, ties: TieRule = "pessimistic"
    ) -> RetrievalMetrics:
        """Summarise the ranks of one direction.

        Args:
            found: of at least one query.
            ks: cut-offs of recall.
            ties: the rule by which ties are counted.

        Raises:
            DataError: if there is no query.
            ConfigError: if `ks` is empty or holds a K below 1, or `ties` is no rule.
        """
        ranks = found.ranks(ties)
        return cls(
            recall={k: 100.0 * float(np.mean(found.hits(k, ties))) for k in cutoffs(ks, ranks)},
            median_rank=median_rank(ranks),
            mean_rank=mean_rank(ranks),
            queries=len(ranks),
            candidates=found.candidates,
        )

    def to_dict(self) -> dict[str, float | int]:
        """For JSON: "R@1", "R@5", ..., "median_rank", "mean_rank", "queries", "candidates"."""
        return {
            **{f"R@{k}": value for k, value in self.recall.items()},
            "median_rank": self.median_rank,
            "mean_rank": self.mean_rank,
            "queries": self.queries,
            "candidates": self.candidates,
        }


@dataclass(frozen=True, slots=True)
class CrossModalMetrics:
    """Both directions of image-text retrieval.

    Args:
        i2t: images as queries, captions as candidates.
        t2i: captions as queries, images as candidates.
        ties: the tie rule that the ranks were taken with.
    """

    i2t: RetrievalMetrics
    t2i: RetrievalMetrics
    ties: TieRule = "pessimistic"

    @classmethod
    def of(
        cls,
        found: CrossModalRanks,
        ks: Sequence[int] = DEFAULT_KS,
        ties: TieRule = "pessimistic",
    ) -> CrossModalMetrics:
        """Summarise the ranks of both directions; see `RetrievalMetrics.of`."""
        i2t, t2i = (RetrievalMetrics.of(one, ks, ties) for one in (found.i2t, found.t2i))
        return cls(i2t, t2i, ties)

    @property
    def rsum(self) -> float:
        """Sum of the recalls of both directions, in percent points: at most 600 for three K."""
        return sum(self.i2t.recall.values()) + sum(self.t2i.recall.values())

    @property
    def mean_recall(self) -> float:
        """mR: the mean recall over directions and K, in percent."""
        return self.rsum / (len(self.i2t.recall) + len(self.t2i.recall))

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: "i2t" and "t2i" as `RetrievalMetrics.to_dict`, "rsum", "mR", "ties"."""
        return {
            "i2t": self.i2t.to_dict(),
            "t2i": self.t2i.to_dict(),
            "rsum": self.rsum,
            "mR": self.mean_recall,
            "ties": self.ties,
        }


def evaluate_scores(
    scores: Scores,
    relevance: Relevance,
    ks: Sequence[int] = DEFAULT_KS,
    *,
    ties: TieRule = "pessimistic",
) -> CrossModalMetrics:
    """Metrics of both directions of any scores: embeddings, a similarity matrix, an ensemble.

    Args:
        scores: (N, M), images in rows, captions in columns.
        relevance: the captions that are right for each image. An item without a right one is no
            query and stays a candidate.
        ks: cut-offs of recall, in any order.
        ties: see `TieRule`.

    Raises:
        DataError: if scores and relevance do not fit, or there is no pair.
        ConfigError: if `ks` or `ties` has a bad value.
    """
    return CrossModalMetrics.of(cross_modal_ranks(scores, relevance), ks, ties)


def evaluate_embeddings(
    images: Embeddings,
    captions: Embeddings,
    caption_image: np.ndarray,
    ks: Sequence[int] = DEFAULT_KS,
    *,
    ties: TieRule = "pessimistic",
) -> CrossModalMetrics:
    """Metrics of both directions, for any number of captions an image, in any order.

    Args:
        images: (N, D), one row an image, any float type; unit rows make scores cosines.
        captions: (M, D), one row a caption.
        caption_image: (M,) int, the row of `images` that each caption describes.
        ks: cut-offs of recall, in any order.
        ties: see `TieRule`.

    Raises:
        DataError: if the embeddings cannot be scored (the message names side and row), or
            `caption_image` does not fit them.
        ConfigError: if `ks` or `ties` has a bad value.
    """
    scores = EmbeddingScores(images, captions)
    relevance = Relevance.from_caption_image(caption_image, len(images))
    return evaluate_scores(scores, relevance, ks, ties=ties)
