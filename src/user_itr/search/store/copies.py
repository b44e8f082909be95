"""Contents that several files hold, and contents that are alike."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

import numpy as np

from user_itr.search.filters import Filters
from user_itr.search.found import PhotoFacts
from user_itr.search.neighbours.pairs import Pairs, pairs_of
from user_itr.search.neighbours.search import Neighbours
from user_itr.search.store import listing
from user_itr.search.store.database import Database, in_parts, marks
from user_itr.search.store.embeddings import Embeddings
from user_itr.search.store.nearest import NearestFiles


class Copies:
    """What is there more than once; contents go by their numbers.

    Args:
        database: of the index.
        generation: of the index.
        embeddings: of its contents.
        neighbours: of these.
        nearest: knows the conditions that filters are.
    """

    def __init__(
        self,
        database: Database,
        generation: int,
        embeddings: Embeddings,
        neighbours: Neighbours,
        nearest: NearestFiles,
    ) -> None:
        self._database = database
        self._generation = generation
        self._embeddings = embeddings
        self._neighbours = neighbours
        self._nearest = nearest

    def alike(self, least: float, progress: Callable[[int, int], None] | None = None) -> Pairs:
        """Pairs of contents by their cosine; see `pairs_of`."""
        return pairs_of(self._embeddings, self._neighbours.view(), least, progress)

    def vectors(self, contents: Collection[int]) -> tuple[np.ndarray, np.ndarray]:
        """Those of the contents that are there: (R,) numbers, ascending, and (R, D) vectors."""
        return self._embeddings.some(np.array(sorted(contents), np.int64))

    def in_several_files(self) -> list[int]:
        """Contents that more than one file holds."""
        rows = self._database.read(
            f"SELECT content FROM files_{self._generation} GROUP BY content HAVING count(*) > 1"
        )
        return [content for (content,) in rows]

    def files(
        self, contents: Collection[int], *, hidden: bool = False
    ) -> dict[int, list[PhotoFacts]]:
        """By contents, the files that hold them, sorted by path.

        Args:
            contents: numbers; those that no file holds are left out.
            hidden: also files that a person hid.
        """
        condition = self._nearest.condition(Filters(hidden="with" if hidden else "without"))
        found: dict[int, list[PhotoFacts]] = {}
        facts = listing.FACTS.replace("SELECT f.id", "SELECT f.content, f.id", 1)
        for part in in_parts([*contents]):
            where = f"f.content IN ({marks(part)}) AND {condition.text}"
            rows = self._database.read(
                facts.format(where=where, g=self._generation), [*part, *condition.values, -1, 0]
            )
            for content, *row in rows:
                found.setdefault(content, []).append(listing.facts_of(row))
        for files in found.values():
            files.sort(key=lambda one: str(one.path))
        return found

    def contents(self, ids: Collection[str]) -> dict[str, tuple[int, datetime | None]]:
        """By id of a file, the number of its contents and when the photo was taken."""
        found: dict[str, tuple[int, datetime | None]] = {}
        for part in in_parts(listing.numbers_of(ids)):
            rows = self._database.read(
                "SELECT f.id, c.id, coalesce(f.sidecar_taken, c.taken) FROM "
                f"files_{self._generation} f JOIN contents c ON c.id = f.content "
                f"WHERE f.id IN ({marks(part)})",
                part,
            )
            for id, content, taken in rows:
                found[listing.shown_id(id)] = content, listing.date_of(taken)
        return found
