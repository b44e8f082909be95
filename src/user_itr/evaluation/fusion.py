"""Ensembles by rank: reciprocal rank fusion, where models' scores are on no common scale.

Source: Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual
Rank Learning Methods", SIGIR 2009, with its constant of 60. Ensembles by mean score:
`scores.mean_scores`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.cross_modal import CrossModalRanks
from user_itr.evaluation.ranks import BestRanks, check_relevance
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import Scores

CONSTANT = 60
_BLOCK_SCORES = 2**21  # scores of a block of rows: 16 MB of float64


def fused_scores(parts: Sequence[Scores], start: int, stop: int, constant: float) -> np.ndarray:
    """Sum over models of 1 / (constant + place): rows from `start` to `stop`, (rows, C) float64.

    A place is 1 + the candidates with a higher score, by scores rounded to float32.
    """
    total = np.zeros((stop - start, parts[0].shape[1]))
    ahead = np.arange(parts[0].shape[1])
    share = np.empty_like(total)
    for part in parts:
        scores = part.rounded(start, stop)
        order = np.argsort(-scores, axis=1, kind="stable")
        values = np.take_along_axis(scores, order, axis=1)
        begins = np.ones(values.shape, bool)
        begins[:, 1:] = values[:, 1:] != values[:, :-1]
        places = np.maximum.accumulate(np.where(begins, ahead, 0), axis=1) + 1
        np.put_along_axis(share, order, 1.0 / (constant + places), axis=1)
        total += share
    return total


def fused_ranks(
    parts: Sequence[Scores], relevance: Relevance, constant: float = CONSTANT
) -> CrossModalRanks:
    """Rank both directions by reciprocal rank fusion of several models.

    Args:
        parts: each (N, M), images in rows, captions in columns.
        relevance: the captions that are right for each image.
        constant: added to every place; the larger, the less the first places outweigh others.

    Raises:
        ConfigError: if there is no model, or `constant` is below 0.
        DataError: if a model or the relevance is of other numbers of items.
    """
    if len(parts) == 0 or constant < 0:
        raise ConfigError(
            f"{len(parts)} models, constant {constant}; give at least one model and 0 or more."
        )
    for part in parts:
        check_relevance(part, relevance)
        if part.shape != parts[0].shape:
            raise DataError("the models score other numbers of items; give all the same.")
    back = [part.transpose() for part in parts]
    return CrossModalRanks(
        _ranks(parts, relevance, constant), _ranks(back, relevance.transpose(), constant)
    )


def _ranks(parts: Sequence[Scores], relevance: Relevance, constant: float) -> BestRanks:
    n_rows, n_columns = parts[0].shape
    height = max(1, _BLOCK_SCORES // n_columns)
    counts = np.empty((4, n_rows), np.int64)  # positive, ahead, tied, companions
    for first in range(0, n_rows, height):
        last = min(first + height, n_rows)
        scores = fused_scores(parts, first, last, constant)
        pairs = slice(relevance.offsets[first], relevance.offsets[last])
        right = np.zeros(scores.shape, bool)
        right[relevance.owners[pairs] - first, relevance.indices[pairs]] = True
        best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
        level = scores == best
        counts[:, first:last] = np.stack(
            [
                (level & right).argmax(axis=1),
                ((scores > best) & ~right).sum(axis=1),
                (level & ~right).sum(axis=1),
                (level & right).sum(axis=1) - 1,
            ]
        )
    queries = np.flatnonzero(relevance.counts)
    positive, ahead, tied, companions = counts[:, queries]
    return BestRanks(queries, positive, ahead, tied, companions, n_columns)
