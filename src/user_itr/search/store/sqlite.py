"""The store of an index in a folder: one SQLite file, with derived files beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

import numpy as np

from user_itr.search.filters import Filters
from user_itr.search.found import Hit, PhotoFacts, ranked
from user_itr.search.location import Folder, Location, store_errors
from user_itr.search.neighbours.search import Neighbours
from user_itr.search.store import listing, schema
from user_itr.search.store.base import Cluster, ContentRow, FileRow
from user_itr.search.store.changes import FileChange
from user_itr.search.store.conditions import ALL, seconds_of
from user_itr.search.store.copies import Copies
from user_itr.search.store.database import Database, in_parts, marks
from user_itr.search.store.embeddings import Embeddings, evenly, packed, unpacked
from user_itr.search.store.marks import Edited, Marks
from user_itr.search.store.nearest import NearestFiles

if TYPE_CHECKING:
    from user_itr.search.timeline import Timeline

DERIVED = "photos-{generation}.neighbours"
"""Folder of the derived files."""


class SqliteStore:
    """See `base.PhotoStore`. Embeddings are kept as float16.

    Args:
        location: folder of the index.
        generation: of the index.
        dim: width D of the embeddings.
        create: make the file, and the generation, where there is none.

    Raises:
        IndexStoreError: here and in every method, if the file cannot be read or written.
    """

    def __init__(self, location: Folder, generation: int, dim: int, *, create: bool) -> None:
        self._location = location
        self.generation = generation
        self.dim = dim
        self._database = Database(location, create=create)
        if create and not self._is_there():
            with self._database.change() as writer:
                schema.add_generation(writer, generation)
        with store_errors(location, "opened"):
            if not self._is_there():
                raise ValueError(f"{schema.FILE} holds no generation {generation}")
        self._embeddings = Embeddings(self._database, generation, dim)
        folder = location.folder / DERIVED.format(generation=generation)
        self.neighbours = Neighbours(self._embeddings, folder, dim)
        self._nearest = NearestFiles(self._database, generation, self.neighbours)
        self._marks = Marks(self._database, generation)
        self._copies = Copies(
            self._database, generation, self._embeddings, self.neighbours, self._nearest
        )

    def _is_there(self) -> bool:
        return bool(self._ask("SELECT 1 FROM counters WHERE generation = ?", [self.generation]))

    @property
    def location(self) -> Location:
        """See `PhotoStore`."""
        return self._location

    def __len__(self) -> int:
        """See `PhotoStore`."""
        counted = self._ask("SELECT files FROM counters WHERE generation = ?", [self.generation])
        with store_errors(self._location, "read"):
            if not counted:
                raise ValueError(f"generation {self.generation} is gone")
        return int(counted[0][0])

    # What an update asks and writes.

    def files(self) -> Iterable[FileRow]:
        """See `PhotoStore`."""
        return map(listing.file_of, self._each(listing.FILES))

    def content_sizes(self) -> set[int]:
        """See `PhotoStore`."""
        return {size for (size,) in self._ask("SELECT DISTINCT size FROM contents")}

    def known(self, hashes: Collection[str]) -> set[str]:
        """See `PhotoStore`."""
        found: set[str] = set()
        for part in in_parts([bytes.fromhex(one) for one in set(hashes)]):
            rows = self._ask(
                f"SELECT hash FROM contents WHERE hash IN ({marks(part)}) "
                "AND id IN (SELECT content FROM embeddings_{g})",
                part,
            )
            found.update(digest.hex() for (digest,) in rows)
        return found

    def holding(self, hashes: Collection[str]) -> list[FileRow]:
        """See `PhotoStore`."""
        found: list[FileRow] = []
        for part in in_parts([bytes.fromhex(one) for one in set(hashes)]):
            rows = self._ask(f"{listing.FILES} WHERE c.hash IN ({marks(part)})", part)
            found += map(listing.file_of, rows)
        return found

    def write(
        self,
        files: Sequence[FileRow],
        contents: Sequence[ContentRow] = (),
        gone: Collection[str] = (),
    ) -> list[str]:
        """See `PhotoStore`."""
        with self._database.change() as writer:
            edited = Edited(writer, self.generation, [row.hash for row in contents])
            added = sum(self._add_content(writer, row) for row in contents)
            change = FileChange(writer, self.generation, edited)
            unknown = [row.path for row in files if not change.write(row)]
            removed = sum(change.remove(path) for path in gone)
            self._count(writer, files=change.added - removed, embeddings=added)
        return unknown

    def remove(self, paths: Collection[str]) -> int:
        """See `PhotoStore`."""
        if not paths:
            return 0
        with self._database.change() as writer:
            change = FileChange(writer, self.generation)
            removed = sum(change.remove(path) for path in paths)
            self._count(writer, files=-removed)
        return removed

    def finish(self) -> None:
        """See `PhotoStore`; the write-ahead log is carried over as well."""
        (held,) = self._ask("SELECT count(DISTINCT content) FROM files_{g}")[0]
        if held != self._embeddings.counts().rows:
            self._drop_orphans()
        with store_errors(self._location, "written"):
            self.neighbours.refresh()
        self._database.carry_over()

    def _drop_orphans(self) -> None:
        with self._database.change() as writer:
            orphans = writer.execute(
                self._sql("SELECT id FROM contents WHERE id NOT IN (SELECT content FROM files_{g})")
            ).fetchall()
            delete = self._sql("DELETE FROM embeddings_{g} WHERE content = ?")
            gone = sum(writer.execute(delete, one).rowcount for one in orphans)
            self._count(writer, embeddings=-gone, removed=gone)
            delete = f"DELETE FROM contents WHERE id = ? AND {_not_held(writer)}"
            writer.executemany(delete, orphans)
            for table, column in (("folders", "folder"), ("roots", "root")):
                used = " UNION ".join(
                    f"SELECT {column} FROM files_{generation}"
                    for generation in schema.generations(writer)
                )
                writer.execute(f"DELETE FROM {table} WHERE id NOT IN ({used})")

    def _add_content(self, writer: sqlite3.Connection, row: ContentRow) -> int:
        digest, place = bytes.fromhex(row.hash), row.location or (None, None)
        taken = None if row.taken is None else seconds_of(row.taken)
        writer.execute(
            "INSERT INTO contents (hash, size, taken, width, height, latitude, longitude) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (hash) DO UPDATE SET taken = excluded.taken, "
            "width = excluded.width, height = excluded.height, latitude = excluded.latitude, "
            "longitude = excluded.longitude",
            (digest, row.size, taken, row.width, row.height, *place),
        )
        return writer.execute(
            self._sql(
                "INSERT INTO embeddings_{g} SELECT id, ? FROM contents WHERE hash = ? "
                "ON CONFLICT (content) DO NOTHING"
            ),
            (packed(row.embedding, self.dim), digest),
        ).rowcount

    def _count(
        self, writer: sqlite3.Connection, files: int = 0, embeddings: int = 0, removed: int = 0
    ) -> None:
        writer.execute(
            "UPDATE counters SET files = files + ?, embeddings = embeddings + ?, "
            "removed = removed + ? WHERE generation = ?",
            (files, embeddings, removed, self.generation),
        )

    # What searches and pages ask.

    def nearest(
        self, query: np.ndarray, k: int, filters: Filters | None = None, *, exact: bool = False
    ) -> list[Hit]:
        """See `PhotoStore` and `NearestFiles`."""
        with store_errors(self._location, "read"):
            return ranked(self._nearest.find(query, k, filters, exact), k)

    def facts(self, ids: Sequence[str]) -> list[PhotoFacts]:
        """See `PhotoStore`."""
        found: dict[str, PhotoFacts] = {}
        for part in in_parts(listing.numbers_of(ids)):
            found |= {one.id: one for one in self._listed(f"f.id IN ({marks(part)})", part)}
        return [found[id] for id in ids if id in found]

    def embeddings(self, ids: Sequence[str]) -> np.ndarray:
        """See `PhotoStore`."""
        rows: list[Any] = []
        for part in in_parts(listing.numbers_of(ids)):
            rows += self._ask(
                "SELECT vector FROM embeddings_{g} WHERE content IN "
                f"(SELECT content FROM files_{{g}} WHERE id IN ({marks(part)}))",
                part,
            )
        with store_errors(self._location, "read"):
            return unpacked([vector for (vector,) in rows], self.dim)

    def sample(self, most: int) -> np.ndarray:
        """See `PhotoStore`."""
        with store_errors(self._location, "read"):
            return self._embeddings.some(evenly(self._embeddings.numbers(), most))[1]

    def newest(self, k: int, offset: int = 0, filters: Filters | None = None) -> list[PhotoFacts]:
        """See `PhotoStore`."""
        condition = self._nearest.condition(filters)
        return self._listed(condition.text, condition.values, k, offset)

    def named(self, words: str, k: int, offset: int = 0) -> list[PhotoFacts]:
        """See `PhotoStore`."""
        asked = listing.match_of(words)
        if asked is None:
            return []
        condition = self._nearest.condition(None)
        where = "f.id IN (SELECT rowid FROM names_{g} WHERE names_{g} MATCH ?)"
        where = f"{where} AND {condition.text}"
        return self._listed(where, [asked, *condition.values], k, offset)

    def count(self, filters: Filters | None = None) -> int:
        """See `PhotoStore`."""
        condition = self._nearest.condition(filters)
        if condition is ALL:
            return len(self)
        rows = self._ask(
            "SELECT count(*) FROM files_{g} f JOIN contents c ON c.id = f.content "
            f"WHERE {condition.text}",
            condition.values,
        )
        return int(rows[0][0])

    def roots(self) -> dict[str, int]:
        """See `PhotoStore`."""
        return self._counted("roots", "root")

    def folders(self) -> dict[str, int]:
        """See `PhotoStore`."""
        return self._counted("folders", "folder")

    def timeline(self, filters: Filters | None = None) -> Timeline:
        """See `PhotoStore`."""
        condition = self._nearest.condition(filters)
        rows = self._ask(
            "SELECT f.id, f.moment, coalesce(f.sidecar_taken, c.taken) IS NOT NULL, c.width, "
            "c.height FROM files_{g} f JOIN contents c ON c.id = f.content "
            f"WHERE {condition.text}",
            condition.values,
        )
        from user_itr.search.timeline import timeline_of  # a search needs none

        return timeline_of(rows, len(rows))

    def state(self) -> str:
        """See `PhotoStore`."""
        return f"{self.generation}-{self._database.version():x}"

    def clusters(self, step: float, k: int, filters: Filters | None = None) -> list[Cluster]:
        """See `PhotoStore`."""
        condition = self._nearest.condition(filters)
        statement = listing.CLUSTERS.format(where=condition.text, g="{g}")
        rows = self._ask(statement, [*condition.values, step, step, k])
        return [listing.cluster_of(row) for row in rows]

    def _counted(self, table: str, column: str) -> dict[str, int]:
        rows = self._ask(
            f"SELECT t.path, count(*) FROM files_{{g}} f JOIN {table} t ON t.id = f.{column} "
            "GROUP BY t.id ORDER BY t.path"
        )
        return dict(rows)

    def _listed(
        self, where: str, values: Sequence[Any], k: int = -1, offset: int = 0
    ) -> list[PhotoFacts]:
        rows = self._ask(listing.FACTS.format(where=where, g="{g}"), [*values, k, offset])
        return [listing.facts_of(row) for row in rows]

    def marks(self) -> Marks:
        """See `PhotoStore`."""
        return self._marks

    def copies(self) -> Copies:
        """See `PhotoStore`."""
        return self._copies

    # Sentences that describe photos.

    def sentences(self) -> list[str]:
        """See `PhotoStore`."""
        return [text for (text,) in self._ask("SELECT text FROM sentences_{g} ORDER BY id")]

    def replace_sentences(self, texts: Sequence[str], embeddings: np.ndarray) -> None:
        """See `PhotoStore`."""
        rows = [
            (text, packed(embedding, self.dim))
            for text, embedding in zip(texts, embeddings, strict=True)
        ]
        with self._database.change() as writer:
            writer.execute(self._sql("DELETE FROM sentences_{g}"))
            insert = self._sql("INSERT INTO sentences_{g} (text, vector) VALUES (?, ?)")
            writer.executemany(insert, rows)
        self._database.carry_over()

    def sentence_embeddings(self) -> np.ndarray:
        """See `PhotoStore`."""
        rows = self._ask("SELECT vector FROM sentences_{g} ORDER BY id")
        with store_errors(self._location, "read"):
            return unpacked([vector for (vector,) in rows], self.dim)

    def _sql(self, statement: str) -> str:
        return statement.replace("{g}", str(self.generation))

    def _ask(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._database.read(self._sql(statement), values)

    def _each(self, statement: str) -> Iterator[Any]:
        return self._database.read_each(self._sql(statement))


def drop_generations(location: Folder, keep: Collection[int]) -> None:
    """Remove what older and interrupted rebuilds left; only under the index's lock."""
    database = Database(location, create=True)
    with database.change() as writer:
        for generation in schema.generations(writer):
            if generation not in keep:
                schema.drop_generation(writer, generation)
        writer.execute(f"DELETE FROM contents WHERE {_not_held(writer)}")
    with store_errors(location, "written"):
        derived = [DERIVED.format(generation=generation) for generation in keep]
        for name in location.entries():
            if fnmatch(name, DERIVED.format(generation="*")) and name not in derived:
                location.remove_folder(name)
    database.carry_over()


def _not_held(writer: sqlite3.Connection) -> str:
    """The condition on contents that no generation has."""
    parts = [
        f"id NOT IN (SELECT content FROM embeddings_{generation})"
        for generation in schema.generations(writer)
    ]
    return " AND ".join(parts) or "1"
