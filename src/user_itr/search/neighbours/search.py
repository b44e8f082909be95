"""The rows nearest to a query, in step with the store that they are in."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from user_itr.search.neighbours.rows import Rows
from user_itr.search.neighbours.snapshot import open_snapshot, write_snapshot
from user_itr.search.neighbours.view import Scored, View, scan_store

APPROXIMATE_FROM = 10_000
"""Rows from which on a graph answers; docs/performance.md has the measurement."""

STALE_SHARE = 0.01
"""Share of changed rows up to which the derived files stay as they are."""


class Neighbours:
    """Nearest rows of a store, out of derived files; several threads may ask at once.

    Rows that the store got since the files were made are compared one by one, those that it lost
    are left out, so that an answer is always about the store's latest state.

    Args:
        rows: of the store.
        folder: of the derived files.
        dim: width D of the embeddings.
        approximate_from: rows from which on there is a graph.
    """

    def __init__(
        self, rows: Rows, folder: Path, dim: int, *, approximate_from: int = APPROXIMATE_FROM
    ) -> None:
        self.folder = folder
        self.dim = dim
        self.approximate_from = approximate_from
        self._rows = rows
        self._refreshing = threading.Lock()
        self._view: View | None = None
        self._seen: int | None = None

    def near(self, query: np.ndarray, k: int, allowed: np.ndarray | None = None) -> Scored:
        """The exact k nearest rows; see `View.near`."""
        view = self.view()
        if view is None:
            return scan_store(self._rows, query, k, allowed)
        return view.near(query, k, allowed)

    def count(self) -> int:
        """How many rows there are."""
        return self._rows.counts().rows

    def refresh(self) -> None:
        """Make the derived files anew, if more than `STALE_SHARE` of the rows have changed.

        Only under the lock of the index.

        Raises:
            OSError: if they cannot be written.
        """
        counts = self._rows.counts()
        before = open_snapshot(self.folder, counts.derived, self.dim)
        if before is not None:
            view = View.of(self._rows, counts, before, None)
            if view is not None and self._is_close(view):
                return
        write_snapshot(self.folder, self._rows, self.dim, before, self.approximate_from)

    def _is_close(self, view: View) -> bool:
        snapshot = view.snapshot
        gone = 0 if view.alive is None else len(snapshot) - int(np.count_nonzero(view.alive))
        new = 0 if view.delta is None else len(view.delta.numbers)
        wants_graph = len(snapshot) >= self.approximate_from
        is_close = gone + new <= STALE_SHARE * len(snapshot)
        return is_close and wants_graph == (snapshot.graph is not None)

    def view(self, version: int | None = None) -> View | None:
        """The store's latest state; None where it has no derived files to be seen through.

        Args:
            version: of the store, where that was just read.
        """
        if version is None:
            version = self._rows.version()
        if version == self._seen and (self._view is None or self._view.snapshot.is_whole()):
            return self._view
        with self._refreshing:
            before = self._view
            if before is not None and not before.snapshot.is_whole():  # cut short from outside
                before = None
            counts = self._rows.counts()
            if before is None or counts != before.counts:
                snapshot = None if before is None else before.snapshot
                if before is None or before.counts.derived != counts.derived:
                    snapshot = open_snapshot(self.folder, counts.derived, self.dim)
                self._view = None
                if snapshot is not None:
                    self._view = View.of(self._rows, counts, snapshot, before)
            self._seen = version
            return self._view
