"""One state of a store, seen through derived files that may be of an earlier one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from user_itr.search.neighbours import scan
from user_itr.search.neighbours.rows import Counts, Rows
from user_itr.search.neighbours.snapshot import Snapshot, places_of

DELTA_MOST = 16_384
"""Rows that a store may have beside the derived files; with more, all rows are read from it."""

SCORED = 80
"""Rows that the graph gives at least, to be scored exactly: one byte a number orders photos that
are much alike badly. Each is read from another place of the disk or the memory."""

GRAPH_MOST = 1_000
"""Rows that a graph is asked for at most; where more are needed, all are compared."""

Scored = tuple[np.ndarray, np.ndarray]
"""(R,) int64 numbers of rows and their (R,) float32 scores, the best first."""

_NOTHING: Scored = (np.empty(0, np.int64), np.empty(0, np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Delta:
    """Rows of the store that the derived files lack: (N,) numbers, ascending, (N, D) vectors."""

    numbers: np.ndarray
    vectors: np.ndarray

    @classmethod
    def read(cls, rows: Rows, numbers: np.ndarray, before: Delta | None) -> Delta:
        """The rows of these numbers; those that `before` has are not read again."""
        if before is None:
            return cls(*rows.some(numbers))
        kept = np.isin(before.numbers, numbers)
        new, vectors = rows.some(np.setdiff1d(numbers, before.numbers, assume_unique=True))
        numbers = np.concatenate([before.numbers[kept], new])
        order = np.argsort(numbers)
        return cls(numbers[order], np.concatenate([before.vectors[kept], vectors])[order])


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The rows of one state of a store: those of a snapshot that are left, and a delta.

    Attributes:
        counts: of the store.
        snapshot: derived files.
        alive: (N,) bool, which of the snapshot's rows the store has; None for all.
        delta: the store's other rows; None for none.
    """

    counts: Counts
    snapshot: Snapshot
    alive: np.ndarray | None
    delta: Delta | None

    @classmethod
    def of(cls, rows: Rows, counts: Counts, snapshot: Snapshot, before: View | None) -> View | None:
        """The store's state, or None where too much of it is not in the snapshot.

        Args:
            rows: of the store, which is in that state or a later one.
            counts: of the store.
            snapshot: derived files.
            before: an earlier view; what is read from it is not read again.
        """
        old = None if before is None else before.delta
        last = int(snapshot.numbers[-1]) if len(snapshot) else 0
        missing = rows.numbers(after=last)
        alive = None
        if counts.removed != snapshot.removed or counts.rows != len(snapshot) + len(missing):
            present = rows.numbers()
            place, known = places_of(snapshot.numbers, present)
            missing = present[~known]
            alive = np.zeros(len(snapshot), bool)
            alive[place[known]] = True
        if len(missing) > DELTA_MOST:
            return None
        delta = Delta.read(rows, missing, old) if len(missing) else None
        return cls(counts, snapshot, alive, delta)

    def near(self, query: np.ndarray, k: int, allowed: np.ndarray | None = None) -> Scored:
        """The k rows nearest to a query, and those that tie with the last, by exact scores.

        Args:
            query: (D,) float32 unit vector.
            k: rows.
            allowed: (M,) int64, ascending: rows that may be found; None for all.
        """
        mask, delta_mask = self.alive, None
        if allowed is not None:
            place, known = places_of(self.snapshot.numbers, allowed)
            mask = np.zeros(len(self.snapshot), bool)
            mask[place[known]] = True
            if self.alive is not None:
                mask &= self.alive
            if self.delta is not None:
                delta_mask = np.isin(self.delta.numbers, allowed)
        return self._both(scan.nearest(self.snapshot.vectors, query, k, mask), query, k, delta_mask)

    def by_graph(self, query: np.ndarray, k: int, count: int) -> Scored | None:
        """About the k nearest of all rows, with exact scores; None where there is no graph.

        Args:
            query: (D,) float32 unit vector.
            k: rows.
            count: rows that the graph gives to be scored.
        """
        graph, slots = self.snapshot.graph, self.snapshot.slots
        if graph is None or slots is None:
            return None
        living = len(self.snapshot) if self.alive is None else int(np.count_nonzero(self.alive))
        if not living:
            return None
        wanted = int(max(count, SCORED) * len(slots) / living)
        if wanted > GRAPH_MOST:
            return None
        places = slots[graph.near(query, wanted)]
        if self.alive is not None or len(slots) > living:
            places = places[places >= 0]
            if self.alive is not None:
                places = places[self.alive[places]]
        scores = scan.row_scores(self.snapshot.scattered, places, query)
        return self._both(scan.best(places, scores, k), query, k, None)

    def _both(
        self, found: Scored, query: np.ndarray, k: int, delta_mask: np.ndarray | None
    ) -> Scored:
        """Rows of the snapshot by their places, and the delta's, as numbers of the store."""
        places, scores = found
        numbers = self.snapshot.numbers[places]
        if self.delta is None:
            return numbers, scores
        places, others = scan.nearest(self.delta.vectors, query, k, delta_mask)
        return scan.best(
            np.concatenate([numbers, self.delta.numbers[places]]),
            np.concatenate([scores, others]),
            k,
        )


def scan_store(rows: Rows, query: np.ndarray, k: int, allowed: np.ndarray | None = None) -> Scored:
    """`View.near` where there are no derived files: all rows are read from the store."""
    best = _NOTHING
    for numbers, vectors in rows.all():
        mask = None if allowed is None else np.isin(numbers, allowed)
        places, scores = scan.nearest(vectors, query, k, mask)
        best = scan.best(
            np.concatenate([best[0], numbers[places]]), np.concatenate([best[1], scores]), k
        )
    return best
