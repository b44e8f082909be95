"""The photos nearest to a query, in step with the table that they are in."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import numpy as np

from user_itr.search.found import Hit
from user_itr.search.neighbours.rows import Rows
from user_itr.search.neighbours.snapshot import (
    CURRENT,
    Snapshot,
    open_snapshot,
    write_snapshot,
)
from user_itr.search.neighbours.view import View

APPROXIMATE_FROM = 10_000
"""Rows from which on a graph answers; docs/performance.md has the measurement."""

STALE_SHARE = 0.01
"""Share of changed rows up to which the derived files stay as they are."""

SETTLED_NS = 200_000_000
"""Age from which on a time stamp is sure to be another one after the next write."""

VERSIONS = "_versions"
"""Folder of a LanceDB table that gets a file with each version."""


class Neighbours:
    """Nearest photos of a table, out of derived files; several threads may ask at once.

    Rows that the table got since the files were made are compared one by one, those that it lost
    are left out, so that an answer is always about the table's latest version. Whether there is a
    later one is told by the time stamp of the table's folder, so a search need not ask LanceDB.

    Args:
        rows: of the table.
        table: folder of the table.
        folder: of the derived files.
        dim: width D of the embeddings.
        approximate_from: rows from which on there is a graph.
    """

    def __init__(
        self,
        rows: Rows,
        table: Path,
        folder: Path,
        dim: int,
        *,
        approximate_from: int = APPROXIMATE_FROM,
    ) -> None:
        self.folder = folder
        self.dim = dim
        self.approximate_from = approximate_from
        self._rows = rows
        self._versions = table / VERSIONS
        self._refreshing = threading.Lock()
        self._view: View | None = None
        self._files: tuple[int, int] | None = None
        self._seen: object = None

    def nearest(
        self, query: np.ndarray, k: int, where: str | None = None, *, exact: bool = False
    ) -> list[Hit] | None:
        """Top k by dot product with the (D,) float32 unit vector `query`, the best first.

        Returns:
            Up to k hits with float32 scores, ties by path; None where the derived files are missing
            or too old to answer from.
        """
        view = self._latest()
        if view is None:
            return None
        return view.nearest(self._rows, query, k, where, exact=exact)

    def refresh(self) -> None:
        """Make the derived files anew, if more than `STALE_SHARE` of the rows have changed.

        Only under the lock of the index.

        Raises:
            OSError: if they cannot be written.
        """
        before = open_snapshot(self.folder, self.dim)
        if before is None or not self._is_close(before):
            write_snapshot(self.folder, self._rows, self.dim, before, self.approximate_from)
        del before
        # From Python 3.12 on, what LanceDB reads by leaves cycles of frames, and these would hold
        # the maps of files that are gone, and their space on the disk.
        gc.collect()

    def _is_close(self, snapshot: Snapshot) -> bool:
        changed = 0
        if self._rows.latest() != snapshot.version or self._rows.count() != len(snapshot):
            ids = self._rows.ids()
            changed = len(np.setxor1d(ids, snapshot.row_ids, assume_unique=True))
        wants_graph = len(snapshot) >= self.approximate_from
        is_close = changed <= STALE_SHARE * len(snapshot)
        return is_close and wants_graph == (snapshot.graph is not None)

    def _latest(self) -> View | None:
        stamps = self._stamps()
        if stamps == self._seen:
            return self._view
        with self._refreshing:
            table, files = stamps
            before = self._view
            version = self._rows.latest()
            if before is not None and files == self._files:
                snapshot: Snapshot | None = before.snapshot
            else:
                snapshot = None if files is None else open_snapshot(self.folder, self.dim)
            if before is None or snapshot is not before.snapshot or version != before.version:
                self._view = None
                if snapshot is not None:
                    self._view = View.of(self._rows, version, snapshot, before)
            self._files = files
            settled = time.time_ns() - table > SETTLED_NS
            self._seen = stamps if settled else None
            return self._view

    def _stamps(self) -> tuple[int, tuple[int, int] | None]:
        """What changes with each version of the table, and with the derived files."""
        table = self._versions.stat().st_mtime_ns
        try:
            files = (self.folder / CURRENT).stat()
        except FileNotFoundError:
            return table, None
        return table, (files.st_mtime_ns, files.st_ino)
