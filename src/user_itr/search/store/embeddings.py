"""The embeddings of a generation, as the derived files are made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from user_itr.search.neighbours.rows import BATCH_ROWS, Counts
from user_itr.search.store.database import Database

DTYPE = np.dtype("<f2")
"""Of embeddings in the database; as unit vectors they move dot products by some 1e-5."""


def packed(embedding: np.ndarray, dim: int) -> bytes:
    """A (D,) vector as the database keeps it.

    Raises:
        ValueError: if it is of another width.
    """
    if embedding.shape != (dim,):
        raise ValueError(f"an embedding has shape {embedding.shape}, and the index ({dim},)")
    return embedding.astype(DTYPE).tobytes()


def unpacked(vectors: Sequence[bytes], dim: int) -> np.ndarray:
    """(N, D) float32 unit vectors out of N that the database keeps."""
    rows = np.frombuffer(b"".join(vectors), DTYPE).reshape(len(vectors), dim).astype(np.float32)
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    rows /= np.maximum(lengths, np.finfo(np.float32).tiny)[:, None]
    return rows


def evenly(numbers: np.ndarray, most: int) -> np.ndarray:
    """All of an array, or `most` of its entries at even steps."""
    if len(numbers) <= most:
        return numbers
    return np.asarray(numbers[np.linspace(0, len(numbers) - 1, most).astype(np.int64)])


class Embeddings:
    """See `neighbours.rows.Rows`; the numbers are those of contents.

    Args:
        database: of the index.
        generation: of the index.
        dim: width D.
    """

    def __init__(self, database: Database, generation: int, dim: int) -> None:
        self._database = database
        self._generation = generation
        self._dim = dim
        self._columns = f"SELECT content, vector FROM embeddings_{generation}"

    def version(self) -> int:
        """See `Rows`."""
        return self._database.version()

    def counts(self) -> Counts:
        """See `Rows`."""
        rows = self._database.read(
            "SELECT embeddings, removed, derived FROM counters WHERE generation = ?",
            [self._generation],
        )
        return Counts(*rows[0]) if rows else Counts(0, 0, None)

    def numbers(self, after: int = 0) -> np.ndarray:
        """See `Rows`."""
        rows = self._database.read(
            f"SELECT content FROM embeddings_{self._generation} WHERE content > ? ORDER BY content",
            [after],
        )
        return np.array(rows, np.int64).reshape(-1)

    def all(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """See `Rows`."""
        last = 0
        while True:
            batch = self._database.read(
                f"{self._columns} WHERE content > ? ORDER BY content LIMIT ?", [last, BATCH_ROWS]
            )
            if not batch:
                return
            yield self._arrays(batch)
            last = batch[-1][0]

    def some(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Rows`."""
        rows: list[Any] = []
        for start in range(0, len(numbers), BATCH_ROWS):
            part = ",".join(map(str, numbers[start : start + BATCH_ROWS].tolist()))
            rows += self._database.read(
                f"{self._columns} WHERE content IN ({part}) ORDER BY content"
            )
        return self._arrays(rows)

    def point_to(self, derived: str) -> None:
        """See `Rows`."""
        with self._database.change() as writer:
            writer.execute(
                "UPDATE counters SET derived = ? WHERE generation = ?", (derived, self._generation)
            )

    def _arrays(self, rows: list[Any]) -> tuple[np.ndarray, np.ndarray]:
        numbers = np.array([number for number, _ in rows], np.int64)
        return numbers, unpacked([vector for _, vector in rows], self._dim)
