"""The rank of every right candidate, for the measures that look past the first one."""

from __future__ import annotations

import numpy as np

from user_itr.evaluation.counting import interval
from user_itr.evaluation.ranks import PositiveRanks, ranked_relevance
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import Scores

_BLOCK_SCORES = 2**22  # scores of a block of rows: 16 MB


def positive_ranks(
    scores: Scores, relevance: Relevance, *, exclude_self: bool = False
) -> PositiveRanks:
    """Rank every right candidate of every query among the wrong ones.

    The exact scores of a query's right candidates, ascending, cut the line into intervals. Every
    wrong candidate falls into one, by binary search, and a sum over the intervals above gives
    the number ahead of each right one.

    Args:
        scores: (Q, C).
        relevance: of the same queries and candidates.
        exclude_self: see `best_ranks`.

    Raises:
        DataError: as `best_ranks`.
    """
    relevance = ranked_relevance(scores, relevance, exclude_self)
    exact = scores.pairs(relevance.owners, relevance.indices)
    ahead, tied = np.zeros(len(exact), np.int64), np.zeros(len(exact), np.int64)
    height = max(1, _BLOCK_SCORES // scores.shape[1])
    tile = np.empty((min(height, scores.shape[0]), scores.shape[1]), np.float32)
    scorer = scores.tile_scorer(0, scores.shape[1])
    for first in range(0, scores.shape[0], height):
        last = min(first + height, scores.shape[0])
        pairs = slice(relevance.offsets[first], relevance.offsets[last])
        if pairs.start == pairs.stop:
            continue
        block = tile[: last - first]
        scorer(first, last, block)
        owners = relevance.owners[pairs] - first
        block[owners, relevance.indices[pairs]] = -np.inf
        if exclude_self:
            each = np.arange(last - first)
            block[each, each + first] = -np.inf
        ahead[pairs], tied[pairs] = _count_block(scores, block, first, owners, exact[pairs])
    return PositiveRanks(relevance, ahead, tied, exact)


def _count_block(
    scores: Scores, block: np.ndarray, first: int, owners: np.ndarray, exact: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Wrong candidates ahead of, and tied with, each right one: two (P,) int64.

    Args:
        scores: of all rows.
        block: (n, C) float32 tile of some rows, -inf where a pair counts nowhere.
        first: the block's first row.
        owners: (P,) int64, row in the block of each right candidate, ascending.
        exact: (P,) float64, its exact score.
    """
    counts = np.bincount(owners, minlength=len(block))
    starts = np.cumsum(counts) - counts
    order = np.lexsort((exact, owners))
    line = exact[order]  # each row's scores ascending
    low, high = interval(line, scores.magnitude[first + owners], scores.relative_error)
    ahead, tied = np.empty(len(line), np.int64), np.zeros(len(line), np.int64)
    open_rows, open_columns = [], []
    for row in np.flatnonzero(counts).tolist():
        part = slice(starts[row], starts[row] + counts[row])
        edges = np.append(low[part], high[part])
        sorting = np.argsort(edges, kind="stable")
        closes = np.append(0, np.cumsum(sorting >= counts[row]))  # right ones surely below
        is_open = np.arange(len(closes)) - closes != closes  # inside an interval that is open
        bins = np.searchsorted(edges[sorting], block[row])  # edges strictly below each score
        found = np.bincount(bins, minlength=len(closes))
        sure = np.bincount(closes[~is_open], found[~is_open], minlength=counts[row] + 1)
        ahead[part] = np.cumsum(sure[::-1])[::-1][1:]  # candidates above each
        if found[is_open].any():
            columns = np.flatnonzero(is_open[bins])
            open_rows.append(np.full(len(columns), row))
            open_columns.append(columns)
    if open_rows:
        rows, columns = np.concatenate(open_rows), np.concatenate(open_columns)
        values = scores.pairs(rows + first, columns)
        bounds = np.searchsorted(rows, np.arange(len(block) + 1))
        for row in np.unique(rows).tolist():
            part = slice(starts[row], starts[row] + counts[row])
            here = np.sort(values[bounds[row] : bounds[row + 1]])
            above = len(here) - np.searchsorted(here, line[part], side="right")
            ahead[part] += above
            tied[part] = len(here) - np.searchsorted(here, line[part], side="left") - above
    placed = np.empty((2, len(line)), np.int64)
    placed[:, order] = ahead, tied
    return placed[0], placed[1]
