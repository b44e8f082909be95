"""The LanceDB table of an index: the one place that talks to LanceDB."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from fnmatch import fnmatch
from functools import cache
from typing import Any, TypeVar

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.expr import col
from lancedb.index import IvfPq

from user_itr.search.found import Hit, ranked
from user_itr.search.location import Location, Place, location_of, store_errors
from user_itr.search.neighbours.rows import Rows
from user_itr.search.neighbours.search import Neighbours

T = TypeVar("T")

DERIVED = ".neighbours"
"""Ending of the folder of the files that are derived from a table."""

PARTITIONED_FROM = 200_000
"""Rows from which on a table in a bucket has LanceDB's own approximate index (IVF-PQ)."""

PROBES = 40
"""Partitions of that index that a search looks into."""

INDEX_CACHE_BYTES = 512 << 20
METADATA_CACHE_BYTES = 32 << 20
"""What LanceDB may keep in memory; by default it keeps up to 7 GiB, of versions long gone too."""

READ_AGAIN = 4
"""Times that a read is tried anew after the table has changed under it."""

REFINE = 20
"""Candidates of that index a result, which are then scored exactly."""

SHARED_GRACE = timedelta(hours=1)
"""How long versions that readers elsewhere may still be reading stay, where an index is shared."""


@cache
def _session() -> lancedb.Session:
    """The caches that all tables of this process share."""
    return lancedb.Session(INDEX_CACHE_BYTES, METADATA_CACHE_BYTES)


def connect(location: Location) -> Any:
    """LanceDB's connection to the tables of an index."""
    place = location.folder or location.uri
    options = dict(location.storage_options)
    return lancedb.connect(place, storage_options=options, session=_session())


def write_lock(place: Place) -> AbstractContextManager[None]:
    """Hold an index for writing; the lock goes with the process, however it ends.

    Raises:
        IndexStoreError: if another process holds it.
    """
    return location_of(place).lock()


class PhotoTable:
    """Photos and their embeddings, one row a path.

    Each reading method answers from one version of the table, the latest when it is called.

    Attributes:
        location: of the index.
        path: folder of the index; None on object storage.

    Args:
        place: of the index.
        name: of the table.
        dim: width D of the embeddings.
        create: make an empty table where there is none.

    Raises:
        IndexStoreError: here and in every method, if LanceDB cannot read or write.
    """

    def __init__(self, place: Place, name: str, dim: int, *, create: bool) -> None:
        self.location = location_of(place)
        self.path = self.location.folder
        self.schema = pa.schema(
            [
                pa.field("id", pa.string(), nullable=False),
                pa.field("path", pa.string(), nullable=False),
                pa.field("size", pa.int64(), nullable=False),
                pa.field("mtime_ns", pa.int64(), nullable=False),
                pa.field("hash", pa.string(), nullable=False),
                pa.field("taken", pa.timestamp("s")),
                pa.field("width", pa.int32(), nullable=False),
                pa.field("height", pa.int32(), nullable=False),
                pa.field("root", pa.string(), nullable=False),
                pa.field("embedding", pa.list_(pa.float32(), dim), nullable=False),
            ]
        )
        with store_errors(self.location, "opened"):
            database = connect(self.location)
            self._table: Any  # LanceDB's own annotations miss methods that it has
            if create:
                self._table = database.create_table(name, schema=self.schema, exist_ok=True)
            else:
                self._table = database.open_table(name)
            if self._table.schema.names != self.schema.names:
                raise ValueError(f"table {name} is damaged, its columns are others")
        self.neighbours: Neighbours | None = None
        if self.path is not None:
            table, derived = self.path / f"{name}.lance", self.path / f"{name}{DERIVED}"
            self.neighbours = Neighbours(Rows(self._table), table, derived, dim)

    def _again(self, read: Callable[[], T]) -> T:
        """What `read` gives, tried anew where the table changes under it.

        `compact` in another process may take a version away while it is being read.
        """
        with store_errors(self.location, "read"):
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

    def __len__(self) -> int:
        return self._latest(lambda: int(self._table.count_rows()))

    def columns(self, *names: str, where: str | None = None) -> pa.Table:
        """Some columns of all rows, or of those that meet a condition of SQL."""

        def scan() -> pa.Table:
            query = self._table.search().select(list(names))
            if where is not None:
                query = query.where(where)
            return query.to_arrow().combine_chunks()

        return self._latest(scan)

    def taken_from(self, column: str, values: Sequence[str], *names: str) -> pa.Table:
        """Some columns of the rows whose `column` is among `values`; all columns by default."""

        def scan() -> pa.Table:
            query = self._table.search().where(col(column).isin(list(values)))
            return query.select(list(names) or self.schema.names).to_arrow().combine_chunks()

        return self._latest(scan)

    def rows(self, embeddings: np.ndarray, **columns: Sequence[object]) -> pa.Table:
        """Arrow rows from (N, D) float32 embeddings and N values for each other column."""
        flat = pa.array(np.ascontiguousarray(embeddings, dtype=np.float32).ravel())
        dim = self.schema.field("embedding").type.list_size
        return pa.table(
            {**columns, "embedding": pa.FixedSizeListArray.from_arrays(flat, dim)},
            schema=self.schema,
        )

    def add(self, rows: pa.Table) -> None:
        """Append rows of paths that the table does not have, in one atomic step."""
        with self._writing():
            self._table.add(rows)

    def upsert(self, rows: pa.Table) -> None:
        """Insert rows, or replace those of the same path, in one atomic step."""
        with self._writing():
            (
                self._table.merge_insert("path")
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .execute(rows)
            )

    def delete(self, paths: Sequence[str]) -> int:
        """Remove the rows of `paths`; returns how many there were."""
        if not paths:
            return 0
        with self._writing():
            # An expression, not SQL text: a quote in a file name is only a character.
            return int(self._table.delete(col("path").isin(paths)).num_deleted_rows)

    def nearest(
        self, query: np.ndarray, k: int, where: str | None = None, *, exact: bool = False
    ) -> list[Hit]:
        """Top k by dot product with the (D,) query.

        In a folder the derived files answer (`neighbours/`): every row is compared, or in a large
        table those that a graph of neighbours leads to. Without them LanceDB scans every row; in a
        bucket it does so too, or looks into its own approximate index; see `compact`.

        Args:
            query: (D,) float32, unit-norm.
            k: rows.
            where: condition of SQL that the rows meet.
            exact: compare every row in any case.

        Returns:
            Up to k hits with float32 scores, the best first, ties by path.
        """

        def answer() -> list[Hit]:
            found = None
            if self.neighbours is not None:
                found = self.neighbours.nearest(query, k, where, exact=exact)
            return self._by_lance(query, k, where, exact) if found is None else found

        return self._again(answer)

    def _by_lance(self, query: np.ndarray, k: int, where: str | None, exact: bool) -> list[Hit]:
        self._table.checkout_latest()
        search = (
            self._table.search(query, vector_column_name="embedding")
            .distance_type("dot")
            .limit(k)
            .select(["id", "path", "width", "height", "_distance"])
        )
        if where is not None:
            search = search.where(where, prefilter=True)
        if exact or not self._table.list_indices():
            search = search.bypass_vector_index()
        else:
            search = search.nprobes(PROBES).refine_factor(REFINE)
        rows = search.to_arrow()
        scores = (1 - rows["_distance"].to_numpy()).tolist()
        columns = (rows[name].to_pylist() for name in ("path", "id", "width", "height"))
        return ranked([*zip(scores, zip(*columns, strict=True), strict=True)], k)

    def compact(self) -> None:
        """Merge small files and drop old versions, so that the folder does not grow with each run.

        Then what makes searches fast is brought up to date: the derived files, or in a bucket from
        `PARTITIONED_FROM` rows on LanceDB's approximate index. Only under `write_lock`: it also
        removes what a killed writer left behind.
        """
        with self._writing():
            shared = self.location.shared
            if shared and len(self) >= PARTITIONED_FROM and not self._table.list_indices():
                self._table.create_index("embedding", config=IvfPq(distance_type="dot"))
            self._table.optimize(
                cleanup_older_than=SHARED_GRACE if shared else timedelta(milliseconds=1),
                delete_unverified=not shared,
            )
            if self.neighbours is not None:
                self.neighbours.refresh()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self.location.require_lock()
        with store_errors(self.location, "written"):
            yield


def drop_tables(place: Place, keep: Sequence[str]) -> None:
    """Remove every table of an index, with its derived files, but those named in `keep`."""
    location = location_of(place)
    with store_errors(location, "written"):
        for name in location.entries():
            table, ending = os.path.splitext(name)  # noqa: PTH122 - no path of this machine
            if ending in (".lance", DERIVED) and fnmatch(table, "*-[0-9]*") and table not in keep:
                location.remove_folder(name)
