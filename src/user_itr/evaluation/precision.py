"""Metrics that look at every positive of a query: mAP@R, R-Precision and nDCG.

Recall at K asks for one right candidate; where a query has many, it says nothing about the others.
With R positives, placed p_1 < ... < p_R in the complete ranking of a query,

    mAP@R        1/R  sum over i with p_i <= R of i / p_i
    R-Precision  1/R  #{i: p_i <= R}
    nDCG         sum_i 1 / log2(1 + p_i)  /  sum_{i <= R} 1 / log2(1 + i)

Sources: Musgrave, Belongie and Lim, "A Metric Learning Reality Check", ECCV 2020 (mAP@R);
Buckley and Voorhees, "Retrieval System Evaluation", 2005 (R-Precision); Järvelin and Kekäläinen,
"Cumulated Gain-Based Evaluation of IR Techniques", TOIS 2002 (nDCG, here with gains of 0 and 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.ranks import PositiveRanks, TieRule


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the positives stand, query by query; queries without a positive are left out.

    Args:
        queries: (Q',) int64, rows of the queries, ascending.
        counts: (Q',) int64, R of each, 1 or more.
        places: (P,) float64 from 1, those of a query together and ascending; infinity for a
            positive that is not among the candidates.
    """

    queries: np.ndarray
    counts: np.ndarray
    places: np.ndarray

    @classmethod
    def of(
        cls,
        ranks: PositiveRanks,
        ties: TieRule = "pessimistic",
        missing: np.ndarray | None = None,
    ) -> Placement:
        """Sort the places of each query's positives.

        Args:
            ranks: of all positives.
            ties: "pessimistic" or "optimistic": whether wrong candidates of a positive's score
                stand before it. An expected place is no place, and has no precision.
            missing: (Q,) int, positives of each query that are not among the candidates: they count
                in R and are never found. None by default.

        Raises:
            ConfigError: if `ties` is another rule.
            DataError: if no query has a positive.
        """
        if ties not in ("pessimistic", "optimistic"):
            raise ConfigError(
                f"ties is {ties!r}; precision over all positives takes pessimistic or optimistic."
            )
        missing = np.zeros(ranks.relevance.queries, np.int64) if missing is None else missing
        counts = ranks.relevance.counts + missing
        queries = np.flatnonzero(counts)
        if len(queries) == 0:
            raise DataError("no query has a positive; there is nothing to average.")
        places = np.append(ranks.ranks(ties), np.full(missing.sum(), np.inf))
        owners = np.append(ranks.relevance.owners, np.repeat(np.arange(len(missing)), missing))
        return cls(queries, counts[queries], places[np.lexsort((places, owners))])

    @property
    def owners(self) -> np.ndarray:
        """(P,) int64, which of `queries`, counted from 0, each place belongs to."""
        return np.repeat(np.arange(len(self.queries)), self.counts)

    @property
    def order(self) -> np.ndarray:
        """(P,) int64 from 1: i of p_i, each place's number among those of its query."""
        starts = np.cumsum(self.counts) - self.counts
        numbers: np.ndarray = np.arange(1, len(self.places) + 1) - np.repeat(starts, self.counts)
        return numbers

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(P,) values of the positives -> (Q',) float64 sums over each query."""
        sums: np.ndarray = np.bincount(self.owners, values, minlength=len(self.queries))
        return sums


def average_precision_at_r(placement: Placement) -> np.ndarray:
    """AP@R of each query in [0, 1]: (Q',) float64."""
    inside = placement.places <= np.repeat(placement.counts, placement.counts)
    precisions: np.ndarray = inside * placement.order / placement.places
    mean: np.ndarray = placement.sums(precisions) / placement.counts
    return mean


def r_precision(placement: Placement) -> np.ndarray:
    """Share of positives among the first R of each query in [0, 1]: (Q',) float64."""
    inside = placement.places <= np.repeat(placement.counts, placement.counts)
    share: np.ndarray = placement.sums(inside) / placement.counts
    return share


def ndcg(placement: Placement, k: int | None = None) -> np.ndarray:
    """Normalised discounted cumulated gain of each query in [0, 1]: (Q',) float64.

    Args:
        placement: of the positives.
        k: only places up to k gain anything, in the ideal ranking too; all places by default.

    Raises:
        ConfigError: if `k` is below 1.
    """
    if k is not None and k < 1:
        raise ConfigError(f"k is {k}; nDCG is cut at place 1 or later.")
    depth = np.inf if k is None else k
    order = placement.order
    gained = placement.sums((placement.places <= depth) / np.log2(1 + placement.places))
    most = placement.sums((order <= depth) / np.log2(1 + order))
    share: np.ndarray = gained / most
    return share


@dataclass(frozen=True, slots=True)
class PrecisionMetrics:
    """Means over the queries of one direction, in percent.

    Args:
        map_at_r: mean of AP@R.
        r_precision: mean R-Precision.
        ndcg: mean nDCG over the complete ranking.
        ndcg_at_10: mean nDCG of the first ten places.
        queries: number of queries that have a positive.
        positives: of all these queries together.
    """

    map_at_r: float
    r_precision: float
    ndcg: float
    ndcg_at_10: float
    queries: int
    positives: int

    @classmethod
    def of(cls, placement: Placement) -> PrecisionMetrics:
        """Average over the queries of a placement."""
        return cls(
            map_at_r=100 * float(average_precision_at_r(placement).mean()),
            r_precision=100 * float(r_precision(placement).mean()),
            ndcg=100 * float(ndcg(placement).mean()),
            ndcg_at_10=100 * float(ndcg(placement, 10).mean()),
            queries=len(placement.queries),
            positives=len(placement.places),
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON: "mAP@R", "R-Precision", "nDCG", "nDCG@10" in percent, "queries",
        "positives"."""
        return {
            "mAP@R": self.map_at_r,
            "R-Precision": self.r_precision,
            "nDCG": self.ndcg,
            "nDCG@10": self.ndcg_at_10,
            "queries": self.queries,
            "positives": self.positives,
        }
