"""Rows of a LanceDB table as files and contents, and the conditions of its dialect of SQL."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from user_itr.errors import ConfigError
from user_itr.search.filters import Filters
from user_itr.search.found import PhotoFacts, photo_id
from user_itr.search.store.base import LAST, ContentRow, FileRow, FileState, fitting
from user_itr.search.store.conditions import moment_of
from user_itr.search.store.listing import modified, number_of

CONTENT_COLUMNS = ("hash", "size", "taken", "width", "height", "embedding")

FILE_COLUMNS = ("path", "root", "hash", "size", "mtime_ns")

STATE_COLUMNS = ("ctime_ns", "inode", "sidecar_size", "sidecar_mtime_ns", "sidecar_taken")
"""Columns that tables of user-itr 0.1 lack."""


def schema_of(dim: int) -> pa.Schema:
    """The columns of a table of photos with embeddings of width D."""
    return pa.schema(
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
            pa.field("ctime_ns", pa.int64()),
            pa.field("inode", pa.int64()),
            pa.field("sidecar_size", pa.int64()),
            pa.field("sidecar_mtime_ns", pa.int64()),
            pa.field("sidecar_taken", pa.timestamp("s")),
        ]
    )


def array_of(column: Any, dim: int) -> np.ndarray:
    """A column of embeddings as (N, D) float32."""
    flat = column.combine_chunks().flatten() if len(column) else np.empty(0)
    return np.asarray(flat, dtype=np.float32).reshape(-1, dim)


def rows_of(
    files: Sequence[FileRow], contents: Mapping[str, ContentRow], schema: pa.Schema
) -> pa.Table:
    """One row a file, with the contents of its hash."""
    held = [contents[row.hash] for row in files]
    embeddings = np.stack([content.embedding for content in held])
    columns: dict[str, Any] = {
        "id": [photo_id(row.path) for row in files],
        "path": [row.path for row in files],
        "size": [fitting(row.state.size) for row in files],
        "mtime_ns": [fitting(row.state.mtime_ns) for row in files],
        "hash": [row.hash for row in files],
        "taken": [content.taken for content in held],
        "width": [content.width for content in held],
        "height": [content.height for content in held],
        "root": [row.root for row in files],
        "embedding": vectors(embeddings, embeddings.shape[1]),
        "ctime_ns": [fitting(row.state.ctime_ns) for row in files],
        "inode": [fitting(row.state.inode) for row in files],
        "sidecar_size": [None if row.sidecar is None else row.sidecar[0] for row in files],
        "sidecar_mtime_ns": [
            None if row.sidecar is None else fitting(row.sidecar[1]) for row in files
        ],
        "sidecar_taken": [row.taken for row in files],
    }
    return pa.table(columns, schema=schema)


def file_of(row: Mapping[str, Any]) -> FileRow:
    """The file in a row of `FILE_COLUMNS`, and of `STATE_COLUMNS` where the table has them."""
    sidecar = row.get("sidecar_size"), row.get("sidecar_mtime_ns")
    return FileRow(
        row["path"],
        row["root"],
        FileState(row["size"], row["mtime_ns"], row.get("ctime_ns") or 0, row.get("inode") or 0),
        row["hash"],
        None if sidecar[0] is None or sidecar[1] is None else (sidecar[0], sidecar[1]),
        row.get("sidecar_taken"),
    )


def contents_of(rows: pa.Table) -> Iterator[ContentRow]:
    """The contents in rows of `CONTENT_COLUMNS`."""
    embeddings = embeddings_of(rows)
    for row, embedding in zip(rows.drop_columns("embedding").to_pylist(), embeddings, strict=True):
        yield ContentRow(**row, embedding=embedding)


def embeddings_of(rows: pa.Table) -> np.ndarray:
    """(N, D) float32 out of the column `embedding`."""
    column = rows["embedding"].combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, dtype=np.float32).reshape(rows.num_rows, column.type.list_size)


def vectors(embeddings: np.ndarray, dim: int) -> pa.Array:
    """(N, D) float32 as a column."""
    flat = pa.array(np.ascontiguousarray(embeddings, dtype=np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, dim)


def sentence_rows(texts: Sequence[str], embeddings: np.ndarray, dim: int) -> pa.Table:
    """A row a sentence, with (N, D) float32 embeddings."""
    columns = {"text": pa.array(list(texts), pa.string()), "embedding": vectors(embeddings, dim)}
    return pa.table(columns)


def facts_of(row: Mapping[str, Any]) -> PhotoFacts:
    """The facts in a row of all columns but the embedding."""
    return PhotoFacts(
        row["id"],
        Path(row["path"]),
        row["size"],
        modified(row["mtime_ns"]),
        row.get("sidecar_taken") or row["taken"],
        row["width"],
        row["height"],
        Path(row["root"]),
    )


def moment_in(row: Mapping[str, Any]) -> int:
    """When the file of a row was taken, or else changed; see `moment_of`."""
    return moment_of(row.get("sidecar_taken") or row["taken"], row["mtime_ns"])


def timeline_row(row: Mapping[str, Any]) -> tuple[int, int, bool, int, int]:
    """The file of a row as a timeline takes it."""
    taken = row.get("sidecar_taken") or row["taken"]
    number = number_of(row["id"]) or 0
    return number, moment_in(row), taken is not None, row["width"], row["height"]


def sql(filters: Filters | None, has_sidecars: bool = True) -> str | None:
    """The condition on the rows of a table, or None where every photo may be found."""
    if filters is None:
        return None
    if filters.album is not None or filters.favourites or filters.hidden == "only":
        raise no_marks("this index")
    if filters.area is not None:
        raise ConfigError(
            "an index in a bucket does not keep where photos were taken; leave out the area."
        )
    taken = "coalesce(sidecar_taken, taken)" if has_sidecars else "taken"
    parts = []
    if filters.after is not None:
        parts.append(_day_condition(taken, ">=", filters.after))
    if filters.before is not None and filters.before < date.max:
        parts.append(_day_condition(taken, "<", filters.before + timedelta(days=1)))
    folder = filters.resolved_folder()
    if folder is not None:
        prefix = os.path.join(folder, "")  # noqa: PTH118
        forms = {unicodedata.normalize(form, prefix) for form in ("NFC", "NFD")} | {prefix}
        one = " OR ".join(f"starts_with(path, {quoted(form)})" for form in sorted(forms))
        parts.append(f"({one})")
    for column, operator, value, most in (
        ("width", ">=", filters.min_width, 2**31 - 1),
        ("height", ">=", filters.min_height, 2**31 - 1),
        ("size", ">=", filters.min_bytes, LAST),
        ("size", "<=", filters.max_bytes, LAST),
    ):
        if value is not None:
            parts.append(f"{column} {operator} {min(value, most):d}")
    return " AND ".join(parts) or None


def no_marks(place: object) -> ConfigError:
    """The error where favourites, hidden photos, albums or copies are asked for."""
    return ConfigError(
        f"{place}: an index on object storage keeps no favourites, albums or hidden photos, and "
        "lists no copies; index into a folder for these."
    )


def quoted(text: str) -> str:
    """Text as a literal of SQL, in which only the quote itself is special."""
    return "'" + text.replace("'", "''") + "'"


def _day_condition(taken: str, operator: str, day: date) -> str:
    start = datetime.combine(day, time())
    seconds = (day - date(1970, 1, 1)).days * 86_400  # by the camera's clock, which has no zone
    try:
        local = start.timestamp()  # local midnight, as the file system counts
    except (OSError, OverflowError, ValueError):  # in the first or last year that Python has
        local = seconds
    changed = int(local) * 1_000_000_000
    by_file = operator
    if changed > LAST:  # after all times that a file may have
        by_file, changed = {">=": ">", "<": "<="}[operator], LAST
    return (
        f"(({taken} IS NOT NULL AND CAST({taken} AS BIGINT) {operator} {seconds})"
        f" OR ({taken} IS NULL AND mtime_ns {by_file} {fitting(changed)}))"
    )
