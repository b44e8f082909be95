"""The rank of the right candidates of every query, exact to the tie, without sorting.

A rank is one more than the number of wrong candidates that score higher, so it is counted. Scores
are compared by their exact float64 values (see `scores`); how candidates that score the same as
the right one are counted is a stated rule, never an accident of the order of a file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch

from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.counting import Counts, count_ahead
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
        terms = (wrong, left + right, left, wrong + right)
        logs = [torch.lgamma(torch.from_numpy(term) + 1).numpy() for term in terms]
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


def as_tensor(rows: np.ndarray, device: torch.device) -> torch.Tensor:
    """An array on a device, without a copy where it is the CPU."""
    return torch.from_numpy(np.ascontiguousarray(rows)).to(device)


def pair_scores(scores: Scores, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Exact scores of pairs: two (P,) int64 arrays -> (P,) float64."""
    with torch.no_grad():
        found = scores.pairs(as_tensor(rows, scores.device), as_tensor(columns, scores.device))
    return found.cpu().numpy()


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
    exact = pair_scores(scores, relevance.owners, relevance.indices)
    best = _best(exact, relevance)
    left_out = left_out_pairs(relevance, exclude_self, scores.device)
    counts, _ = count_ahead(scores, as_tensor(best.thresholds, scores.device), None, left_out)
    return _counted(best, counts, relevance, scores.shape[1] - exclude_self)


def best_ranks_both(scores: Scores, relevance: Relevance) -> tuple[BestRanks, BestRanks]:
    """`best_ranks` of the scores and of their transpose, from one pass over the scores.

    Args:
        scores: (Q, C).
        relevance: of queries to candidates; candidates use the same pairs.

    Raises:
        DataError: as `best_ranks`.
    """
    relevance = ranked_relevance(scores, relevance, False)
    back = relevance.transpose()
    exact = pair_scores(scores, relevance.owners, relevance.indices)
    best = (_best(exact, relevance), _best(exact[relevance.transposed_order()], back))
    thresholds = [as_tensor(one.thresholds, scores.device) for one in best]
    left_out = left_out_pairs(relevance, False, scores.device)
    rows, columns = count_ahead(scores, thresholds[0], thresholds[1], left_out)
    return (
        _counted(best[0], rows, relevance, scores.shape[1]),
        _counted(best[1], columns, back, scores.shape[0]),
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


def left_out_pairs(
    relevance: Relevance, exclude_self: bool, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns, (P,) int64 each, of the pairs that are nobody\'s wrong candidates."""
    rows, columns = relevance.owners, relevance.indices
    if exclude_self:
        each = np.arange(relevance.queries)
        rows, columns = np.append(rows, each), np.append(columns, each)
    return as_tensor(rows, device), as_tensor(columns, device)


def _counted(
    best: _Best, counts: Counts | None, relevance: Relevance, candidates: int
) -> BestRanks:
    if counts is None:
        raise ValueError("count_ahead was given no thresholds for this side")
    return BestRanks(
        best.queries,
        relevance.indices[best.place],
        counts.ahead.cpu().numpy()[best.queries],
        counts.tied.cpu().numpy()[best.queries],
        best.companions,
        candidates,
    )
