"""How many candidates score above, or the same as, a threshold of each row and of each column.

One pass over tiles of the scores serves both directions. A tile's comparisons are bytes; eight of
them are added at once as one 64-bit word, a byte a lane, which is why no more than 255 are summed
before the lanes are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from user_itr.evaluation.scores import UNIT, Scores

ROWS = 1920
"""Most rows of a tile: enough for a matrix product at full speed."""

COLUMNS = 2048
"""Most columns of a tile: 16 MB of scores with its rows, near the processor while counted."""

_LANES = 8
_GROUP = 128  # words of a row summed before their lanes are read
_STRIP = 240  # rows summed before their lanes are read
_KERNEL = 48  # rows and columns that matrix kernels take at once divide it


@contextmanager
def full_precision() -> Iterator[None]:
    """Float32 products in float32: no TF32, no bfloat16, whatever the process has chosen."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_float32_matmul_precision(before)


@dataclass
class Counts:
    """Candidates against the threshold of each query, both (n,) int64.

    Args:
        ahead: those with a higher score.
        tied: those with exactly its score.
    """

    ahead: torch.Tensor
    tied: torch.Tensor


class _Threshold:
    """One side's thresholds, the float32 interval in which a tile cannot decide, and the counts.

    A threshold of NaN marks a row that is no query: nothing compares with it.
    """

    def __init__(self, best: torch.Tensor, scores: Scores) -> None:
        self.best = best
        self.low, self.high = interval(best, scores.magnitude, scores.relative_error)
        zeros = torch.zeros(len(best), dtype=torch.int64, device=best.device)
        self.counts = Counts(zeros, zeros.clone())

    def settle(self, rows: torch.Tensor, tile: torch.Tensor, exact: torch.Tensor) -> None:
        """Count pairs by their exact scores where the tile's could not decide."""
        open_ = (tile >= self.low[rows]) & (tile <= self.high[rows])
        rows, exact = rows[open_], exact[open_]
        size = len(self.best)
        self.counts.ahead += torch.bincount(rows[exact > self.best[rows]], minlength=size)
        self.counts.tied += torch.bincount(rows[exact == self.best[rows]], minlength=size)


def interval(
    thresholds: torch.Tensor, magnitude: torch.Tensor, relative_error: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Float32 bounds (low, high): a tile's score outside [low, high] is decided.

    Args:
        thresholds: float64, of any shape.
        magnitude: float64, a shape that broadcasts to it.
        relative_error: of the tile's scores, to the magnitude.
    """
    margin = torch.zeros_like(magnitude)
    if relative_error:
        margin = (relative_error + UNIT) * magnitude + 2.0**-80  # what underflows in float32
    infinity = torch.tensor(float("inf"), device=thresholds.device)
    low = torch.nextafter((thresholds - margin).float(), -infinity)
    high = torch.nextafter((thresholds + margin).float(), infinity)
    return low, high


def count_ahead(
    scores: Scores,
    row_best: torch.Tensor | None,
    column_best: torch.Tensor | None,
    left_out: tuple[torch.Tensor, torch.Tensor],
) -> tuple[Counts | None, Counts | None]:
    """Count against row thresholds, column thresholds, or both, in one pass.

    Args:
        scores: (Q, C).
        row_best: (Q,) float64 exact scores, NaN where a row is no query.
        column_best: (C,) float64, the same of columns.
        left_out: rows and columns (P,) int64 of pairs that count nowhere.

    Returns:
        The counts of rows and of columns, None where no threshold was given.
    """
    n_rows, n_columns = scores.shape
    device = scores.device
    by_row = None if row_best is None else _Threshold(row_best, scores)
    by_column = None if column_best is None else _Threshold(column_best, scores.transpose())
    out_rows, out_columns = left_out
    height, width = _even(n_rows, ROWS), _even(n_columns, COLUMNS)
    order = torch.argsort(out_columns // width * n_rows + out_rows)
    out_rows, out_columns = out_rows[order], out_columns[order]
    place = out_columns // width * n_rows + out_rows  # ascending

    step = _LANES * _GROUP
    padded = -(-width // step) * step
    buffer = torch.empty(height * width, device=device)
    masks = torch.zeros(3, height, padded, dtype=torch.uint8, device=device)
    with full_precision():
        for start in range(0, n_columns, width):
            stop = min(start + width, n_columns)
            scorer = scores.tile_scorer(start, stop)
            if stop - start < width:
                masks.zero_()  # the last tile is narrower: nothing may be left of the one before
            for first in range(0, n_rows, height):
                last = min(first + height, n_rows)
                tile = buffer[: (last - first) * (stop - start)].view(last - first, stop - start)
                scorer(first, last, tile)
                base = start // width * n_rows
                bounds = torch.searchsorted(
                    place, torch.tensor([base + first, base + last], device=device)
                ).tolist()
                inside = slice(*bounds)
                tile[out_rows[inside] - first, out_columns[inside] - start] = -torch.inf
                _count_tile(scores, tile, (first, start), by_row, by_column, masks)
    return tuple(side.counts if side else None for side in (by_row, by_column))  # type: ignore[return-value]


def _count_tile(
    scores: Scores,
    tile: torch.Tensor,
    origin: tuple[int, int],
    by_row: _Threshold | None,
    by_column: _Threshold | None,
    masks: torch.Tensor,
) -> None:
    (first, start), (height, width) = origin, tile.shape
    sure, maybe, undecided = (mask[:height] for mask in masks)
    found = undecided.view(torch.int64)
    found.zero_()
    sides = ((by_row, first, height, 1), (by_column, start, width, 0))
    for side, offset, size, axis in sides:
        if side is None:
            continue
        low, high = (
            bound[offset : offset + size].unsqueeze(axis) for bound in (side.low, side.high)
        )
        torch.gt(tile, high, out=sure.view(torch.bool)[:, :width])
        torch.ge(tile, low, out=maybe.view(torch.bool)[:, :width])
        side.counts.ahead[offset : offset + size] += _sums(sure, axis)[:size]
        found |= sure.view(torch.int64) ^ maybe.view(torch.int64)
    words = found.nonzero()
    if len(words) == 0:
        return
    lanes = undecided.view(height, -1, _LANES)[words[:, 0], words[:, 1]].nonzero()
    rows = words[lanes[:, 0], 0]
    columns = words[lanes[:, 0], 1] * _LANES + lanes[:, 1]
    exact = scores.pairs(rows + first, columns + start)
    values = tile[rows, columns]
    if by_row is not None:
        by_row.settle(rows + first, values, exact)
    if by_column is not None:
        by_column.settle(columns + start, values, exact)


def _even(size: int, most: int) -> int:
    """Length of pieces, at most about `most`, that cut `size` with no short piece at the end."""
    piece = -(-size // -(-size // most))
    return min(size, -(-piece // _KERNEL) * _KERNEL)


def _sums(mask: torch.Tensor, axis: int) -> torch.Tensor:
    """Sums of an (n, m) matrix of 0 and 1 bytes over an axis: int64."""
    words = mask.view(torch.int64)
    if axis == 0:
        strips = [strip.sum(0).view(torch.uint8) for strip in torch.split(words, _STRIP)]
        return torch.stack(strips).sum(0, dtype=torch.int64)
    return words.view(len(words), -1, _GROUP).sum(2).view(torch.uint8).sum(1, dtype=torch.int64)
