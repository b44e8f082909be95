"""Tables of made vectors, and what a search of them has to give."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from user_itr.search.found import Hit
from user_itr.search.neighbours.rows import Rows
from user_itr.search.neighbours.search import Neighbours
from user_itr.search.photos import photo_id
from user_itr.search.table import PhotoTable

DIM = 32


def unit(count: int, dim: int = DIM, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def short(vectors: np.ndarray) -> np.ndarray:
    """Rounded to 10 bits, so that float32 has their dot products exactly, in any order of sums."""
    return np.round(vectors * 1024).astype(np.float32) / np.float32(1024)


def put(table: PhotoTable, names: list[str], embeddings: np.ndarray) -> None:
    """Insert or replace photos; the width of the photo `/p/12` is 12."""
    ids = [photo_id(name) for name in names]
    table.upsert(
        table.rows(
            embeddings,
            id=ids,
            path=names,
            size=[1] * len(names),
            mtime_ns=[1] * len(names),
            hash=ids,
            taken=[None] * len(names),
            width=[int(name.removeprefix("/p/")) for name in names],
            height=[1] * len(names),
            root=["/p"] * len(names),
        )
    )


def numbered(first: int, last: int) -> list[str]:
    return [f"/p/{number}" for number in range(first, last)]


def neighbours_of(table: PhotoTable, approximate_from: int = 10**9) -> Neighbours:
    """Those of a table, with a graph from so many rows on."""
    lance = table.path / "photos-1.lance"
    files = table.path / "photos-1.neighbours"
    return Neighbours(Rows(table._table), lance, files, DIM, approximate_from=approximate_from)


def opened(path: Path) -> PhotoTable:
    return PhotoTable(path, "photos-1", DIM, create=not (path / "photos-1.lance").exists())


def ranking(photos: dict[str, np.ndarray], query: np.ndarray, k: int) -> list[str]:
    """The best k paths by float64 dot products, ties by path."""
    names = sorted(photos)
    exact = np.array([photos[name].astype(np.float64) @ query for name in names])
    return [names[row] for row in np.argsort(-exact, kind="stable")[:k]]


def paths(found: list[Hit] | None) -> list[str]:
    assert found is not None
    return [hit.path.as_posix() for hit in found]
