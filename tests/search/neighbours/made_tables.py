"""Stores of made vectors, and what a search of them has to give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from made_rows import content, file, kept

from user_itr.search.location import Folder
from user_itr.search.neighbours.search import Neighbours
from user_itr.search.neighbours.view import Scored
from user_itr.search.store.sqlite import SqliteStore

DIM = 32


class Rows:
    """Names with vectors in a real store; the answers about numbers are told by name.

    Args:
        folder: of the index.
        approximate_from: rows from which on there is a graph.
    """

    def __init__(self, folder: Path, approximate_from: int = 10**9) -> None:
        self.folder = folder
        self.store = SqliteStore(Folder(folder), 1, DIM, create=True)
        self.neighbours: Neighbours = self.store.neighbours
        self.neighbours.approximate_from = approximate_from

    def put(self, names: Sequence[str], embeddings: np.ndarray) -> None:
        """Insert or replace; what is replaced gets another number."""
        pairs = [
            (name, (name, row.tobytes()), row) for name, row in zip(names, embeddings, strict=True)
        ]
        rows = [file(name, key) for name, key, _ in pairs]
        assert self.store.write(rows, [content(key, row) for _, key, row in pairs]) == []
        self.store._drop_orphans()

    def delete(self, names: Sequence[str]) -> None:
        """Take names away, and their numbers with them."""
        self.store.remove(names)
        self.store._drop_orphans()

    def numbers(self, names: Sequence[str]) -> np.ndarray:
        """Of rows by name, ascending; for instance those that a condition leaves."""
        wanted = set(names)
        return np.array(sorted(n for n, name in self.names().items() if name in wanted), np.int64)

    def names(self) -> dict[int, str]:
        rows = self.store._ask(
            "SELECT f.content, d.path || '/' || f.name FROM files_{g} f "
            "JOIN folders d ON d.id = f.folder"
        )
        return dict(rows)

    def told(self, found: Scored | None) -> list[str]:
        """The names of rows that were found."""
        assert found is not None
        known = self.names()
        return [known[number] for number in found[0].tolist()]

    def near(self, query: np.ndarray, k: int, allowed: np.ndarray | None = None) -> list[str]:
        return self.told(self.neighbours.near(query, k, allowed))[:k]


def numbered(first: int, last: int) -> list[str]:
    return [f"/p/{number}" for number in range(first, last)]


def check(
    found: list[str], scores: np.ndarray, photos: dict[str, np.ndarray], query: np.ndarray, k: int
) -> None:
    """What was found are the best k of the photos, up to what float32 can tell apart."""
    names = list(photos)
    exact = np.array([kept(photos[name], True) @ query.astype(np.float64) for name in names])
    best = np.sort(exact)[::-1][:k]
    assert len(set(found)) == len(found) == len(best)
    np.testing.assert_allclose(scores[: len(best)], best, atol=1e-6)
    own = [exact[names.index(name)] for name in found]
    np.testing.assert_allclose(scores[: len(best)], own, atol=1e-6)


def ranking(photos: dict[str, np.ndarray], query: np.ndarray, k: int) -> list[str]:
    """The best k names by float64 dot products of what the store keeps of the vectors."""
    exact = {
        name: float(kept(row, True) @ query.astype(np.float64)) for name, row in photos.items()
    }
    return sorted(exact, key=lambda name: -exact[name])[:k]
