"""The LanceDB table of an index: the one place that talks to LanceDB."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import filelock
import lancedb
import numpy as np
import pyarrow as pa
from lancedb.expr import col

from user_itr.errors import IndexStoreError
from user_itr.search.neighbours.rows import Rows
from user_itr.search.neighbours.search import Neighbours

LOCK = "index.lock"
DERIVED = ".neighbours"
"""Ending of the folder of the files that are derived from a table."""


@contextmanager
def store_errors(path: Path, verb: str) -> Iterator[None]:
    """Turn what LanceDB and the file system raise into an IndexStoreError about `path`."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise IndexStoreError(
            f"{path}: the index cannot be {verb} ({reason}); check its disk and permissions, or "
            "delete the folder and index again."
        ) from error


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Hold the index at `path` for writing; the lock goes with the process, however it ends.

    Raises:
        IndexStoreError: if another process holds it.
    """
    lock = filelock.FileLock(path / LOCK)
    try:
        with store_errors(path, "written"):
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                raise IndexStoreError(
                    f"{path}: another process is writing to the index; wait until it is done."
                ) from None
        yield
    finally:
        lock.release()


class PhotoTable:
    """Photos and their embeddings, one row a path, in the folder of an index.

    Args:
        path: folder of the index.
        name: of the table.
        dim: width D of the embeddings.
        create: make an empty table where there is none.
        derived: folder of the files that searches are fast by; beside the table by default.

    Raises:
        IndexStoreError: here and in every method, if LanceDB cannot read or write.
    """

    def __init__(
        self, path: Path, name: str, dim: int, *, create: bool, derived: Path | None = None
    ) -> None:
        self.path = path
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
        with store_errors(path, "opened"):
            database = lancedb.connect(path)
            self._table: Any  # LanceDB's own annotations miss methods that it has
            if create:
                self._table = database.create_table(name, schema=self.schema, exist_ok=True)
            else:
                self._table = database.open_table(name)
        self.neighbours = Neighbours(
            Rows(self._table), path / f"{name}.lance", derived or path / f"{name}{DERIVED}", dim
        )

    def __len__(self) -> int:
        with store_errors(self.path, "read"):
            self._table.checkout_latest()
            return int(self._table.count_rows())

    def columns(self, *names: str, where: str | None = None) -> pa.Table:
        """Some columns of all rows, or of those that meet a condition of SQL."""
        with store_errors(self.path, "read"):
            self._table.checkout_latest()
            query = self._table.search().select(list(names))
            if where is not None:
                query = query.where(where)
            return query.to_arrow().combine_chunks()

    def taken_from(self, column: str, values: Sequence[str], *names: str) -> pa.Table:
        """Some columns of the rows whose `column` is among `values`; all columns by default."""
        with store_errors(self.path, "read"):
            self._table.checkout_latest()
            query = self._table.search().where(col(column).isin(list(values)))
            return query.select(list(names) or self.schema.names).to_arrow().combine_chunks()

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
        with store_errors(self.path, "written"):
            self._table.add(rows)

    def upsert(self, rows: pa.Table) -> None:
        """Insert rows, or replace those of the same path, in one atomic step."""
        with store_errors(self.path, "written"):
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
        with store_errors(self.path, "written"):
            # An expression, not SQL text: a quote in a file name is only a character.
            return int(self._table.delete(col("path").isin(paths)).num_deleted_rows)

    def nearest(
        self, query: np.ndarray, k: int, where: str | None = None, *, exact: bool = False
    ) -> pa.Table:
        """Top k by dot product with the (D,) query.

        The derived files answer (`neighbours/`): every row is compared, or in a large table those
        that a graph of neighbours leads to. Without them LanceDB scans every row.

        Args:
            query: (D,) float32, unit-norm.
            k: rows.
            where: condition of SQL that the rows meet.
            exact: compare every row in any case.

        Returns:
            Up to k rows of id, path, width, height, _distance (1 - dot product).
        """

        def answer() -> pa.Table:
            found = self.neighbours.nearest(query, k, where, exact=exact)
            return self._scanned(query, k, where) if found is None else found

        with store_errors(self.path, "read"):
            for _ in range(2):
                # `compact` in another process may take away the version that is being read.
                with suppress(OSError, RuntimeError):
                    return answer()
            return answer()

    def _scanned(self, query: np.ndarray, k: int, where: str | None) -> pa.Table:
        self._table.checkout_latest()
        search = (
            self._table.search(query, vector_column_name="embedding")
            .distance_type("dot")
            .limit(k)
            .select(["id", "path", "width", "height", "_distance"])
            .bypass_vector_index()
        )
        return (search if where is None else search.where(where, prefilter=True)).to_arrow()

    def compact(self) -> None:
        """Merge small files and drop old versions, so that the folder does not grow with each run.

        Then the derived files are brought up to date. Only under `write_lock`: it also removes what
        a killed writer left behind.
        """
        with store_errors(self.path, "written"):
            self._table.optimize(
                cleanup_older_than=timedelta(milliseconds=1), delete_unverified=True
            )
            self.neighbours.refresh()


def drop_tables(path: Path, keep: Sequence[str]) -> None:
    """Remove every table of the index at `path`, with its derived files, but those in `keep`."""
    with store_errors(path, "written"):
        for table in [*path.glob("*-[0-9]*.lance"), *path.glob(f"*-[0-9]*{DERIVED}")]:
            if table.stem not in keep:
                shutil.rmtree(table)
