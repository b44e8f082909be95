"""All pairs of rows that are alike: by the graph where there is one, else by comparing all."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from user_itr.search.neighbours.rows import Rows
from user_itr.search.neighbours.view import View

TILE = 1_024
"""Rows that are compared with others at a time."""

NEAREST = 16
"""Rows beside itself that the graph is asked for: a row with more copies pairs with the nearest."""

Pairs = tuple[np.ndarray, np.ndarray]
"""(P, 2) int64 numbers of rows, the lower first, and the (P,) float32 dot product of each pair."""


def pairs_of(
    rows: Rows, view: View | None, least: float, progress: Callable[[int, int], None] | None = None
) -> Pairs:
    """Pairs of rows whose dot product is at least `least`, ascending, each once.

    Args:
        rows: of the store.
        view: its latest state; None where it has no derived files, and all rows are read.
        least: dot product.
        progress: called with (rows compared, rows).
    """
    found = _by_graph(view, least, progress) if view is not None else None
    if found is None:
        found = _by_all(*_whole(rows, view), least, progress)
    both, scores = map(np.concatenate, zip(*found, strict=True))
    both = np.sort(both, axis=1)
    both, first = np.unique(both, axis=0, return_index=True)
    return both, scores[first]


_NONE: Pairs = (np.empty((0, 2), np.int64), np.empty(0, np.float32))


def _whole(rows: Rows, view: View | None) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and vectors of all rows."""
    if view is None:
        parts = [*rows.all()]
    else:
        alive = slice(None) if view.alive is None else view.alive
        parts = [(view.snapshot.numbers[alive], view.snapshot.vectors[alive])]
        if view.delta is not None:
            parts.append((view.delta.numbers, view.delta.vectors))
    if not parts:
        return np.empty(0, np.int64), np.empty((0, 1), np.float32)
    numbers, vectors = map(np.concatenate, zip(*parts, strict=True))
    return numbers, vectors


def _by_all(
    numbers: np.ndarray,
    vectors: np.ndarray,
    least: float,
    progress: Callable[[int, int], None] | None,
) -> list[Pairs]:
    found = [_NONE]
    for start in range(0, len(numbers), TILE):
        here = slice(start, start + TILE)
        scores = vectors[here] @ vectors[start:].T
        one, other = np.nonzero(scores >= least)
        kept = one < other
        one, other = one[kept], other[kept]
        both = np.stack([numbers[start + one], numbers[start + other]], axis=1)
        found.append((both, scores[one, other]))
        if progress:
            progress(min(start + TILE, len(numbers)), len(numbers))
    return found


def _by_graph(
    view: View, least: float, progress: Callable[[int, int], None] | None
) -> list[Pairs] | None:
    """None where there is no graph."""
    snapshot, delta = view.snapshot, view.delta
    if snapshot.graph is None or snapshot.slots is None:
        return None
    slots = snapshot.slots
    living = np.ones(len(snapshot), bool) if view.alive is None else view.alive
    found = [_NONE]
    total = len(snapshot) + (0 if delta is None else len(delta.numbers))
    for start, numbers, vectors, alive in _tiles(view, living):
        near = slots[snapshot.graph.near_many(vectors, NEAREST + 1)]
        one = np.repeat(np.arange(len(vectors)), near.shape[1])
        other = near.ravel()
        kept = (other >= 0) & living[other] & alive[one]
        one, other = one[kept], other[kept]
        scores = np.einsum("rd,rd->r", vectors[one], snapshot.scattered[other])
        found.append(_kept(numbers[one], snapshot.numbers[other], scores, least))
        if delta is not None:
            products = vectors @ delta.vectors.T
            one, other = np.nonzero((products >= least) & alive[:, None])
            found.append(_kept(numbers[one], delta.numbers[other], products[one, other], least))
        if progress:
            progress(start + len(vectors), total)
    return found


def _tiles(
    view: View, living: np.ndarray
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Place, numbers and vectors of some rows, and which of them the store has."""
    snapshot, delta = view.snapshot, view.delta
    for start in range(0, len(snapshot), TILE):
        here = slice(start, start + TILE)
        yield start, snapshot.numbers[here], snapshot.vectors[here], living[here]
    for start in range(0, 0 if delta is None else len(delta.numbers), TILE):
        assert delta is not None
        here = slice(start, start + TILE)
        numbers = delta.numbers[here]
        yield len(snapshot) + start, numbers, delta.vectors[here], np.ones(len(numbers), bool)


def _kept(one: np.ndarray, other: np.ndarray, scores: np.ndarray, least: float) -> Pairs:
    kept = (scores >= least) & (one != other)
    return np.stack([one[kept], other[kept]], axis=1), scores[kept].astype(np.float32)
