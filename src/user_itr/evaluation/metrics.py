"""Recall at K, median and mean rank, and rsum; formulas and choices in docs/metrics.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.ranks import Embeddings, TieRule, retrieval_ranks

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


def _cutoffs(ks: Sequence[int]) -> list[int]:
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
    def from_ranks(
        cls, ranks: np.ndarray, candidates: int, ks: Sequence[int] = DEFAULT_KS
    ) -> RetrievalMetrics:
        """Summarise (Q,) int ranks among `candidates` candidates.

        Raises:
            DataError: if there are no ranks.
            ConfigError: if `ks` is empty or holds a K below 1.
        """
        return cls(
            recall={k: recall_at_k(ranks, k) for k in _cutoffs(ks)},
            median_rank=median_rank(ranks),
            mean_rank=mean_rank(ranks),
            queries=len(ranks),
            candidates=candidates,
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

    @property
    def rsum(self) -> float:
        """Sum of the recalls of both directions, in percent points: at most 600 for three K."""
        return sum(self.i2t.recall.values()) + sum(self.t2i.recall.values())

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: "i2t" and "t2i" as `RetrievalMetrics.to_dict`, "rsum", "ties"."""
        return {
            "i2t": self.i2t.to_dict(),
            "t2i": self.t2i.to_dict(),
            "rsum": self.rsum,
            "ties": self.ties,
        }


def evaluate_embeddings(
    images: Embeddings,
    captions: Embeddings,
    caption_image: np.ndarray,
    ks: Sequence[int] = DEFAULT_KS,
    *,
    ties: TieRule = "pessimistic",
) -> CrossModalMetrics:
    """Metrics of both directions, for any number of captions an image, in any order.

    An image without captions is no image-to-text query (it has no right answer) and stays a
    text-to-image candidate.

    Args:
        images: (N, D), one row an image, any float type; unit rows make scores cosines.
        captions: (M, D), one row a caption.
        caption_image: (M,) int, the row of `images` that each caption describes.
        ks: cut-offs of recall, in any order.
        ties: see `retrieval_ranks`.

    Returns:
        The metrics of both directions.

    Raises:
        DataError: if the embeddings cannot be scored (the message names side and row), or
            `caption_image` does not fit them.
        ConfigError: if `ks` or `ties` has a bad value.
    """
    ks = _cutoffs(ks)
    n_images, n_captions = len(images), len(captions)
    caption_image = as_caption_image(caption_image, n_captions)
    each = np.arange(n_captions + 1, dtype=np.int64)
    t2i = retrieval_ranks(
        captions, images, (each, caption_image), ties=ties, sides=("captions", "images")
    )
    counts = np.bincount(caption_image, minlength=n_images)
    described = np.flatnonzero(counts)
    i2t = retrieval_ranks(
        images if len(described) == n_images else take_rows(images, described),
        captions,
        (np.append(0, np.cumsum(counts[described])), np.argsort(caption_image, kind="stable")),
        ties=ties,
        sides=("images", "captions"),
    )
    return CrossModalMetrics(
        i2t=RetrievalMetrics.from_ranks(i2t, n_captions, ks),
        t2i=RetrievalMetrics.from_ranks(t2i, n_images, ks),
        ties=ties,
    )


def as_caption_image(values: np.ndarray, captions: int) -> np.ndarray:
    """`values` as an array (captions,) of image rows.

    Raises:
        DataError: if it has another shape, or no integers.
    """
    rows = np.asarray(values)
    if rows.shape != (captions,) or not np.issubdtype(rows.dtype, np.integer):
        raise DataError(
            f"caption_image is {rows.dtype}, {rows.shape}, for {captions} captions; "
            "give one int image row a caption."
        )
    return rows


def take_rows(values: Embeddings, rows: np.ndarray) -> Embeddings:
    """Some rows (R,) int of (N, D) embeddings, on the device where they are: (R, D)."""
    if isinstance(values, torch.Tensor):
        return values[torch.from_numpy(rows).to(values.device)]
    return np.take(values, rows, axis=0)
