"""The exact nearest rows: all are compared, at half the bytes that float32 has."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

SLACK = 2.1e-3
"""Twice what the score of two unit vectors can change by when both are rounded to float16.

Rounding moves each number by at most 2**-11 of itself (2**-25 below 2**-14), so a unit vector
by at most 2**-11 + D**0.5 * 2**-25, and the score, with both rounded, by 0.98e-3. Sums in float32
add less than 1e-5.
"""

SPARSE = 0.25
"""Share of rows up to which those that may be found are picked out before they are compared."""

TILE = 1 << 15
"""Rows that one thread compares at a time; fewer are not worth a second thread."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """Unit vectors of N photos, memory-mapped or not.

    Attributes:
        full: (N, D) float32, what scores are made of.
        half: (N, D) float16, the same rounded, what is scanned.
    """

    full: np.ndarray
    half: np.ndarray

    def __len__(self) -> int:
        return len(self.full)

    def scores(self, rows: np.ndarray, query: np.ndarray) -> np.ndarray:
        """(R,) float32 dot products of rows with a (D,) float32 query.

        A row's score is the same whatever rows stand beside it, as a BLAS would not promise, so
        equal photos tie.
        """
        return np.asarray(np.einsum("rd,d->r", self.full[rows], query))


def nearest(
    vectors: Vectors, query: np.ndarray, k: int, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k rows of the highest dot products in float32; those that tie with the last one too.

    Rows are compared in float16 first, with sums in float32; those that rounding may have kept from
    the best k, by `SLACK`, are scored again.

    Args:
        vectors: N unit vectors.
        query: (D,) float32 unit vector.
        k: rows, at least 1.
        allowed: (N,) bool, rows that may be found.

    Returns:
        Row numbers and float32 scores, the best first, ties by row number.
    """
    rows = None
    if allowed is not None:
        rows = np.flatnonzero(allowed)
        if len(rows) <= k:
            return best(rows, vectors.scores(rows, query), k)
        if len(rows) > SPARSE * len(vectors):
            rows = None
    rough = _rough_scores(vectors.half, query, rows)
    if rows is None and allowed is not None:
        rough[~allowed] = -np.inf
    close = np.flatnonzero(rough >= _reached_by(rough, k) - SLACK)
    # Rows that may not be found are only among them where fewer than k may, which is done above.
    close = close if rows is None else rows[close]
    return best(close, vectors.scores(close, query), k)


def best(rows: np.ndarray, scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k rows of the highest scores, and those that tie with the last, the best first."""
    if len(rows) > k:
        high = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])
        rows, scores = rows[high], scores[high]
    order = np.lexsort((rows, -scores))
    return rows[order], scores[order]


def _rough_scores(half: np.ndarray, query: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
    import numkong

    rounded = query.astype(np.float16)[None]
    count = len(half) if rows is None else len(rows)
    out = np.empty(count, np.float32)

    def compare(start: int) -> None:
        stop = min(start + TILE, count)
        part = half[start:stop] if rows is None else half[rows[start:stop]]
        numkong.cdist(rounded, part, "dot", out=out[None, start:stop], out_dtype="f32")

    tiles = range(0, count, TILE)
    if len(tiles) > 1:
        list(_threads().map(compare, tiles))  # NumKong lets other threads run
    elif tiles:
        compare(0)
    return out


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), "scan")


def _reached_by(scores: np.ndarray, k: int) -> float:
    """A number that at least k of the scores reach, the highest such one."""
    if len(scores) <= k:
        return -np.inf
    # The k-th best of the best of many groups is reached k times, and leaves few to look at.
    groups = len(scores) // 64
    if groups > 4 * k:
        tops = scores[: groups * 64].reshape(groups, 64).max(axis=1)
        scores = scores[scores >= np.partition(tops, groups - k)[groups - k]]
    return float(np.partition(scores, len(scores) - k)[len(scores) - k])
