"""The first K candidates of every query."""

from __future__ import annotations

import numpy as np

from user_itr.errors import ConfigError
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import Scores

_BLOCK_SCORES = 2**22  # scores of a block of rows: 16 MB


def top_candidates(
    scores: Scores,
    k: int,
    *,
    exclude_self: bool = False,
    tied: Relevance | None = None,
    right_first: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The K best candidates of each query, best first; equal scores in the order of their rows.

    Args:
        scores: (Q, C).
        k: at most as many as there are candidates; fewer are given where there are fewer.
        exclude_self: query i is never shown candidate i.
        tied: what is right, where equal scores are to stand by a tie rule, and then by row.
        right_first: by that rule, right candidates come before wrong ones.

    Returns:
        Candidate rows (Q, K) int64 and their exact scores (Q, K) float64.

    Raises:
        ConfigError: if `k` is below 1.
    """
    if k < 1:
        raise ConfigError(f"k is {k}; give at least 1 candidate.")
    n_rows, n_columns = scores.shape
    k = min(k, n_columns - exclude_self)
    rows_out = np.empty((n_rows, k), np.int64)
    scores_out = np.empty((n_rows, k))
    height = max(1, _BLOCK_SCORES // n_columns)
    tile = np.empty((min(height, n_rows), n_columns), np.float32)
    scorer = scores.tile_scorer(0, n_columns)
    keys = np.empty(0) if tied is None else tied.owners * n_columns + tied.indices
    margin = 2.02 * scores.relative_error * scores.magnitude
    for first in range(0, n_rows, height):
        last = min(first + height, n_rows)
        block = tile[: last - first]
        scorer(first, last, block)
        if exclude_self:
            each = np.arange(last - first)
            block[each, each + first] = -np.inf
        least = np.partition(block, n_columns - k, axis=1)[:, n_columns - k].astype(np.float64)
        least = np.nextafter((least - margin[first:last]).astype(np.float32), np.float32(-np.inf))
        rows, columns = np.nonzero(block >= least[:, None])
        exact = scores.pairs(rows + first, columns)
        level = np.zeros(len(rows), bool)
        if tied is not None:
            level = np.isin((rows + first) * n_columns + columns, keys) ^ right_first
        order = np.lexsort((columns, level, -exact, rows))
        counts = np.bincount(rows, minlength=last - first)
        starts = np.cumsum(counts) - counts
        chosen = order[starts[:, None] + np.arange(k)]
        rows_out[first:last] = columns[chosen]
        scores_out[first:last] = exact[chosen]
    return rows_out, scores_out
