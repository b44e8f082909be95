"""The files nearest to a query: contents are compared, files are found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from user_itr.search.filters import Filters
from user_itr.search.neighbours import scan
from user_itr.search.neighbours.search import Neighbours
from user_itr.search.neighbours.view import GRAPH_MOST, SCORED, Scored
from user_itr.search.store import listing
from user_itr.search.store.conditions import ALL, Condition, Kept, condition_of
from user_itr.search.store.database import Database, in_parts
from user_itr.search.store.schema import MARKS_VERSION

REMEMBERED = 50_000
"""Contents of which it is remembered what files hold them, for the next search."""

CONDITIONS = 8
"""Filters of which it is remembered what they ask and what meets them: the pages of a list share
one."""

FEW = 1_000
"""Contents that meet a condition, up to which they are all compared without asking the graph."""

SPARE = 1.5
"""How many times what is needed the graph is asked for, going by how many met the filters last."""

TRIES = 3
"""Times that the graph is asked, each time for more, before all are compared."""

FileOf = tuple[str, Path, str, int, int]
"""Path as text and as a path, id, width and height of a file, as a search gives them."""


class _Asked:
    """What filters ask of files, and what contents meet that, as far as it was read.

    Attributes:
        condition: of SQL.
        contents: (N,) int64, ascending; None as long as it was not read.
        many: whether they are known to be more than `FEW`.
        share: of what the graph gave last, that met the condition.
    """

    __slots__ = ("condition", "contents", "many", "share")

    def __init__(self, condition: Condition) -> None:
        self.condition = condition
        self.contents: np.ndarray | None = None
        self.many = False
        self.share = 1.0


class _Read:
    """What was read of one state of the database.

    Attributes:
        version: of the database.
        kept: what it has of what people add.
        files: of contents.
        asked: by filters.
    """

    __slots__ = ("asked", "files", "kept", "version")

    def __init__(self, version: int, kept: Kept) -> None:
        self.version = version
        self.kept = kept
        self.files: dict[int, list[FileOf]] = {}
        self.asked: dict[Filters | None, _Asked] = {None: _Asked(condition_of(None, [], kept))}


class NearestFiles:
    """Finds files by the embeddings of their contents; several threads may ask at once.

    A content is compared once, whatever number of files hold it. From
    `neighbours.search.APPROXIMATE_FROM` contents on, a graph of neighbours chooses what is
    compared; where filters leave more than a few, they are then asked of what it chose.

    Args:
        database: of the index.
        generation: of the index.
        neighbours: of its embeddings.
    """

    def __init__(self, database: Database, generation: int, neighbours: Neighbours) -> None:
        self._database = database
        self._generation = generation
        self._neighbours = neighbours
        self._last = _Read(-1, Kept(tables=False, hidden=False))

    def find(
        self, query: np.ndarray, k: int, filters: Filters | None, exact: bool
    ) -> list[tuple[float, FileOf]]:
        """At least k files, as far as there are so many, with the scores of their contents.

        Args:
            query: (D,) float32 unit vector.
            k: files; those that tie with the last come too.
            filters: that files meet.
            exact: compare every content that a file which meets the filters holds.
        """
        while True:
            read = self._read()
            known = len(read.files)
            asked = self._asked(read, filters)
            found = None if exact else self._by_graph(query, k, read, asked)
            if found is None:
                found = self._all(query, k, read, asked)
            if asked.condition is ALL and len(read.files) == known:  # all is of one state
                return found
            if self._database.version() == read.version:  # else the files changed in between
                return found

    def condition(self, filters: Filters | None) -> Condition:
        """What filters ask of files."""
        return self._asked(self._read(), filters).condition

    def _by_graph(
        self, query: np.ndarray, k: int, read: _Read, asked: _Asked
    ) -> list[tuple[float, FileOf]] | None:
        """About the nearest files; None where all that meet the filters are to be compared."""
        view = self._neighbours.view(read.version)
        if view is None or view.snapshot.graph is None:
            return None
        if asked.condition is ALL:
            scored = view.by_graph(query, k, 4 * k)
            found = [] if scored is None else self._with_files(scored, read, asked)
            return found if len(found) >= k else None
        if not asked.many:
            self._meeting(asked, most=FEW)
        if not asked.many:
            return None
        enough = 2 * k
        for _ in range(TRIES):
            count = min(max(int(SPARE * enough / max(asked.share, 1e-3)), SCORED), GRAPH_MOST)
            scored = view.by_graph(query, count, count)
            if scored is None:
                return None
            kept = self._meeting_some(scored, asked)
            asked.share = len(kept[0]) / max(len(scored[0]), 1)
            if len(kept[0]) >= enough:
                return self._with_files(scan.best(*kept, k), read, asked)
            if count == GRAPH_MOST:
                break
        return None

    def _all(
        self, query: np.ndarray, k: int, read: _Read, asked: _Asked
    ) -> list[tuple[float, FileOf]]:
        """The nearest files, after all contents that may be found were compared."""
        allowed = None if asked.condition is ALL else self._meeting(asked)
        wanted, rows = k, self._neighbours.count() if allowed is None else len(allowed)
        while True:
            scored = self._neighbours.near(query, wanted, allowed)
            found = self._with_files(scored, read, asked)
            if len(found) >= k or wanted >= rows:
                return found
            wanted *= 2  # contents that no file holds any more were among them

    def _with_files(self, scored: Scored, read: _Read, asked: _Asked) -> list[tuple[float, FileOf]]:
        """Scores of contents, as scores of the files that hold them and meet the condition."""
        numbers = scored[0].tolist()
        files = self._files_of(numbers, read, asked.condition)
        return [
            (score, file)
            for number, score in zip(numbers, scored[1].tolist(), strict=True)
            for file in files[number]
        ]

    def _files_of(
        self, contents: Sequence[int], read: _Read, condition: Condition
    ) -> dict[int, list[FileOf]]:
        known = read.files if condition is ALL else {}
        found: dict[int, list[FileOf]] = {n: [] for n in contents if n not in known}
        for part in in_parts([*found]):
            for number, id, folder, name, width, height in self._ask(
                f"""SELECT f.content, f.id, d.path, f.name, c.width, c.height FROM files_{{g}} f
                JOIN folders d ON d.id = f.folder JOIN contents c ON c.id = f.content
                WHERE f.content IN ({",".join(map(str, part))}) AND {condition.text}""",
                condition.values,
            ):
                path = listing.joined(folder, name)
                found[number].append((path, Path(path), listing.shown_id(id), width, height))
        if found:
            known.update(found)
        return known

    def _meeting_some(self, scored: Scored, asked: _Asked) -> Scored:
        """Those of contents that a file holds which meets a condition."""
        numbers, scores = scored
        join = "JOIN contents c ON c.id = f.content" if "c." in asked.condition.text else ""
        met: set[int] = set()
        for part in in_parts(numbers.tolist()):
            rows = self._ask(
                f"SELECT f.content FROM files_{{g}} f INDEXED BY files_{{g}}_content {join} "
                f"WHERE f.content IN ({','.join(map(str, part))}) AND {asked.condition.text}",
                asked.condition.values,
            )
            met.update(number for (number,) in rows)
        kept = np.fromiter((number in met for number in numbers.tolist()), bool, len(numbers))
        return numbers[kept], scores[kept]

    def _meeting(self, asked: _Asked, most: int = -1) -> np.ndarray:
        """The contents that meet a condition; no matter which if they are more than `most`."""
        if asked.contents is None:
            condition = asked.condition
            join = "JOIN contents c ON c.id = f.content" if "c." in condition.text else ""
            rows = self._ask(
                f"SELECT f.content FROM files_{{g}} f {join} WHERE {condition.text} LIMIT ?",
                [*condition.values, most if most < 0 else most + 1],
            )
            found = np.unique(np.array(rows, np.int64).reshape(-1))
            asked.many = len(rows) > FEW
            if 0 <= most < len(rows):
                return found
            asked.contents = found
        return asked.contents

    def _read(self) -> _Read:
        version, last = self._database.version(), self._last
        if version != last.version or len(last.files) > REMEMBERED:
            last = self._last = _Read(version, self._kept())
        return last

    def _kept(self) -> Kept:
        if self._database.schema_version() < MARKS_VERSION:
            return Kept(tables=False, hidden=False)
        [(hidden,)] = self._ask("SELECT EXISTS (SELECT 1 FROM hidden)")
        return Kept(tables=True, hidden=bool(hidden))

    def _asked(self, read: _Read, filters: Filters | None) -> _Asked:
        asked = read.asked.get(filters)
        if asked is None:
            folders = []
            if filters is not None and filters.folder is not None:
                folders = self._ask("SELECT id, path FROM folders")
            while len(read.asked) > CONDITIONS:
                read.asked.pop([*read.asked][1], None)  # the first one is that of no filters
            asked = read.asked[filters] = _Asked(condition_of(filters, folders, read.kept))
        return asked

    def _ask(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._database.read(statement.replace("{g}", str(self._generation)), values)
