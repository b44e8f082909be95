"""The rank of every right candidate, for the measures that look past the first one."""

from __future__ import annotations

import numpy as np
import torch

from user_itr.evaluation.counting import full_precision, interval
from user_itr.evaluation.ranks import (
    PositiveRanks,
    as_tensor,
    left_out_pairs,
    pair_scores,
    ranked_relevance,
)
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import Scores

_BLOCK_SCORES = 2**22  # scores of a block of rows: 16 MB, and 64 MB of places beside them


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
    exact = pair_scores(scores, relevance.owners, relevance.indices)
    rows, columns = left_out_pairs(relevance, exclude_self, scores.device)
    order = torch.argsort(rows, stable=True)
    rows, columns = rows[order], columns[order]
    ahead, tied = np.empty(len(exact), np.int64), np.empty(len(exact), np.int64)
    height = max(1, _BLOCK_SCORES // scores.shape[1])
    tile = torch.empty(min(height, scores.shape[0]), scores.shape[1], device=scores.device)
    with full_precision():
        scorer = scores.tile_scorer(0, scores.shape[1])
        for first in range(0, scores.shape[0], height):
            last = min(first + height, scores.shape[0])
            pairs = slice(relevance.offsets[first], relevance.offsets[last])
            if pairs.start == pairs.stop:
                continue
            block = tile[: last - first]
            scorer(first, last, block)
            bounds = torch.searchsorted(rows, torch.tensor([first, last], device=rows.device))
            inside = slice(*bounds.tolist())
            block[rows[inside] - first, columns[inside]] = -torch.inf
            ahead[pairs], tied[pairs] = _count_block(
                scores, block, first, relevance.owners[pairs] - first, exact[pairs]
            )
    return PositiveRanks(relevance, ahead, tied, exact)


def _count_block(
    scores: Scores, block: torch.Tensor, first: int, owners: np.ndarray, exact: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Wrong candidates ahead of, and tied with, each right one: two (P,) int64.

    Args:
        scores: of all rows.
        block: (n, C) float32 tile of some rows, -inf where a pair counts nowhere.
        first: the block's first row.
        owners: (P,) int64, row in the block of each right candidate, ascending.
        exact: (P,) float64, its exact score.
    """
    device = block.device
    height = len(block)
    counts = np.bincount(owners, minlength=height)
    width = int(counts.max())
    order = np.lexsort((exact, owners))
    slot = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    padded = np.full((height, width), np.inf)
    padded[owners, slot] = exact[order]  # each row ascending
    line = as_tensor(padded, device)  # (n, W) float64

    magnitude = scores.magnitude[first : first + height, None]
    low, high = interval(line, magnitude, scores.relative_error)
    edges, source = torch.cat([low, high], dim=1).sort(dim=1)  # (n, 2W)
    closes = torch.nn.functional.pad((source >= width).cumsum(1), (1, 0))  # right ones surely below
    opens = torch.arange(2 * width + 1, device=device) - closes
    # `edges` holds bounds of scores; a score in no open interval is decided.
    bins = torch.searchsorted(edges, block)  # edges strictly below each score
    undecided = (opens != closes).gather(1, bins)
    below = closes.gather(1, bins)
    base = torch.arange(height, device=device)[:, None] * (width + 1)
    decided = torch.bincount((below + base)[~undecided], minlength=height * (width + 1))

    rows, columns = undecided.nonzero(as_tuple=True)
    values = scores.pairs(rows + first, columns)
    less = _search(line, rows, values, right=False)
    less_or_equal = _search(line, rows, values, right=True)
    found = []
    for places in (less, less_or_equal):
        extra = torch.bincount(places + rows * (width + 1), minlength=height * (width + 1))
        table = (decided + extra).view(height, width + 1)
        above = table.flip(1).cumsum(1).flip(1)[:, 1:]  # candidates above each of the W
        found.append(above.cpu().numpy()[owners, slot])
    ahead, tied = np.empty(len(owners), np.int64), np.empty(len(owners), np.int64)
    ahead[order] = found[0]
    tied[order] = found[1] - found[0]
    return ahead, tied


def _search(
    line: torch.Tensor, rows: torch.Tensor, values: torch.Tensor, right: bool
) -> torch.Tensor:
    """Place of each value in its row of sorted (n, W) float64: (P,) int64.

    The rows of pairs are searched one value wide, in parts that keep the copies small.
    """
    places = torch.empty(len(rows), dtype=torch.int64, device=line.device)
    step = max(1, _BLOCK_SCORES // line.shape[1])
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        places[part] = torch.searchsorted(
            line[rows[part]], values[part, None], right=right
        ).squeeze(1)
    return places
