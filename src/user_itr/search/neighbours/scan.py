"""The exact nearest rows: one matrix product, and the scores that decide taken one by one."""

from __future__ import annotations

import numpy as np

SPARSE = 0.25
"""Share of rows up to which those that may be found are picked out before they are compared."""

TILE = 1 << 14
"""Rows that are picked out at a time."""


def row_scores(vectors: np.ndarray, rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    """(R,) float32 dot products of rows of (N, D) vectors with a (D,) float32 query.

    A row's score is the same whatever rows stand beside it, as a matrix product does not promise,
    so equal photos tie.
    """
    return np.asarray(np.einsum("rd,d->r", vectors[rows], query))


def nearest(
    vectors: np.ndarray, query: np.ndarray, k: int, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k rows of the highest `row_scores`; those that tie with the last one too.

    A matrix product compares all rows. Those that its order of sums may have kept from the best k
    are scored again.

    Args:
        vectors: (N, D) float32 unit vectors.
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
            return best(rows, row_scores(vectors, rows, query), k)
        if len(rows) > SPARSE * len(vectors):
            rows = None
    rough = _products(vectors, query, rows)
    if rows is None and allowed is not None:
        rough[~allowed] = -np.inf
    close = np.flatnonzero(rough >= _reached_by(rough, k) - slack(vectors.shape[1]))
    # Rows that may not be found are only among them where fewer than k may, which is done above.
    close = close if rows is None else rows[close]
    return best(close, row_scores(vectors, close, query), k)


def slack(dim: int) -> float:
    """How far below the k-th product a row may be that is among the best k.

    Any order of sums is off by at most D * 2**-24 for unit vectors (Higham, Accuracy and Stability
    of Numerical Algorithms, 3.1); there are two orders, and two rows to compare.
    """
    return float(4 * (dim + 1) * 2.0**-24)


def best(rows: np.ndarray, scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k rows of the highest scores, and those that tie with the last, the best first."""
    order = np.lexsort((rows, -scores))
    if len(order) > k:
        last, count = scores[order[k - 1]], k
        while count < len(order) and scores[order[count]] == last:
            count += 1
        order = order[:count]
    return rows[order], scores[order]


def _products(vectors: np.ndarray, query: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
    if rows is None:
        return np.asarray(vectors @ query)
    products = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), TILE):
        part = rows[start : start + TILE]
        np.matmul(vectors[part], query, out=products[start : start + len(part)])
    return products


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
