"""The rank of the right candidates of every query, exact to the tie, without sorting.

A rank is one more than the number of wrong candidates that score higher, so it is counted. Scores
are compared by their exact float64 values (see `scores`); how candidates that score the same as
the right one are counted is a stated rule, never an accident of the order of a file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np

from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.counting import Bars, Counts, count_ahead
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import Scores

TieRule: TypeAlias = Literal["pessimistic", "optimistic", "expected"]
"""Where wrong candidates with the score of the best right one stand: before it, after it, or in a
random order with it, over which the figures are averaged."""


def check_ties(ties: str) -> None:
    """Raise ConfigError if `ties` is no `TieRule`."""
    if ties not in get_args(TieRule):
        raise ConfigError(f"ties is {ties!r}; use one of {', '.join(get_args(TieRule))}.")


@dataclass(frozen=True, slots=True)
class BestRanks:
    """The best-placed right candidate of every query that has one; all arrays are (Q',) int64.

    Args:
        queries: rows of the queries, ascending; a query without a right candidate is left out.
        positive: row of the right candidate with the highest score, the lowest such row.
        ahead: wrong candidates with a higher score.
        tied: wrong candidates with the same score.
        companions: further right candidates with the same score.
        candidates: number of candidates that each query was ranked among.
    """

    queries: np.ndarray
    positive: np.ndarray
    ahead: np.ndarray
    tied: np.ndarray
    companions: np.ndarray
    candidates: int

    def ranks(self, ties: TieRule = "pessimistic") -> np.ndarray:
        """Rank of the best right candidate, 1 is best; other right ones never stand before it.

        Args:
            ties: the rule. In a random order of t wrong and m right candidates the first right
                one is expected at place 1 + t / (m + 1).

        Returns:
            (Q',) int64; float64 where `ties` is "expected".

        Raises:
            ConfigError: if `ties` is no rule.
        """
        check_ties(ties)
        if ties == "expected":
            return np.asarray(1 + self.ahead + self.tied / (self.companions + 2))
        ahead = self.ahead + self.tied if ties == "pessimistic" else self.ahead
        return np.asarray(1 + ahead)

    def hits(self, k: int, ties: TieRule = "pessimistic") -> np.ndarray:
        """Whether a right candidate is among the first K: (Q',) float64, 0 or 1.

        With `ties` "expected" it is the probability over random orders of the tied: with
        r = K - ahead places left for t wrong and m right ones, 1 - C(t, r) / C(t + m, r).

        Raises:
            ConfigError: if `ties` is no rule.
        """
        if ties != "expected":
            return (self.ranks(ties) <= k).astype(np.float64)
        places = np.clip(k - self.ahead, 0, self.tied + 1)  # more than the wrong ones always hit
        wrong, right = self.tied.astype(np.float64), self.companions + 1.0
        left = np.maximum(wrong - places, 0)
        # C(t, r) / C(t + m, r) = (t! (t + m - r)!) / ((t - r)! (t + m)!)
        logs = [_log_factorials(term) for term in (wrong, left + right, left, wrong + right)]
        miss = np.exp(logs[0] + logs[1] - logs[2] - logs[3])
        return np.where(places > wrong, 1.0, np.where(places == 0, 0.0, 1 - miss))

    def take(self, kept: np.ndarray) -> BestRanks:
        """Some of the queries, by a mask or by places in `queries`."""
        columns = ("queries", "positive", "ahead", "tied", "companions")
        return replace(self, **{name: getattr(self, name)[kept] for name in columns})


@dataclass(frozen=True, slots=True)
class PositiveRanks:
    """Every right candidate of every query, in the order of `relevance.indices`.

    Args:
        relevance: P pairs.
        ahead: (P,) int64, wrong candidates of the query with a higher score.
        tied: (P,) int64, wrong candidates with the same score.
        scores: (P,) float64, exact.
    """

    relevance: Relevance
    ahead: np.ndarray
    tied: np.ndarray
    scores: np.ndarray

    def ranks(self, ties: Literal["pessimistic", "optimistic"] = "pessimistic") -> np.ndarray:
        """Place in the whole ranking of the query, other right candidates counted: (P,) int64.

        Right candidates of one score stand in the order of their rows.

        Raises:
            ConfigError: if `ties` is another rule; an expected place of each is no ranking.
        """
        if ties not in ("pessimistic", "optimistic"):
            raise ConfigError(f"ties is {ties!r}; use pessimistic or optimistic here.")
        owners, offsets = self.relevance.owners, self.relevance.offsets
        order = np.lexsort((-self.scores, owners))  # stable: rows ascending within a score
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order)) - offsets[:-1][owners]
        return 1 + self.ahead + place + (self.tied if ties == "pessimistic" else 0)

    def best(self) -> BestRanks:
        """The best right candidate of every query that has one."""
        found = _best(self.scores, self.relevance)
        at = found.place
        return BestRanks(
            found.queries,
            self.relevance.indices[at],
            self.ahead[at],
            self.tied[at],
            found.companions,
            self.relevance.candidates,
        )


@dataclass(frozen=True, slots=True)
class _Best:
    """The highest of a query's exact scores: `queries`, `place` among the pairs, `companions`
    (each (Q',) int64), and `thresholds` (Q,) float64 with NaN for queries without a pair."""

    queries: np.ndarray
    place: np.ndarray
    companions: np.ndarray
    thresholds: np.ndarray


def _best(scores: np.ndarray, relevance: Relevance) -> _Best:
    queries = np.flatnonzero(relevance.counts)
    thresholds = np.full(relevance.queries, np.nan)
    if len(queries):
        thresholds[queries] = np.maximum.reduceat(scores, relevance.offsets[queries])
    at = np.flatnonzero(scores == thresholds[relevance.owners])  # ascending by query
    owners, first, counts = np.unique(relevance.owners[at], return_index=True, return_counts=True)
    return _Best(owners, at[first], counts - 1, thresholds)


def check_relevance(scores: Scores, relevance: Relevance) -> None:
    """Raise DataError if the relevance is of other numbers of items than the scores."""
    if (relevance.queries, relevance.candidates) != scores.shape:
        raise DataError(
            f"{scores.shape[0]} {scores.sides[0]} and {scores.shape[1]} {scores.sides[1]} are "
            f"scored, and the ground truth is of {relevance.queries} and {relevance.candidates}; "
            "give the ground truth of the items that were embedded."
        )


def _log_factorials(values: np.ndarray) -> np.ndarray:
    """log(v!) of whole numbers that repeat: float64 -> float64."""
    distinct, inverse = np.unique(values, return_inverse=True)
    return np.array([math.lgamma(value + 1) for value in distinct.tolist()])[inverse.ravel()]


def best_ranks(scores: Scores, relevance: Relevance, *, exclude_self: bool = False) -> BestRanks:
    """Rank the best right candidate of every query that has one.

    Args:
        scores: (Q, C).
        relevance: of the same queries and candidates.
        exclude_self: queries and candidates are the same items, and query i is never shown
            candidate i (image to image, text to text).

    Raises:
        DataError: if scores and relevance do not fit, or with `exclude_self` Q is not C.
    """
    relevance = ranked_relevance(scores, relevance, exclude_self)
    one = _Asked(relevance, scores.pairs(relevance.owners, relevance.indices))
    [(counts, _)] = count_ahead(scores, [Bars(one.best.thresholds)])
    selves = None
    if exclude_self:
        each = np.arange(relevance.queries)
        selves = scores.pairs(each, each)
    return one.counted(counts, selves)


def best_ranks_both(
    scores: Scores, relevances: Sequence[Relevance]
) -> list[tuple[BestRanks, BestRanks]]:
    """`best_ranks` of the scores and of their transpose by each of some ground truths.

    All come from one pass over the scores.

    Args:
        scores: (Q, C).
        relevances: of queries to candidates; candidates use the same pairs.

    Raises:
        DataError: as `best_ranks`.
    """
    if not scores.one_way:
        back = scores.transpose()
        return [(best_ranks(scores, one), best_ranks(back, one.transpose())) for one in relevances]
    asked = []
    for relevance in relevances:
        check_relevance(scores, relevance)
        exact = scores.pairs(relevance.owners, relevance.indices)
        turned = _Asked(relevance.transpose(), exact[relevance.transposed_order()])
        asked.append((_Asked(relevance, exact), turned))
    bars = [Bars(one.best.thresholds, turned.best.thresholds) for one, turned in asked]
    return [
        (one.counted(rows), turned.counted(columns))
        for (one, turned), (rows, columns) in zip(asked, count_ahead(scores, bars), strict=True)
    ]


class _Asked:
    """Queries with their right candidates' exact scores, to be counted.

    Args:
        relevance: P pairs.
        exact: (P,) float64.
    """

    def __init__(self, relevance: Relevance, exact: np.ndarray) -> None:
        self.relevance, self.exact = relevance, exact
        self.best = _best(exact, relevance)

    def counted(self, counts: Counts | None, selves: np.ndarray | None = None) -> BestRanks:
        """The ranks, from the counts of all candidates.

        Args:
            counts: of every query, right candidates and the query itself included. None of the
                right ones is ahead of the best of them.
            selves: (Q,) float64 score of each query with itself, where it is no candidate.
        """
        if counts is None:
            raise ValueError("count_ahead was given no thresholds for this side")
        queries, thresholds = self.best.queries, self.best.thresholds
        ahead = counts.ahead[queries]
        tied = counts.tied[queries] - 1 - self.best.companions
        if selves is not None:
            ahead -= selves[queries] > thresholds[queries]
            tied -= selves[queries] == thresholds[queries]
        return BestRanks(
            queries,
            self.relevance.indices[self.best.place],
            ahead,
            tied,
            self.best.companions,
            self.relevance.candidates - (selves is not None),
        )


def ranked_relevance(scores: Scores, relevance: Relevance, exclude_self: bool) -> Relevance:
    """The pairs that are ranked, once they are known to fit the scores; see `best_ranks`."""
    check_relevance(scores, relevance)
    if not exclude_self:
        return relevance
    if scores.shape[0] != scores.shape[1]:
        raise DataError(
            f"{scores.shape[0]} {scores.sides[0]} and {scores.shape[1]} {scores.sides[1]}: "
            "only the same items on both sides can leave themselves out."
        )
    return relevance.without_self()
