"""Dot products of embeddings as `Scores`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from user_itr.errors import DataError
from user_itr.evaluation.scores import UNIT, TileScorer
from user_itr.evaluation.tensors import float_array, is_tensor, on_accelerator, product

if TYPE_CHECKING:
    import torch

Embeddings: TypeAlias = "np.ndarray | torch.Tensor"
"""(rows, D) of any float type: a NumPy array, a memory map, or a tensor on the CPU or a GPU."""

_LARGEST_NORM = 2.0**50  # of a row: no score leaves the range of float32
_NORM_ROWS = 4096  # rows whose norms are taken at once
_PAIRS = 64  # pairs scored at once: half a megabyte of float64 products at 1,024 wide
_MANY_PAIRS = 100_000  # from here on it pays to look for equal rows


class EmbeddingScores:
    """Dot products of two sides of embeddings; of unit rows they are cosines.

    The exact score of a pair is the float64 sum of the products in a fixed tree (halves are added
    until one value is left), so that equal rows have equal scores to the last bit wherever they
    stand and whatever multiplies them. Tensors on a GPU are multiplied there.

    Args:
        queries: (Q, D), any float type; contiguous arrays and memory maps are not copied.
        candidates: (C, D), any float type.
        sides: what rows and columns are called in error messages.

    Raises:
        DataError: if a side is no float matrix or is empty, the widths differ, or a row holds NaN,
            infinity or values too large to score; the message names side and row.
    """

    def __init__(
        self,
        queries: Embeddings,
        candidates: Embeddings,
        sides: tuple[str, str] = ("images", "captions"),
    ) -> None:
        self._sides = (_Side.of(queries, sides[0]), _Side.of(candidates, sides[1]))
        widths = [side.values.shape[1] for side in self._sides]
        if widths[0] != widths[1]:
            raise DataError(
                f"{sides[0]} are {widths[0]} wide and {sides[1]} {widths[1]}; "
                "embed both with the same model."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """See `Scores`."""
        return len(self._sides[0].values), len(self._sides[1].values)

    @property
    def sides(self) -> tuple[str, str]:
        """See `Scores`."""
        return self._sides[0].name, self._sides[1].name

    @property
    def one_way(self) -> bool:
        """See `Scores`."""
        return True

    @property
    def symmetric(self) -> bool:
        """See `Scores`."""
        return self._sides[0] is self._sides[1]

    @property
    def magnitude(self) -> np.ndarray:
        """See `Scores`: Cauchy-Schwarz with the longest candidate."""
        return np.asarray(self._sides[0].norms * self._sides[1].norms.max())

    @property
    def relative_error(self) -> float:
        """See `Scores`: any order of D float32 multiplications and additions of rounded inputs."""
        return 1.01 * (int(self._sides[0].values.shape[1]) + 4) * UNIT

    def tile_scorer(self, start: int, stop: int) -> TileScorer:
        """See `Scores`."""
        queries, candidates = self._sides
        if queries.tensor is not None or candidates.tensor is not None:
            return self._device_scorer(start, stop)
        matrix = np.asarray(candidates.values[start:stop], np.float32).T

        def score(first: int, last: int, out: np.ndarray) -> None:
            np.matmul(np.asarray(queries.values[first:last], np.float32), matrix, out=out)

        return score

    def _device_scorer(self, start: int, stop: int) -> TileScorer:
        """`tile_scorer` where a side is on a GPU; the other side's rows follow it there."""
        import torch

        held = [side.tensor for side in self._sides]
        device = next(tensor.device for tensor in held if tensor is not None)
        rows, columns = (
            torch.from_numpy(np.asarray(side.values, np.float32)) if tensor is None else tensor
            for side, tensor in zip(self._sides, held, strict=True)
        )
        columns = columns[start:stop].to(device)

        def score(first: int, last: int, out: np.ndarray) -> None:
            product(rows[first:last].to(device), columns, out)

        return score

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """See `Scores`."""
        if len(rows) > _MANY_PAIRS:  # a collapsed model: the same few scores again and again
            groups = [side.groups for side in self._sides]
            keys = groups[0][rows] * self.shape[1] + groups[1][columns]
            distinct, inverse = np.unique(keys, return_inverse=True)
            if len(distinct) < len(keys) // 2:
                return self._exact(distinct // self.shape[1], distinct % self.shape[1])[inverse]
        return self._exact(rows, columns)

    def _exact(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        scores = np.empty(len(rows))
        queries, candidates = (side.values for side in self._sides)
        shape = (min(_PAIRS, len(rows)), queries.shape[1])
        left = np.empty(shape, queries.dtype)  # buffers: fresh memory costs more than the sums
        right = np.empty(shape, candidates.dtype)
        products = np.empty(shape)
        for start in range(0, len(rows), _PAIRS):
            stop = min(start + _PAIRS, len(rows))
            part = slice(stop - start)
            np.take(queries, rows[start:stop], axis=0, out=left[part], mode="clip")
            np.take(candidates, columns[start:stop], axis=0, out=right[part], mode="clip")
            np.multiply(left[part], right[part], out=products[part], dtype=np.float64)
            scores[start:stop] = _tree_sum(products[part])
        return scores

    def rounded(self, start: int, stop: int) -> np.ndarray:
        """See `Scores`."""
        queries, candidates = (side.values for side in self._sides)
        rows = queries[start:stop].astype(np.float64)
        out = np.empty((len(rows), self.shape[1]), np.float32)
        for first in range(0, self.shape[1], _NORM_ROWS):
            part = slice(first, first + _NORM_ROWS)
            out[:, part] = rows @ candidates[part].astype(np.float64).T
        return out

    def transpose(self) -> EmbeddingScores:
        """See `Scores`; nothing is copied."""
        return self._of(self._sides[1], self._sides[0])

    def within(self) -> tuple[EmbeddingScores, EmbeddingScores]:
        """Scores of the queries against themselves, and of the candidates; nothing is copied."""
        queries, candidates = self._sides
        return self._of(queries, queries), self._of(candidates, candidates)

    @classmethod
    def _of(cls, queries: _Side, candidates: _Side) -> EmbeddingScores:
        """Of sides that have passed the checks."""
        scores = object.__new__(cls)
        scores._sides = (queries, candidates)
        return scores

    def take(self, rows: np.ndarray, columns: np.ndarray) -> EmbeddingScores:
        """See `Scores`; rows in one run are not copied."""
        queries, candidates = self._sides
        return self._of(queries.take(rows), candidates.take(columns))


@dataclass
class _Side:
    """One side's rows (n, D), known to be finite, their norms (n,) float64, and the same rows on
    an accelerator where they were given there."""

    values: np.ndarray
    name: str
    norms: np.ndarray
    tensor: torch.Tensor | None = None

    @classmethod
    def of(cls, values: Embeddings, name: str) -> _Side:
        rows = _as_array(values, name)
        if rows.ndim != 2 or 0 in rows.shape:
            raise DataError(
                f"{name} have shape {tuple(rows.shape)}; give (rows, width) with neither zero."
            )
        norms = np.empty(len(rows))
        for start in range(0, len(rows), _NORM_ROWS):
            block = rows[start : start + _NORM_ROWS].astype(np.float64)
            squares = np.einsum("nd,nd->n", block, block)
            good = squares <= _LARGEST_NORM**2  # NaN compares false
            if not good.all():
                row = start + int(np.argmin(good))
                raise DataError(
                    f"{name}, row {row}: holds NaN, infinity or values too large to score; "
                    "look for a diverged training run or a damaged embedding file."
                )
            norms[start : start + _NORM_ROWS] = np.sqrt(squares)
        there = on_accelerator(values)
        return cls(rows, name, norms, values.detach() if there else None)  # type: ignore[union-attr]

    def take(self, rows: np.ndarray) -> _Side:
        part: slice | np.ndarray = rows
        if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            part = slice(int(rows[0]), int(rows[0]) + len(rows))
        tensor = self.tensor
        if tensor is not None:
            tensor = tensor[part if isinstance(part, slice) else part.tolist()]
        return _Side(self.values[part], self.name, self.norms[part], tensor)

    @cached_property
    def groups(self) -> np.ndarray:
        """(rows,) int64: the first row that is equal to each row, bit by bit."""
        groups = np.arange(len(self.values))
        _, inverse, counts = np.unique(self.norms, return_inverse=True, return_counts=True)
        alike = np.flatnonzero(counts[inverse] > 1)  # rows of other lengths differ
        if len(alike):
            values = np.ascontiguousarray(self.values[alike])
            rows = values.view(f"V{values.shape[1] * values.itemsize}").ravel()
            _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
            groups[alike] = alike[first[inverse.ravel()]]
        return groups


def _as_array(values: Embeddings, name: str) -> np.ndarray:
    """The rows as a contiguous array; native contiguous arrays and memory maps are not copied."""
    if is_tensor(values):
        return float_array(values, name)
    assert isinstance(values, np.ndarray)
    if not np.issubdtype(values.dtype, np.floating):
        raise DataError(f"{name} are {values.dtype}; give embeddings of a float type.")
    wide = values.dtype.itemsize > 8  # float128
    native = np.dtype(np.float64) if wide else values.dtype.newbyteorder("=")
    return np.ascontiguousarray(values, dtype=native)


def _tree_sum(values: np.ndarray) -> np.ndarray:
    """(R, D) -> (R,), by halves, in place: element-wise additions have one result everywhere."""
    width = values.shape[1]
    while width > 1:
        half = (width + 1) // 2
        values[:, : width - half] += values[:, half:width]
        width = half
    return values[:, 0]
