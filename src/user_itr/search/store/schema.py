"""The tables of an index's SQLite file, and the steps from one version of them to the next.

    roots, folders      paths, each once
    contents            what was found in the bytes of a photo: hash, size, date, shape, place
    counters            of each generation: how many files and embeddings, and which derived files
                        go with it
    embeddings_G        (D,) float16 of a content, made by the model of generation G
    files_G             a path and the content that it holds
    names_G             words of paths (FTS5); it keeps no texts
    sentences_G         what describes photos
    albums, album_photos, favourites, hidden
                        what a person adds; see `marks.py`

A rebuild by another model fills a generation of its own; `index.json` says which one is valid.
Embeddings and dates hang on contents: a file that is renamed, moved or copied only points to its
content. What a person adds names contents by their hash, so that it outlasts their rows.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from user_itr.errors import IndexStoreError

FILE = "photos.db"
"""Name of the SQLite file in the folder of an index."""

APPLICATION_ID = 0x75697472
"""Says in the file's header whose it is ("uitr")."""

SCHEMA_VERSION = 2

MARKS_VERSION = 2
"""The version from which on a file has the tables of what people add."""

OLDEST_READ = 1
"""The version from which on a file is read as it is; a writer brings it up to date."""

PAGE_BYTES = 32_768
"""An embedding of 1,024 numbers takes 2 KB: fifteen fill a page nearly."""

BUSY_SECONDS = 30.0
"""How long a statement waits for another connection that is writing."""

_SHARED_TABLES = """
CREATE TABLE roots (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE folders (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE contents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    taken INTEGER,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    latitude REAL,
    longitude REAL
) STRICT;
CREATE TABLE counters (
    generation INTEGER PRIMARY KEY,
    files INTEGER NOT NULL DEFAULT 0,
    embeddings INTEGER NOT NULL DEFAULT 0,
    removed INTEGER NOT NULL DEFAULT 0,
    derived TEXT
) STRICT;
"""

_MARKS_TABLES = """
CREATE TABLE albums (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL
) STRICT;
CREATE TABLE album_photos (
    album INTEGER NOT NULL REFERENCES albums (id) ON DELETE CASCADE,
    hash BLOB NOT NULL,
    PRIMARY KEY (album, hash)
) STRICT, WITHOUT ROWID;
CREATE TABLE favourites (hash BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE hidden (hash BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
"""

_GENERATION_TABLES = """
CREATE TABLE embeddings_{g} (
    content INTEGER PRIMARY KEY REFERENCES contents (id) ON DELETE CASCADE,
    vector BLOB NOT NULL
) STRICT;
CREATE TABLE files_{g} (
    id INTEGER PRIMARY KEY,
    folder INTEGER NOT NULL REFERENCES folders (id),
    name TEXT NOT NULL,
    root INTEGER NOT NULL REFERENCES roots (id),
    content INTEGER NOT NULL REFERENCES embeddings_{g} (content),
    moment INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    sidecar_size INTEGER,
    sidecar_mtime_ns INTEGER,
    sidecar_taken INTEGER,
    UNIQUE (folder, name)
) STRICT;
CREATE INDEX files_{g}_content ON files_{g} (content);
CREATE INDEX files_{g}_moment ON files_{g} (moment DESC, id, content);
CREATE INDEX files_{g}_place ON files_{g} (folder, moment, content);
CREATE VIRTUAL TABLE names_{g} USING fts5(
    name, folder, content = '', detail = none, tokenize = "unicode61 remove_diacritics 2"
);
CREATE TABLE sentences_{g} (
    id INTEGER PRIMARY KEY, text TEXT NOT NULL, vector BLOB NOT NULL
) STRICT;
INSERT INTO counters (generation) VALUES ({g});
"""

_DROPPED = ("names", "files", "embeddings", "sentences")
"""Tables of a generation, in an order in which they can be dropped."""

MIGRATIONS = {1: _MARKS_TABLES}
"""By version, the statements that lead from it to the next one."""


def connect(file: Path, *, write: bool, create: bool = False) -> sqlite3.Connection:
    """Open an index's SQLite file.

    Args:
        file: the SQLite file.
        write: to change it, which needs the file's lock; see `database.py`. Migrates it to
            `SCHEMA_VERSION`.
        create: make it where there is none.

    Raises:
        IndexStoreError: if it is another program's file, or a newer user-itr made it.
        sqlite3.Error: if it is missing, damaged or cannot be read.
    """
    connection = _open(file, write, create)
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        if write:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")  # see `log.carry_over`
        else:
            connection.execute("PRAGMA query_only = ON")
        _bring_up_to_date(connection, file, write)
    except BaseException:
        connection.close()
        raise
    return connection


def _open(file: Path, write: bool, create: bool) -> sqlite3.Connection:
    if create and not file.exists():
        _create(file)
    # A folder that may not be written to has no room for SQLite's other files: "immutable".
    modes = ["rw"] if write else ["ro", "ro&immutable=1"]
    for mode in modes:
        connection = sqlite3.connect(
            f"{file.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("SELECT count(*) FROM sqlite_master")
            return connection
        except sqlite3.OperationalError:  # for instance a folder that may not be written to
            connection.close()
            if mode == modes[-1]:
                raise
    raise AssertionError("unreachable")


def _create(file: Path) -> None:
    """Make the file under another name and rename it: no half-made file is ever seen."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        with suppress(FileNotFoundError):
            partial.unlink()
        connection = sqlite3.connect(partial, isolation_level=None)
        try:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.executescript(f"BEGIN;{_SHARED_TABLES}{_MARKS_TABLES}COMMIT;")
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise IndexStoreError(
                    f"{file.parent}: SQLite cannot keep a write-ahead log on this disk, a network "
                    "disk perhaps; index into a folder on a disk of this machine with --index."
                )
        finally:
            connection.close()
        partial.replace(file)
    except BaseException:
        for ending in ("", "-wal", "-shm", "-journal"):
            with suppress(OSError):
                partial.with_name(partial.name + ending).unlink()
        raise


def _bring_up_to_date(connection: sqlite3.Connection, file: Path, write: bool) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise IndexStoreError(
            f"{file}: another program made this file; restore the index's own, or delete the "
            "folder and index again."
        )
    if version > SCHEMA_VERSION:
        raise IndexStoreError(
            f"{file}: has schema version {version}, and this user-itr reads up to "
            f"{SCHEMA_VERSION}; upgrade user-itr, or index into another folder."
        )
    if not write and version < OLDEST_READ:
        raise IndexStoreError(
            f"{file}: an earlier user-itr made it; run `user-itr index` once to bring it up to "
            "date."
        )
    while write and version < SCHEMA_VERSION:
        connection.executescript(
            f"BEGIN IMMEDIATE;{MIGRATIONS[version]};PRAGMA user_version = {version + 1};COMMIT;"
        )
        version += 1


def add_generation(writer: sqlite3.Connection, generation: int) -> None:
    """Make the tables of a generation, unless they are there; within a change."""
    if generation not in generations(writer):
        for statement in _GENERATION_TABLES.format(g=generation).split(";"):
            writer.execute(statement)


def drop_generation(writer: sqlite3.Connection, generation: int) -> None:
    """Drop the tables of a generation; within a change."""
    for table in _DROPPED:
        writer.execute(f"DROP TABLE {table}_{generation}")
    writer.execute("DELETE FROM counters WHERE generation = ?", (generation,))


def generations(connection: sqlite3.Connection) -> list[int]:
    """Generations that have tables."""
    rows = connection.execute("SELECT generation FROM counters ORDER BY generation")
    return [generation for (generation,) in rows]
