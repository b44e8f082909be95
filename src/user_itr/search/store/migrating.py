"""An index in a folder carried over from LanceDB tables, as user-itr 0.1 made them."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch

import pyarrow as pa

from user_itr.search.location import Folder
from user_itr.search.manifest import Manifest
from user_itr.search.store import lance_rows, schema
from user_itr.search.store.base import FileRow, FileState
from user_itr.search.store.lance import LanceStore
from user_itr.search.store.sqlite import DERIVED, SqliteStore

CHUNK_ROWS = 4_096

READ_AGAIN = -1
"""Time of a file that no file has: the next update reads it."""


def carry_over(old: LanceStore, location: Folder, manifest: Manifest) -> None:
    """Write the photos and sentences of LanceDB tables into a new SQLite file.

    Only under the index's lock. A file that an interrupted call left behind is begun anew.
    """
    for ending in ("", "-wal", "-shm", "-undo"):
        location.remove(f"{schema.FILE}{ending}")
    for name in location.entries():
        if fnmatch(name, DERIVED.format(generation="*")):
            location.remove_folder(name)
    new = SqliteStore(location, manifest.generation, manifest.dim, create=True)
    for rows in _parts(old.columns(*old.readable)):
        new.write(list(_files_of(rows)), list(lance_rows.contents_of(_contents_of(rows))))
    new.replace_sentences(old.sentences(), old.sentence_embeddings())
    new.finish()


def _parts(rows: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, rows.num_rows, CHUNK_ROWS):
        yield rows.slice(start, CHUNK_ROWS)


def _contents_of(rows: pa.Table) -> pa.Table:
    return rows.select(lance_rows.CONTENT_COLUMNS).combine_chunks()


def _files_of(rows: pa.Table) -> Iterator[FileRow]:
    for row in rows.select(["path", "root", "size", "mtime_ns", "hash"]).to_pylist():
        state = FileState(row["size"], row["mtime_ns"], READ_AGAIN)
        yield FileRow(row["path"], row["root"], state, row["hash"])
