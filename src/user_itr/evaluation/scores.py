"""Scores of (query, candidate) pairs that can be ranked without being held.

Two views of the same scores make an exact ranking cheap. A *tile* holds float32 scores of a block
of pairs, as fast as the machine multiplies matrices, each within a known bound of the exact one. A
*pair* has an exact score: a float64 value that hangs on the pair alone, never on the block, the
library or the device. Tiles decide all pairs but those within the bound of a threshold; those few
are scored exactly (Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import numpy as np

from user_itr.errors import ConfigError, DataError

UNIT = 2.0**-24
"""Relative rounding error of one float32 operation."""

TileScorer: TypeAlias = Callable[[int, int, np.ndarray], None]
"""`score(first, last, out)` fills out (last - first, columns) float32 with those rows' scores."""


class Scores(Protocol):
    """Scores of Q queries (rows) against C candidates (columns)."""

    @property
    def shape(self) -> tuple[int, int]:
        """(Q, C)."""

    @property
    def sides(self) -> tuple[str, str]:
        """What rows and columns are called in error messages."""

    @property
    def symmetric(self) -> bool:
        """Whether rows and columns are the same items, whose scores are the same both ways."""

    @property
    def one_way(self) -> bool:
        """Whether a pair has one score, whichever side asks: not where a reranker has two."""

    @property
    def magnitude(self) -> np.ndarray:
        """(Q,) float64: a bound of the absolute scores of each row."""

    @property
    def relative_error(self) -> float:
        """A tile's score is within `relative_error * magnitude[row]` of the exact one."""

    def tile_scorer(self, start: int, stop: int) -> TileScorer:
        """Scorer of the columns from `start` to `stop`, for any block of rows."""

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Exact scores of pairs: two (P,) int64 arrays -> (P,) float64."""

    def rounded(self, start: int, stop: int) -> np.ndarray:
        """Rows from `start` to `stop` in full, float64 products rounded to float32: (rows, C).

        For whatever needs every score of a row: equal candidates keep equal scores.
        """

    def transpose(self) -> Scores:
        """Candidates as queries; exact scores are the same."""

    def take(self, rows: np.ndarray, columns: np.ndarray) -> Scores:
        """Some rows against some columns, in the given order."""


class MatrixScores:
    """A similarity matrix that somebody computed: float16, float32 or float64, memory map or not.

    Args:
        matrix: (Q, C), queries in rows.
        sides: what rows and columns are called in error messages.

    Raises:
        DataError: if it is no float matrix, is empty, or holds NaN, infinity or values
            above 2^100; the message names the place.
    """

    _ROWS = 256  # read at once
    _LARGEST = 2.0**100  # well within float32

    def __init__(self, matrix: np.ndarray, sides: tuple[str, str] = ("images", "captions")) -> None:
        if matrix.ndim != 2 or 0 in matrix.shape or not np.issubdtype(matrix.dtype, np.floating):
            raise DataError(
                f"the similarity matrix is {matrix.dtype} of shape {matrix.shape}; give floats of "
                f"shape ({sides[0]}, {sides[1]})."
            )
        self.matrix = matrix
        self.sides = sides
        self.shape = (len(matrix), matrix.shape[1])
        self.symmetric, self.one_way = False, True
        largest = np.zeros(len(matrix))
        columns = np.zeros(matrix.shape[1])
        for start in range(0, len(matrix), self._ROWS):
            block = np.abs(np.asarray(matrix[start : start + self._ROWS], np.float64))
            good = block <= self._LARGEST  # NaN compares false
            if not good.all():
                row, column = np.unravel_index(np.argmin(good), good.shape)
                raise DataError(
                    f"the similarity matrix, row {start + row}, column {column}: holds "
                    f"{matrix[start + row, column]}; give finite scores."
                )
            largest[start : start + self._ROWS] = block.max(axis=1)
            np.maximum(columns, block.max(axis=0), out=columns)
        self.magnitude = largest
        self._columns = columns
        self.relative_error = 2 * UNIT if matrix.dtype.itemsize > 4 else 0.0

    def tile_scorer(self, start: int, stop: int) -> TileScorer:
        """See `Scores`."""

        def score(first: int, last: int, out: np.ndarray) -> None:
            np.copyto(out, self.matrix[first:last, start:stop], casting="same_kind")

        return score

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """See `Scores`: the entries themselves."""
        return np.asarray(self.matrix[rows, columns], np.float64)

    def rounded(self, start: int, stop: int) -> np.ndarray:
        """See `Scores`."""
        return np.array(self.matrix[start:stop], np.float32, order="C")

    def transpose(self) -> MatrixScores:
        """See `Scores`; nothing is copied."""
        other = object.__new__(MatrixScores)
        other.matrix = self.matrix.T
        other.sides = (self.sides[1], self.sides[0])
        other.shape = (self.shape[1], self.shape[0])
        other.symmetric, other.one_way = False, True
        other.magnitude, other._columns = self._columns, self.magnitude
        other.relative_error = self.relative_error
        return other

    def take(self, rows: np.ndarray, columns: np.ndarray) -> MatrixScores:
        """See `Scores`; the entries are copied."""
        return MatrixScores(np.asarray(self.matrix[np.ix_(rows, columns)]), self.sides)


class _MeanScores:
    """Weighted sum of scores of the same pairs; see `mean_scores`."""

    def __init__(self, parts: Sequence[Scores], weights: Sequence[float]) -> None:
        self.parts, self.weights = tuple(parts), tuple(weights)
        self.shape, self.sides = parts[0].shape, parts[0].sides
        self.symmetric = all(part.symmetric for part in parts)
        self.one_way = all(part.one_way for part in parts)
        self.magnitude = sum(
            (w * part.magnitude for w, part in zip(weights, parts, strict=True)),
            np.zeros(len(parts[0].magnitude)),
        )
        self.relative_error = 1.01 * (
            max(part.relative_error for part in parts) + (len(parts) + 3) * UNIT
        )

    def tile_scorer(self, start: int, stop: int) -> TileScorer:
        scorers = [part.tile_scorer(start, stop) for part in self.parts]
        scratch = np.empty(0, np.float32)

        def score(first: int, last: int, out: np.ndarray) -> None:
            nonlocal scratch
            if scratch.size < out.size:
                scratch = np.empty(out.size, np.float32)
            one = scratch[: out.size].reshape(out.shape)
            scorers[0](first, last, out)
            out *= np.float32(self.weights[0])
            for scorer, weight in zip(scorers[1:], self.weights[1:], strict=True):
                scorer(first, last, one)
                one *= np.float32(weight)
                out += one

        return score

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        total = np.zeros(len(rows))
        for part, weight in zip(self.parts, self.weights, strict=True):
            total += part.pairs(rows, columns) * weight
        return total

    def rounded(self, start: int, stop: int) -> np.ndarray:
        total = np.zeros((stop - start, self.shape[1]))
        for part, weight in zip(self.parts, self.weights, strict=True):
            total += part.rounded(start, stop).astype(np.float64) * weight
        return total.astype(np.float32)

    def transpose(self) -> Scores:
        return _MeanScores([part.transpose() for part in self.parts], self.weights)

    def take(self, rows: np.ndarray, columns: np.ndarray) -> Scores:
        return _MeanScores([part.take(rows, columns) for part in self.parts], self.weights)


def mean_scores(parts: Sequence[Scores], weights: Sequence[float] | None = None) -> Scores:
    """The mean score of several models, the usual ensemble of retrieval papers.

    Args:
        parts: scores of the same queries and candidates, each model's on its own scale: cosines
            can be averaged, a cosine and a logit should be weighted.
        weights: one a part, 0 or more, not all 0; equal by default. They are divided by their sum.

    Raises:
        ConfigError: if there is no part, or the weights do not fit.
        DataError: if the parts score other numbers of items.
    """
    weights = [1.0] * len(parts) if weights is None else [float(weight) for weight in weights]
    if len(parts) == 0 or len(weights) != len(parts):
        raise ConfigError(f"{len(weights)} weights for {len(parts)} models; give one a model.")
    if not all(0 <= weight < float("inf") for weight in weights) or sum(weights) == 0:
        raise ConfigError(f"weights are {weights}; give finite ones from 0 on, not all 0.")
    shapes = {part.shape for part in parts}
    if len(shapes) > 1:
        raise DataError(
            f"the models score {' and '.join(map(str, sorted(shapes)))} pairs; "
            "give the same items to all of them."
        )
    if len(parts) == 1:
        return parts[0]
    return _MeanScores(parts, [weight / sum(weights) for weight in weights])
