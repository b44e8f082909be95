"""Rows of stores that tests make up, and what they read back from a store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from user_itr.search.found import Hit
from user_itr.search.photos import content_hash
from user_itr.search.store.base import ContentRow, FileRow, FileState, PhotoStore


def unit(count: int, dim: int = 32, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def hash_of(name: object) -> str:
    return content_hash(str(name).encode())


def content(
    name: object,
    embedding: np.ndarray,
    *,
    size: int = 1,
    taken: datetime | None = None,
    **more: Any,
) -> ContentRow:
    """Contents that are known by a name of the test's."""
    shape = {"width": 1, "height": 1, **more}
    return ContentRow(hash_of(name), size, taken, embedding=embedding, **shape)


def file(
    path: str, name: object, *, root: str = "/p", size: int = 1, mtime_ns: int = 1, **more: Any
) -> FileRow:
    """A file that holds the contents of that name."""
    return FileRow(path, root, FileState(size, mtime_ns), hash_of(name), **more)


def put(store: PhotoStore, names: Sequence[str], embeddings: np.ndarray, **more: Any) -> None:
    """Files of these paths, each with contents of its own."""
    files = [file(name, (name, row.tobytes())) for name, row in zip(names, embeddings, strict=True)]
    contents = [
        content((name, row.tobytes()), row, **more)
        for name, row in zip(names, embeddings, strict=True)
    ]
    assert store.write(files, contents) == []


def paths(hits: Sequence[Hit]) -> list[str]:
    return [hit.path.as_posix() for hit in hits]


def kept(embeddings: np.ndarray, half: bool) -> np.ndarray:
    """Embeddings as a store gives them: SQLite keeps float16, and makes unit vectors of them."""
    if not half:
        return embeddings.astype(np.float64)
    rounded = embeddings.astype(np.float16).astype(np.float64)
    return rounded / np.linalg.norm(rounded, axis=-1, keepdims=True)
