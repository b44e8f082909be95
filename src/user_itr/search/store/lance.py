"""The store of an index on object storage: a LanceDB table, one row a file.

The embedding stands in the row of each file that has its contents; a file that gets known contents
takes it from a row with the same hash. It also reads the tables that older versions of user-itr
made in folders.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np

from user_itr.errors import MissingExtraError
from user_itr.search.filters import Filters
from user_itr.search.found import Hit, PhotoFacts, ranked
from user_itr.search.location import Location, Place, location_of, store_errors
from user_itr.search.names import has_words, words_of
from user_itr.search.store.base import Cluster, ContentRow, FileRow
from user_itr.search.store.embeddings import evenly
from user_itr.search.timeline import Timeline, timeline_of

try:
    import lancedb
    import pyarrow as pa
    from lancedb.expr import col
    from lancedb.index import IvfPq

    from user_itr.search.store import lance_rows
    from user_itr.search.store.lance_rows import STATE_COLUMNS, schema_of
except ImportError:
    raise MissingExtraError(
        "an index on object storage, and one that an older user-itr made, needs more packages; run "
        "`pip install 'user-itr[s3]'`."
    ) from None

T = TypeVar("T")

PARTITIONED_FROM = 200_000
"""Rows from which on a table in a bucket has LanceDB's own approximate index (IVF-PQ)."""

PROBES = 40
"""Partitions of that index that a search looks into."""

INDEX_CACHE_BYTES = 512 << 20
METADATA_CACHE_BYTES = 32 << 20
"""What LanceDB may keep in memory; by default it keeps up to 7 GiB, of versions long gone too."""

READ_AGAIN = 4
"""Times that a read is tried anew after the table has changed under it."""

TIES = 16
"""Rows fetched beyond those wanted, to find ties with the last of them."""

REFINE = 20
"""Candidates fetched per result, then rescored exactly."""

SHARED_GRACE = timedelta(hours=1)
"""How long old versions are kept for readers on other machines."""


@cache
def _session() -> lancedb.Session:
    """The caches that all tables of this process share."""
    return lancedb.Session(INDEX_CACHE_BYTES, METADATA_CACHE_BYTES)


def connect(location: Location) -> Any:
    """LanceDB's connection to the tables of an index."""
    place = location.folder or location.uri
    return lancedb.connect(place, storage_options={**location.storage_options}, session=_session())


class LanceStore:
    """See `base.PhotoStore`.

    Each reading method answers from one version of the table, the latest when it is called.

    Args:
        location: of the index.
        name: of the table of photos.
        sentences: name of the table of sentences.
        dim: width D of the embeddings.
        create: make an empty table where there is none.

    Raises:
        IndexStoreError: here and in every method, if LanceDB cannot read or write.
    """

    def __init__(
        self, location: Location, name: str, sentences: str, dim: int, *, create: bool
    ) -> None:
        self._location = location
        self.schema = schema_of(dim)
        self._dim = dim
        self._sentences = sentences
        with store_errors(location, "opened"):
            database = connect(location)
            self._table: Any  # LanceDB's own annotations miss methods that it has
            if create:
                self._table = database.create_table(name, schema=self.schema, exist_ok=True)
            else:
                self._table = database.open_table(name)
            missing = [one for one in self.schema.names if one not in self._table.schema.names]
            if [n for n in missing if n not in STATE_COLUMNS]:
                raise ValueError(f"table {name} is damaged, its columns are others")
            if missing and create:  # a table of an older user-itr
                self._table.add_columns([self.schema.field(column) for column in missing])
                missing = []
            self._has_state = not missing

    @property
    def readable(self) -> list[str]:
        """The columns that the table has."""
        return list(self._table.schema.names)

    def _again(self, read: Callable[[], T]) -> T:
        """What `read` gives, tried anew where `finish` elsewhere takes its version away."""
        with store_errors(self._location, "read"):
            for _ in range(READ_AGAIN):
                with suppress(OSError, RuntimeError):
                    return read()
            return read()

    def _latest(self, read: Callable[[], T]) -> T:
        """What `read` finds in the latest version."""

        def go_there() -> T:
            self._table.checkout_latest()
            return read()

        return self._again(go_there)

    @property
    def location(self) -> Location:
        """See `PhotoStore`."""
        return self._location

    def __len__(self) -> int:
        """See `PhotoStore`."""
        return self._latest(lambda: int(self._table.count_rows()))

    def columns(self, *names: str, where: str | None = None) -> pa.Table:
        """Some columns of all rows, or of those that meet a condition of SQL."""

        def scan() -> pa.Table:
            query = self._table.search().select(list(names))
            if where is not None:
                query = query.where(where)
            return query.to_arrow().combine_chunks()

        return self._latest(scan)

    def taken_from(self, column: str, values: Collection[str], *names: str) -> pa.Table:
        """Some columns of the rows whose `column` is among `values`; all columns by default."""

        def scan() -> pa.Table:
            query = self._table.search().where(col(column).isin(list(values)))
            return query.select(list(names) or self.schema.names).to_arrow().combine_chunks()

        return self._latest(scan)

    # What an update asks and writes.

    def files(self) -> Iterable[FileRow]:
        """See `PhotoStore`."""
        return map(lance_rows.file_of, self.columns(*self._file_columns).to_pylist())

    def holding(self, hashes: Collection[str]) -> list[FileRow]:
        """See `PhotoStore`."""
        rows = self.taken_from("hash", set(hashes), *self._file_columns)
        return [lance_rows.file_of(row) for row in rows.to_pylist()]

    @property
    def _file_columns(self) -> list[str]:
        return [*lance_rows.FILE_COLUMNS, *(STATE_COLUMNS if self._has_state else ())]

    def content_sizes(self) -> set[int]:
        """See `PhotoStore`."""
        return set(self.columns("size")["size"].unique().to_pylist())

    def known(self, hashes: Collection[str]) -> set[str]:
        """See `PhotoStore`."""
        return set(self.taken_from("hash", set(hashes), "hash")["hash"].to_pylist())

    def write(
        self,
        files: Sequence[FileRow],
        contents: Sequence[ContentRow] = (),
        gone: Collection[str] = (),
    ) -> list[str]:
        """See `PhotoStore`; `gone` leaves in a step of its own, after the others came."""
        new = {row.hash: row for row in contents}
        known = self.taken_from("hash", {row.hash for row in files}, *lance_rows.CONTENT_COLUMNS)
        new |= {row.hash: row for row in lance_rows.contents_of(known)}
        placed = [row for row in files if row.hash in new]
        if placed:
            rows = lance_rows.rows_of(placed, new, self.schema)
            known_paths = self.taken_from("path", [row.path for row in placed], "path").num_rows
            with self._writing():
                if not known_paths:
                    self._table.add(rows)
                else:
                    (
                        self._table.merge_insert("path")
                        .when_matched_update_all()
                        .when_not_matched_insert_all()
                        .execute(rows)
                    )
        self.remove(gone)
        return [row.path for row in files if row.hash not in new]

    def remove(self, paths: Collection[str]) -> int:
        """See `PhotoStore`."""
        if not paths:
            return 0
        with self._writing():
            # An expression, not SQL text: a quote in a file name is only a character.
            return int(self._table.delete(col("path").isin(list(paths))).num_deleted_rows)

    def finish(self) -> None:
        """See `PhotoStore`; small files are merged and old versions dropped.

        From `PARTITIONED_FROM` rows on, LanceDB gets an approximate index.
        """
        with self._writing():
            shared = self._location.shared
            if shared and len(self) >= PARTITIONED_FROM and not self._table.list_indices():
                self._table.create_index("embedding", config=IvfPq(distance_type="dot"))
            self._table.optimize(
                cleanup_older_than=SHARED_GRACE if shared else timedelta(milliseconds=1),
                delete_unverified=not shared,
            )

    # What searches and pages ask.

    def nearest(
        self, query: np.ndarray, k: int, filters: Filters | None = None, *, exact: bool = False
    ) -> list[Hit]:
        """See `PhotoStore`."""
        where = lance_rows.sql(filters, self._has_state)

        def answer() -> list[Hit]:
            self._table.checkout_latest()
            search = (
                self._table.search(query, vector_column_name="embedding")
                .distance_type("dot")
                .select(["id", "path", "width", "height", "_distance"])
            )
            if where is not None:
                search = search.where(where, prefilter=True)
            if exact or not self._table.list_indices():
                search = search.bypass_vector_index()
            else:
                search = search.nprobes(PROBES).refine_factor(REFINE)
            wanted = k + TIES
            while True:
                rows = search.limit(wanted).to_arrow()
                scores = (1 - rows["_distance"].to_numpy()).tolist()
                if len(scores) < wanted or scores[-1] < scores[k - 1]:
                    break
                wanted *= 2  # of those that tie with the last one, the paths decide
            names = rows["path"].to_pylist()
            columns = (rows[name].to_pylist() for name in ("id", "width", "height"))
            files = zip(names, map(Path, names), *columns, strict=True)
            return ranked([*zip(scores, files, strict=True)], k)

        return self._again(answer)

    def facts(self, ids: Sequence[str]) -> list[PhotoFacts]:
        """See `PhotoStore`."""
        if not ids:
            return []
        found = {one.id: one for one in map(lance_rows.facts_of, self._without_vectors(ids))}
        return [found[id] for id in ids if id in found]

    def embeddings(self, ids: Sequence[str]) -> np.ndarray:
        """See `PhotoStore`."""
        return lance_rows.array_of(self.taken_from("id", ids, "embedding")["embedding"], self._dim)

    def sample(self, most: int) -> np.ndarray:
        """See `PhotoStore`."""
        ids = np.array(self.columns("id")["id"].to_pylist())
        return self.embeddings(evenly(ids, most).tolist())

    def newest(self, k: int, offset: int = 0, filters: Filters | None = None) -> list[PhotoFacts]:
        """See `PhotoStore`."""
        return self.facts([id for id, _ in self._moments(filters)[offset : offset + k]])

    def count(self, filters: Filters | None = None) -> int:
        """See `PhotoStore`."""
        where = lance_rows.sql(filters, self._has_state)
        return self._latest(lambda: int(self._table.count_rows(where)))

    def roots(self) -> dict[str, int]:
        """See `PhotoStore`."""
        return dict(sorted(Counter(self.columns("root")["root"].to_pylist()).items()))

    def folders(self) -> dict[str, int]:
        """See `PhotoStore`."""
        paths = self.columns("path")["path"].to_pylist()
        return dict(sorted(Counter(map(os.path.dirname, paths)).items()))

    def timeline(self, filters: Filters | None = None) -> Timeline:
        """See `PhotoStore`."""
        rows = self._dated(filters, "width", "height")
        return timeline_of(map(lance_rows.timeline_row, rows), len(rows))

    def state(self) -> str:
        """See `PhotoStore`."""
        return self._latest(lambda: f"{self._table.name}-{self._table.version}")

    def clusters(self, step: float, k: int, filters: Filters | None = None) -> list[Cluster]:
        """See `PhotoStore`; such an index keeps no places."""
        return []

    def named(self, words: str, k: int, offset: int = 0) -> list[PhotoFacts]:
        """See `PhotoStore`."""
        if not (asked := words_of(words)):
            return []
        rows = self.columns("id", "path").to_pylist()
        matching = {row["id"] for row in rows if has_words(row["path"], asked)}
        ids = [id for id, _ in self._moments(None) if id in matching]
        return self.facts(ids[offset : offset + k])

    def marks(self) -> NoReturn:
        """See `PhotoStore`."""
        raise lance_rows.no_marks(self._location)

    copies = marks

    def _moments(self, filters: Filters | None) -> list[tuple[str, int]]:
        """Ids and seconds by the clock on the wall, the latest first."""
        moments = [(row["id"], lance_rows.moment_in(row)) for row in self._dated(filters)]
        return sorted(moments, key=lambda one: (-one[1], one[0]))

    def _dated(self, filters: Filters | None, *more: str) -> list[dict[str, Any]]:
        names = ["id", "taken", "mtime_ns", *more] + ["sidecar_taken"] * self._has_state
        where = lance_rows.sql(filters, self._has_state)
        return list(self.columns(*names, where=where).to_pylist())

    def _without_vectors(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        return list(self.taken_from("id", ids, *({*self.readable} - {"embedding"})).to_pylist())

    # Sentences that describe photos.

    def sentences(self) -> list[str]:
        """See `PhotoStore`."""
        return [str(text) for text in self._sentence_column("text").to_pylist()]

    def sentence_embeddings(self) -> np.ndarray:
        """See `PhotoStore`."""
        return lance_rows.array_of(self._sentence_column("embedding"), self._dim)

    def replace_sentences(self, texts: Sequence[str], embeddings: np.ndarray) -> None:
        """See `PhotoStore`."""
        rows = lance_rows.sentence_rows(texts, embeddings, self._dim)
        with self._writing():
            there = f"{self._sentences}.lance" in self._location.entries()
            mode = "overwrite" if there else "create"  # also over what a killed writer left
            connect(self._location).create_table(self._sentences, rows, mode=mode)

    def _sentence_column(self, name: str) -> Any:
        empty = pa.chunked_array([], pa.string())
        with store_errors(self._location, "opened"):
            if f"{self._sentences}.lance" not in self._location.entries():
                return empty
            try:
                table = connect(self._location).open_table(self._sentences)
            except ValueError as error:
                if "was not found" in str(error):  # the first writer was killed before its end
                    return empty
                raise
            return table.search().select([name]).to_arrow()[name]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._location.require_lock()
        with store_errors(self._location, "written"):
            yield


def drop_tables(place: Place, keep: Sequence[str]) -> None:
    """Remove every table of an index but those named in `keep`."""
    location = location_of(place)
    with store_errors(location, "written"):
        for name in location.entries():
            table, ending = os.path.splitext(name)  # noqa: PTH122 - no path of this machine
            if ending == ".lance" and fnmatch(table, "*-[0-9]*") and table not in keep:
                location.remove_folder(name)
