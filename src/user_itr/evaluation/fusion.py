"""Ensembles by rank: reciprocal rank fusion, where models' scores are on no common scale.

Source: Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual
Rank Learning Methods", SIGIR 2009, with its constant of 60. Ensembles by mean score:
`scores.mean_scores`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.cross_modal import CrossModalRanks
from user_itr.evaluation.ranks import BestRanks, check_relevance
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import Scores

CONSTANT = 60
_BLOCK_SCORES = 2**21  # scores of a block of rows: 16 MB of float64


def fused_scores(parts: Sequence[Scores], start: int, stop: int, constant: float) -> torch.Tensor:
    """Sum over models of 1 / (constant + place): rows from `start` to `stop`, (rows, C) float64.

    A place is 1 + the candidates with a higher score, by scores rounded to float32.
    """
    total = torch.zeros(stop - start, parts[0].shape[1], dtype=torch.float64)
    ahead = torch.arange(parts[0].shape[1])
    for part in parts:
        values, order = part.rounded(start, stop).cpu().sort(dim=1, descending=True)
        begins = torch.ones_like(values, dtype=torch.bool)
        begins[:, 1:] = values[:, 1:] != values[:, :-1]
        places = torch.where(begins, ahead, 0).cummax(dim=1).values + 1
        total.scatter_add_(1, order, 1.0 / (constant + places.double()))
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
        rows = torch.from_numpy(relevance.owners[pairs] - first)
        columns = torch.from_numpy(relevance.indices[pairs])
        right = torch.zeros(scores.shape, dtype=torch.bool)
        right[rows, columns] = True
        positive = scores.masked_fill(~right, -torch.inf).max(dim=1, keepdim=True)
        level = scores == positive.values
        counts[:, first:last] = torch.stack(
            [
                level.logical_and(right).to(torch.uint8).argmax(dim=1),
                ((scores > positive.values) & ~right).sum(dim=1),
                (level & ~right).sum(dim=1),
                (level & right).sum(dim=1) - 1,
            ]
        ).numpy()
    queries = np.flatnonzero(relevance.counts)
    positive, ahead, tied, companions = counts[:, queries]
    return BestRanks(queries, positive, ahead, tied, companions, n_columns)
