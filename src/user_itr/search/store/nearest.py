"""The files nearest to a query: contents are compared, files are found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from user_itr.search.neighbours.search import Neighbours
from user_itr.search.neighbours.view import GRAPH_MOST, SCORED, Scored
from user_itr.search.store import listing
from user_itr.search.store.conditions import ALL, Condition
from user_itr.search.store.database import Database, in_parts

REMEMBERED = 50_000
"""Contents of which it is remembered what files hold them, for the next search."""

CONDITIONS = 8
"""Conditions of which it is remembered what contents meet them: the pages of a list share one."""

FEW = 20_000
"""Contents that meet a condition, up to which they are all compared without asking the graph."""

FileOf = tuple[str, str, int, int]
"""Path, id, width and height of a file, as a search gives them."""


class NearestFiles:
    """Finds files by the embeddings of their contents; several threads may ask at once.

    A content is compared once, whatever number of files hold it. From
    `neighbours.search.APPROXIMATE_FROM` contents on, a graph of neighbours chooses what is
    compared, and the condition is then asked of what it chose.

    Args:
        database: of the index.
        generation: of the index.
        neighbours: of its embeddings.
    """

    def __init__(self, database: Database, generation: int, neighbours: Neighbours) -> None:
        self._database = database
        self._generation = generation
        self._neighbours = neighbours
        self._version: int | None = None
        self._files: dict[int, list[FileOf]] = {}
        self._meeting: dict[Condition, np.ndarray] = {}

    def find(
        self, query: np.ndarray, k: int, condition: Condition, exact: bool
    ) -> list[tuple[float, FileOf]]:
        """At least k files, as far as there are so many, with the scores of their contents.

        Args:
            query: (D,) float32 unit vector.
            k: files; those that tie with the last come too.
            condition: that files meet.
            exact: compare every content that a file which meets the condition holds.
        """
        while True:
            version = self._database.version()
            found = self._find(query, k, condition, exact)
            if self._database.version() == version:  # else the files changed in between
                return found

    def _find(
        self, query: np.ndarray, k: int, condition: Condition, exact: bool
    ) -> list[tuple[float, FileOf]]:
        meeting = self._meeting.get(condition)
        if not exact and (meeting is None or len(meeting) > FEW):
            for count in (4 * k,) if condition is ALL else (SCORED, GRAPH_MOST):
                wanted, enough = (k, k) if condition is ALL else (count, 2 * k)
                scored = self._neighbours.by_graph(query, wanted, count)
                found = [] if scored is None else self._with_files(scored, condition)
                if len(found) >= enough:
                    return found
        allowed = None if condition is ALL else self._contents_meeting(condition)
        wanted, rows = k, self._neighbours.count() if allowed is None else len(allowed)
        while True:
            found = self._with_files(self._neighbours.near(query, wanted, allowed), condition)
            if len(found) >= k or wanted >= rows:
                return found
            wanted *= 2  # contents that no file holds any more were among them

    def _with_files(self, scored: Scored, condition: Condition) -> list[tuple[float, FileOf]]:
        """Scores of contents, as scores of the files that hold them and meet the condition."""
        numbers = scored[0].tolist()
        files = self._files_of(numbers, condition)
        return [
            (score, file)
            for number, score in zip(numbers, scored[1].tolist(), strict=True)
            for file in files.get(number, ())
        ]

    def _files_of(self, contents: Sequence[int], condition: Condition) -> dict[int, list[FileOf]]:
        self._forget_old()
        known = self._files if condition is ALL else {}
        found: dict[int, list[FileOf]] = {n: [] for n in contents if n not in known}
        for part in in_parts([*found]):
            for number, id, folder, name, width, height in self._ask(
                f"""SELECT f.content, f.id, d.path, f.name, c.width, c.height FROM files_{{g}} f
                JOIN folders d ON d.id = f.folder JOIN contents c ON c.id = f.content
                WHERE f.content IN ({",".join(map(str, part))}) AND {condition.text}""",
                condition.values,
            ):
                path = listing.joined(folder, name)
                found[number].append((path, listing.shown_id(id), width, height))
        known.update(found)
        return known

    def _contents_meeting(self, condition: Condition) -> np.ndarray:
        self._forget_old()
        if condition not in self._meeting:
            join = "JOIN contents c ON c.id = f.content" if "c." in condition.text else ""
            rows = self._ask(
                f"SELECT DISTINCT f.content FROM files_{{g}} f {join} WHERE {condition.text}",
                condition.values,
            )
            while len(self._meeting) >= CONDITIONS:
                self._meeting.pop(next(iter(self._meeting)), None)
            self._meeting[condition] = np.sort(np.array(rows, np.int64).reshape(-1))
        return self._meeting[condition]

    def _forget_old(self) -> None:
        version = self._database.version()
        if version != self._version or len(self._files) > REMEMBERED:
            self._files, self._meeting, self._version = {}, {}, version

    def _ask(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._database.read(statement.replace("{g}", str(self._generation)), values)
