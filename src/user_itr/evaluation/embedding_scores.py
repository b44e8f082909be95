"""Dot products of embeddings as `Scores`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch

from user_itr.errors import DataError
from user_itr.evaluation.scores import UNIT, TileScorer

Embeddings: TypeAlias = "np.ndarray | torch.Tensor"
"""(rows, D) of any float type: a NumPy array, a memory map, or a tensor on the CPU or a GPU."""

_LARGEST_NORM = 2.0**50  # of a row: no score leaves the range of float32
_NORM_ROWS = 4096  # rows whose norms are taken at once
_PAIRS = 512  # pairs scored at once: 4 MB of float64 products at 1,024 wide
_MANY_PAIRS = 100_000  # from here on it pays to look for equal rows


class EmbeddingScores:
    """Dot products of two sides of embeddings; of unit rows they are cosines.

    The exact score of a pair is the float64 sum of the products in a fixed tree (halves are added
    until one value is left), so that equal rows have equal scores to the last bit wherever they
    stand, on a CPU as on a GPU.

    Args:
        queries: (Q, D), any float type; contiguous arrays and memory maps are not copied.
        candidates: (C, D), any float type, on the device of the queries or in an array.
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
        tensors = [values for values in (candidates, queries) if isinstance(values, torch.Tensor)]
        device = tensors[0].device if tensors else torch.device("cpu")
        self._sides = (_Side.of(queries, sides[0], device), _Side.of(candidates, sides[1], device))
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
    def device(self) -> torch.device:
        """See `Scores`: of the tensors, the CPU for arrays."""
        return self._sides[0].norms.device

    @property
    def magnitude(self) -> torch.Tensor:
        """See `Scores`: Cauchy-Schwarz with the longest candidate."""
        return self._sides[0].norms * self._sides[1].norms.max()

    @property
    def relative_error(self) -> float:
        """See `Scores`: any order of D float32 multiplications and additions of rounded inputs."""
        return 1.01 * (self._sides[0].values.shape[1] + 4) * UNIT

    def tile_scorer(self, start: int, stop: int) -> TileScorer:
        """See `Scores`; TF32 and bfloat16 products must be off (`full_precision`)."""
        queries, candidates = self._sides
        matrix = candidates.values[start:stop].float().T

        def score(first: int, last: int, out: torch.Tensor) -> None:
            torch.mm(queries.values[first:last].float(), matrix, out=out)

        return score

    def pairs(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """See `Scores`."""
        if len(rows) > _MANY_PAIRS:  # a collapsed model: the same few scores again and again
            groups = [side.groups.to(self.device) for side in self._sides]
            keys = groups[0][rows] * self.shape[1] + groups[1][columns]
            distinct, inverse = torch.unique(keys, return_inverse=True)
            if len(distinct) < len(keys) // 2:
                return self._exact(distinct // self.shape[1], distinct % self.shape[1])[inverse]
        return self._exact(rows, columns)

    def _exact(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        scores = torch.empty(len(rows), dtype=torch.float64, device=self.device)
        queries, candidates = self._sides
        shape = (min(_PAIRS, len(rows)), queries.values.shape[1])
        left = queries.values.new_empty(shape)  # buffers: fresh memory costs more than the sums
        right = candidates.values.new_empty(shape)
        products = torch.empty(shape, dtype=torch.float64, device=self.device)
        for start in range(0, len(rows), _PAIRS):
            stop = min(start + _PAIRS, len(rows))
            part = slice(stop - start)
            torch.index_select(queries.values, 0, rows[start:stop], out=left[part])
            torch.index_select(candidates.values, 0, columns[start:stop], out=right[part])
            products[part].copy_(left[part]).mul_(right[part])
            scores[start:stop] = _tree_sum(products[part])
        return scores

    def rounded(self, start: int, stop: int) -> torch.Tensor:
        """See `Scores`."""
        queries, candidates = self._sides
        rows = queries.values[start:stop].double()
        out = torch.empty(len(rows), self.shape[1], device=self.device)
        for first in range(0, self.shape[1], _NORM_ROWS):
            part = slice(first, first + _NORM_ROWS)
            out[:, part] = rows @ candidates.values[part].double().T
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
        return EmbeddingScores(queries.take(rows), candidates.take(columns), self.sides)


@dataclass
class _Side:
    """One side's rows (n, D), known to be finite, and their norms (n,) float64."""

    values: torch.Tensor
    name: str
    norms: torch.Tensor

    @classmethod
    def of(cls, values: Embeddings, name: str, device: torch.device) -> _Side:
        rows = _as_tensor(values, name).to(device)
        if rows.ndim != 2 or 0 in rows.shape:
            raise DataError(
                f"{name} have shape {tuple(rows.shape)}; give (rows, width) with neither zero."
            )
        norms = torch.empty(len(rows), dtype=torch.float64, device=device)
        for start in range(0, len(rows), _NORM_ROWS):
            block = rows[start : start + _NORM_ROWS].double()
            squares = torch.einsum("nd,nd->n", block, block)
            good = squares <= _LARGEST_NORM**2  # NaN compares false
            if not bool(good.all()):
                row = start + int(torch.argmin(good.to(torch.uint8)))
                raise DataError(
                    f"{name}, row {row}: holds NaN, infinity or values too large to score; "
                    "look for a diverged training run or a damaged embedding file."
                )
            norms[start : start + _NORM_ROWS] = squares.sqrt_()
        return cls(rows, name, norms)

    def take(self, rows: np.ndarray) -> torch.Tensor:
        if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            return self.values[int(rows[0]) : int(rows[0]) + len(rows)]
        return self.values[torch.from_numpy(rows).to(self.values.device)]

    @cached_property
    def groups(self) -> torch.Tensor:
        """(rows,) int64: the first row that is equal to each row, bit by bit."""
        values = self.values.cpu().double().numpy()
        rows = np.ascontiguousarray(values).view(f"V{values.shape[1] * values.itemsize}").ravel()
        _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
        return torch.from_numpy(first[inverse.ravel()])


def _as_tensor(values: Embeddings, name: str) -> torch.Tensor:
    """The rows as a contiguous tensor; native contiguous arrays and memory maps are not copied."""
    if isinstance(values, torch.Tensor):
        if not values.is_floating_point():
            raise DataError(f"{name} are {values.dtype}; give embeddings of a float type.")
        return values.detach().contiguous()
    if not np.issubdtype(values.dtype, np.floating):
        raise DataError(f"{name} are {values.dtype}; give embeddings of a float type.")
    wide = values.dtype.itemsize > 8  # wider than any type of a tensor
    native = np.dtype(np.float64) if wide else values.dtype.newbyteorder("=")
    with warnings.catch_warnings():  # read-only memory maps: they are only read here
        warnings.filterwarnings("ignore", message=".*not writable.*", category=UserWarning)
        return torch.from_numpy(np.ascontiguousarray(values, dtype=native))


def _tree_sum(values: torch.Tensor) -> torch.Tensor:
    """(R, D) -> (R,), by halves, in place: element-wise additions have one result everywhere."""
    width = values.shape[1]
    while width > 1:
        half = (width + 1) // 2
        values[:, : width - half] += values[:, half:width]
        width = half
    return values[:, 0]
