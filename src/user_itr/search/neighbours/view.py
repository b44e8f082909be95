"""One version of a table, seen through derived files that may be of another version."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from user_itr.search.found import Hit, ranked
from user_itr.search.neighbours import scan
from user_itr.search.neighbours.photo_columns import PhotoColumns
from user_itr.search.neighbours.rows import ROW_ID, Rows, embeddings_of
from user_itr.search.neighbours.snapshot import Snapshot

DELTA_MOST = 50_000
"""Rows that a table may have beside the derived files; with more, LanceDB answers."""

SCORED = 128
"""Rows that the graph gives at least, to be scored exactly: one byte a number orders photos that
are much alike badly. Each is read from another place of the disk or the memory."""

CANDIDATES = 4
"""Rows that the graph gives at least for each result that may be found."""

LEAST_CANDIDATES = 40

GRAPH_MOST = 1_000
"""Rows that a graph is asked for at most; where more are needed, all are compared."""

FILTERED_MOST = 20_000
"""Rows that a condition leaves, up to which they are all compared without asking the graph."""

CONDITIONS = 8
"""Conditions of which it is remembered which rows meet them: the pages of a list share one."""


@dataclass(frozen=True, slots=True, eq=False)
class Delta:
    """Rows of the table that the derived files lack.

    Attributes:
        row_ids: (N,) uint64, ascending.
        photos: N rows.
        vectors: (N, D) float32 unit vectors.
    """

    row_ids: np.ndarray
    photos: PhotoColumns
    vectors: np.ndarray

    @classmethod
    def read(cls, rows: Rows, ids: np.ndarray, before: Delta | None) -> Delta:
        """The rows of these ids; those that `before` has are not read again."""
        old = np.zeros(0, bool) if before is None else np.isin(before.row_ids, ids)
        new = ids if before is None else np.setdiff1d(ids, before.row_ids, assume_unique=True)
        parts = [] if before is None else [before.photos.table.filter(pa.array(old))]
        vectors = [] if before is None else [before.vectors[old]]
        all_ids = [] if before is None else [before.row_ids[old]]
        if len(new):
            read = rows.some(new.tolist())
            parts.append(PhotoColumns(read).table)
            vectors.append(embeddings_of(read))
            all_ids.append(read[ROW_ID].to_numpy())
        photos = PhotoColumns(pa.concat_tables(parts))
        return cls(np.concatenate(all_ids), photos, np.concatenate(vectors))


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The rows of one version of a table: those of a snapshot that are left, and a delta.

    Attributes:
        version: of the table.
        snapshot: derived files.
        alive: (N,) bool, which of the snapshot's rows the table has; None for all.
        delta: the table's other rows; None for none.
    """

    version: int
    snapshot: Snapshot
    alive: np.ndarray | None
    delta: Delta | None
    _conditions: dict[str, tuple[np.ndarray, np.ndarray | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Rows, version: int, snapshot: Snapshot, before: View | None) -> View | None:
        """The table's version, or None where too much of it is not in the snapshot.

        Args:
            rows: of the table, which is at that version or a later one.
            version: of the table.
            snapshot: derived files.
            before: an earlier view, what is read from it is not read again.
        """
        if version == snapshot.version and rows.count() == len(snapshot):
            return cls(version, snapshot, None, None)
        ids = rows.ids()
        place, known = _places(snapshot.row_ids, ids)
        missing = ids[~known]
        if len(missing) > DELTA_MOST:
            return None
        alive = np.zeros(len(snapshot), bool)
        alive[place[known]] = True
        delta = None
        if len(missing):
            delta = Delta.read(rows, missing, None if before is None else before.delta)
        return cls(version, snapshot, None if alive.all() else alive, delta)

    def nearest(
        self,
        rows: Rows,
        query: np.ndarray,
        k: int,
        where: str | None,
        *,
        exact: bool,
    ) -> list[Hit]:
        """See `Neighbours.nearest`."""
        allowed, delta_allowed = self.alive, None
        if where is not None:
            allowed, delta_allowed = self._meeting(rows, where)
        places = None if exact else self._by_graph(query, k, allowed, where is not None)
        if places is None:
            places, scores = scan.nearest(self.snapshot.vectors, query, k, allowed)
        else:
            scores = scan.row_scores(self.snapshot.scattered, places, query)
            places, scores = scan.best(places, scores, k)
        found = [*zip(scores.tolist(), self.snapshot.photos.rows(places), strict=True)]
        if self.delta is not None:
            places, scores = scan.nearest(self.delta.vectors, query, k, delta_allowed)
            found += zip(scores.tolist(), self.delta.photos.rows(places), strict=True)
        return ranked(found, k)

    def _by_graph(
        self, query: np.ndarray, k: int, allowed: np.ndarray | None, filtered: bool
    ) -> np.ndarray | None:
        """Rows among which the nearest k are; None where all have to be compared."""
        graph, slots = self.snapshot.graph, self.snapshot.slots
        if graph is None or slots is None:
            return None
        count = len(self.snapshot) if allowed is None else int(np.count_nonzero(allowed))
        if count == 0 or (filtered and count <= FILTERED_MOST):
            return None
        wanted = int(max(LEAST_CANDIDATES, CANDIDATES * k) * len(slots) / count)
        if wanted > GRAPH_MOST:
            return None
        places = slots[graph.near(query, max(wanted, SCORED))]
        places = places[places >= 0]
        if allowed is not None:
            places = places[allowed[places]]
        return places if len(places) >= min(k, count) else None

    def _meeting(self, rows: Rows, where: str) -> tuple[np.ndarray, np.ndarray | None]:
        """Which rows of the snapshot, and of the delta, meet a condition."""
        if where not in self._conditions:
            ids = rows.ids(where)
            place, known = _places(self.snapshot.row_ids, ids)
            allowed = np.zeros(len(self.snapshot), bool)
            allowed[place[known]] = True
            delta = None if self.delta is None else np.isin(self.delta.row_ids, ids)
            while len(self._conditions) >= CONDITIONS:
                self._conditions.pop(next(iter(self._conditions)), None)
            self._conditions[where] = (allowed, delta)
            return allowed, delta
        return self._conditions[where]


def _places(ascending: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each of `ids` is in an ascending array, and whether it is there at all."""
    place = np.searchsorted(ascending, ids)
    if not len(ascending):
        return place, np.zeros(len(ids), bool)
    known = ascending[np.minimum(place, len(ascending) - 1)] == ids
    return place, known
