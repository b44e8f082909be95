"""How many candidates score above, or the same as, a threshold of each row and of each column.

One pass over tiles of the scores serves both directions, and any number of ground truths with
thresholds of their own. A tile's comparisons are bytes; eight of them are added at once as one
64-bit word, a byte a lane, which is why no more than 255 are summed before the lanes are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from user_itr.evaluation.scores import UNIT, Scores

ROWS = 1920
"""Most rows of a tile: enough for a matrix product at full speed."""

COLUMNS = 2048
"""Most columns of a tile: 16 MB of scores with its rows, near the processor while counted."""

_LANES = 8
_GROUP = 128  # words of a row summed before their lanes are read
_STRIP = 240  # rows summed before their lanes are read
_KERNEL = 48  # rows and columns that matrix kernels take at once divide it


@dataclass
class Counts:
    """Candidates against the threshold of each query, both (n,) int64.

    Args:
        ahead: those with a higher score.
        tied: those with exactly its score.
    """

    ahead: np.ndarray
    tied: np.ndarray


@dataclass(frozen=True)
class Bars:
    """The thresholds of one ground truth: exact scores, NaN where a row or column is no query.

    Args:
        rows: (Q,) float64; None where rows are not asked.
        columns: (C,) float64; None where columns are not asked.
    """

    rows: np.ndarray | None = None
    columns: np.ndarray | None = None


class _Threshold:
    """One side's thresholds, the float32 interval in which a tile cannot decide, and the counts.

    A threshold of NaN marks a row that is no query: nothing compares with it.
    """

    def __init__(self, best: np.ndarray, scores: Scores) -> None:
        self.best = best
        self.low, self.high = interval(best, scores.magnitude, scores.relative_error)
        self.counts = Counts(np.zeros(len(best), np.int64), np.zeros(len(best), np.int64))

    def settle(self, rows: np.ndarray, tile: np.ndarray, exact: np.ndarray) -> None:
        """Count pairs by their exact scores where the tile's could not decide."""
        open_ = (tile >= self.low[rows]) & (tile <= self.high[rows])
        rows, exact = rows[open_], exact[open_]
        np.add.at(self.counts.ahead, rows[exact > self.best[rows]], 1)
        np.add.at(self.counts.tied, rows[exact == self.best[rows]], 1)


@dataclass(frozen=True)
class _Side:
    """A threshold against a tile: the first and last of its rows that the tile is about, and the
    axis of the tile that is summed."""

    threshold: _Threshold
    first: int
    last: int
    axis: int


def interval(
    thresholds: np.ndarray, magnitude: np.ndarray, relative_error: float
) -> tuple[np.ndarray, np.ndarray]:
    """Float32 bounds (low, high): a tile's score outside [low, high] is decided.

    Args:
        thresholds: float64, of any shape.
        magnitude: float64, a shape that broadcasts to it.
        relative_error: of the tile's scores, to the magnitude.
    """
    margin: np.ndarray | float = 0.0
    if relative_error:
        margin = (relative_error + UNIT) * magnitude + 2.0**-80  # what underflows in float32
    infinity = np.float32(np.inf)
    low = np.nextafter((thresholds - margin).astype(np.float32), -infinity)
    high = np.nextafter((thresholds + margin).astype(np.float32), infinity)
    return low, high


def count_ahead(scores: Scores, bars: Sequence[Bars]) -> list[tuple[Counts | None, Counts | None]]:
    """Count against row thresholds, column thresholds, or both, in one pass.

    Every pair counts, those of a query with its right candidates too.

    Args:
        scores: (Q, C). Where they are symmetric and no column is asked, half of them are made.
        bars: thresholds of each ground truth.

    Returns:
        For each of `bars`, the counts of rows and of columns, None where none were asked.
    """
    by_row = [None if one.rows is None else _Threshold(one.rows, scores) for one in bars]
    back = scores.transpose()
    by_column = [None if one.columns is None else _Threshold(one.columns, back) for one in bars]
    halved = scores.symmetric and not any(by_column)
    height = _even(scores.shape[0], COLUMNS if halved else ROWS)
    width = height if halved else _even(scores.shape[1], COLUMNS)
    step = _LANES * _GROUP
    masks = np.zeros((3, height, -(-width // step) * step), np.uint8)
    buffer = np.empty(height * width, np.float32)
    for first, last, start, stop, tile in _tiles(scores, height, width, halved, buffer):
        sides = [_Side(one, first, last, 1) for one in by_row if one]
        sides += [_Side(one, start, stop, 0) for one in by_column if one]
        if halved and start != first:  # the same scores, of the columns as queries
            sides += [_Side(one, start, stop, 0) for one in by_row if one]
        if stop - start < width:
            masks[...] = 0  # a narrower tile: nothing may be left of the one before
        _count_tile(scores, tile, (first, start), sides, masks)
    return [
        (row.counts if row else None, column.counts if column else None)
        for row, column in zip(by_row, by_column, strict=True)
    ]


def _tiles(
    scores: Scores, height: int, width: int, halved: bool, buffer: np.ndarray
) -> Iterator[tuple[int, int, int, int, np.ndarray]]:
    """Rows from first to last, columns from start to stop, and their scores, in `buffer`."""
    n_rows, n_columns = scores.shape
    for start in range(0, n_columns, width):
        stop = min(start + width, n_columns)
        scorer = scores.tile_scorer(start, stop)
        for first in range(0, stop if halved else n_rows, height):
            last = min(first + height, n_rows)
            tile = buffer[: (last - first) * (stop - start)].reshape(last - first, stop - start)
            scorer(first, last, tile)
            yield first, last, start, stop, tile


def _count_tile(
    scores: Scores,
    tile: np.ndarray,
    origin: tuple[int, int],
    sides: Sequence[_Side],
    masks: np.ndarray,
) -> None:
    (first, start), (height, width) = origin, tile.shape
    sure, maybe, undecided = (mask[:height] for mask in masks)
    found = undecided.view(np.uint64)
    found[...] = 0
    for side in sides:
        part = slice(side.first, side.last)
        low, high = (
            np.expand_dims(bound[part], side.axis)
            for bound in (side.threshold.low, side.threshold.high)
        )
        np.greater(tile, high, out=sure.view(np.bool_)[:, :width])
        np.greater_equal(tile, low, out=maybe.view(np.bool_)[:, :width])
        side.threshold.counts.ahead[part] += _sums(sure, side.axis)[: side.last - side.first]
        words = maybe.view(np.uint64)
        words ^= sure.view(np.uint64)
        found |= words
    rows, places = np.nonzero(found)
    if len(rows) == 0:
        return
    word, lane = np.nonzero(undecided.reshape(height, -1, _LANES)[rows, places])
    rows, columns = rows[word], places[word] * _LANES + lane
    exact = scores.pairs(rows + first, columns + start)
    values = tile[rows, columns]
    for side in sides:
        side.threshold.settle((rows if side.axis else columns) + side.first, values, exact)


def _even(size: int, most: int) -> int:
    """Length of pieces, at most about `most`, that cut `size` with no short piece at the end."""
    piece = -(-size // -(-size // most))
    return min(size, -(-piece // _KERNEL) * _KERNEL)


def _sums(mask: np.ndarray, axis: int) -> np.ndarray:
    """Sums of an (n, m) matrix of 0 and 1 bytes over an axis: int64."""
    words = mask.view(np.uint64)
    if axis == 0:
        total = np.zeros(mask.shape[1], np.int64)
        for first in range(0, len(words), _STRIP):
            total += np.add.reduce(words[first : first + _STRIP], axis=0).view(np.uint8)
        return total
    lanes = np.add.reduce(words.reshape(len(words), -1, _GROUP), axis=2).view(np.uint8)
    return np.asarray(lanes.sum(axis=1, dtype=np.int64))
