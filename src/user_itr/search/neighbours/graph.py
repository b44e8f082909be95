"""Approximate nearest rows by a graph of neighbours: HNSW (arXiv 1603.09320), by usearch.

usearch holds one byte a number, and its file can be memory-mapped: a process that opens it reads
what it visits, and many processes share the pages. Its own distances only choose candidates.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

CONNECTIVITY = 16
"""Neighbours a row, 32 in the lowest layer (M in the paper)."""

EXPANSION_ADD = 128
"""Candidates while a row is added (efConstruction)."""

EFFORT = 80
"""Candidates kept while searching 10,000 rows (ef); docs/performance.md has the recall."""

EFFORT_GROWTH = 0.4
"""Power of the number of rows that the candidates grow with."""

ALONE = 1_000
"""Rows that one thread adds first, and up to which it adds: several would overlook each other."""

LOOK_EFFORT = 16
"""Candidates kept while a row that was added is looked for, at first."""

MENDS = 2
"""Times that rows which a search does not find are added once more."""


class Graph:
    """Rows by numbers that are given when they are added: 0, 1, 2, ...

    Args:
        index: usearch's.
    """

    def __init__(self, index: Any) -> None:
        self._index = index  # Any: usearch's annotations say that its settings are read-only
        self._one_search = threading.Lock()  # how far to look is set on the index

    @classmethod
    def empty(cls, dim: int) -> Graph:
        """A graph for (D,) unit vectors."""
        from usearch.index import Index

        return cls(
            Index(
                ndim=dim,
                metric="ip",
                dtype="i8",
                connectivity=CONNECTIVITY,
                expansion_add=EXPANSION_ADD,
            )
        )

    @classmethod
    def opened(cls, file: Path, dim: int, *, change: bool = False) -> Graph:
        """The graph in a file: memory-mapped, or read, to `change` it.

        Raises:
            ValueError: if the file holds no such graph.
        """
        from usearch.index import Index

        try:
            index: Any = Index.restore(file, view=not change)
        except RuntimeError as error:
            raise ValueError(str(error)) from None
        if index is None or index.ndim != dim:
            raise ValueError(f"no graph of {dim} dimensions")
        index.expansion_add = EXPANSION_ADD
        return cls(index)

    def __len__(self) -> int:
        return len(self._index)

    def add(self, vectors: np.ndarray, *, threads: int = 0) -> None:
        """Add (N, D) float32 unit vectors; of very many, some thousand a call.

        Threads that add neighbours at the same time overwrite each other's links, so that no way
        leads to some rows (10 of 20,000 by two threads, 30 of 3,000 by sixteen): each row is
        looked for after all are added, and what is not found is added once more, by one thread.

        Args:
            vectors: rows.
            threads: 0 for one a core.
        """
        vectors, first = np.ascontiguousarray(vectors), len(self)
        alone = len(vectors) if len(vectors) < ALONE else max(ALONE - first, 0)
        for start, end, used in ((0, alone, 1), (alone, len(vectors), threads)):
            if start < end:
                keys = np.arange(first + start, first + end)
                self._index.add(keys, vectors[start:end], threads=used)
        lost = self._lost(vectors, np.arange(len(vectors)), first, LOOK_EFFORT)
        for _ in range(MENDS):
            lost = self._lost(vectors, lost, first, self.effort)
            if not len(lost):
                break
            self._index.remove(first + lost)
            self._index.add(first + lost, vectors[lost], threads=1)

    def _lost(self, vectors: np.ndarray, rows: np.ndarray, first: int, effort: int) -> np.ndarray:
        """Those of `rows`, added from the number `first` on, that a search for them lacks."""
        if not len(rows):
            return rows
        self._index.expansion_search = effort
        near = np.atleast_2d(self._index.search(vectors[rows], effort).keys)
        found = (near == (first + rows)[:, None].astype(near.dtype)).any(axis=1)
        return np.asarray(rows[~found])

    def save(self, file: Path) -> None:
        """Write the graph."""
        self._index.save(file)

    @property
    def effort(self) -> int:
        """Candidates that a search keeps, by default."""
        return max(EFFORT, int(EFFORT * (len(self) / 10_000) ** EFFORT_GROWTH))

    def near(self, query: np.ndarray, count: int, effort: int | None = None) -> np.ndarray:
        """About the `count` nearest rows to a (D,) float32 query, the nearest first.

        Args:
            query: unit vector.
            count: rows.
            effort: candidates kept while searching (ef): the more, the surer, the slower.
        """
        effort = max(count, self.effort if effort is None else effort)
        with self._one_search:
            self._index.expansion_search = effort
            return np.asarray(self._index.search(query, count, threads=1).keys, dtype=np.int64)

    def near_many(self, queries: np.ndarray, count: int) -> np.ndarray:
        """(N, K) numbers of about the `count` nearest rows to each of (N, D) float32 queries."""
        count = min(count, len(self))
        with self._one_search:
            self._index.expansion_search = max(count, self.effort)
            found = self._index.search(np.ascontiguousarray(queries), count)
            return np.asarray(np.atleast_2d(found.keys), dtype=np.int64)
