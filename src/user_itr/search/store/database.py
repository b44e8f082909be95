"""The SQLite file of an index: who reads and who writes, and what is told where it fails."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from user_itr.errors import IndexStoreError
from user_itr.search.location import Folder
from user_itr.search.store.schema import FILE, connect

CHECKPOINT_BYTES = 256 << 20
"""Size of the write-ahead log from which on it is carried over in the middle of a run."""

AT_ONCE = 500
"""Values in one statement."""


class Database:
    """One SQLite file, read and written by any number of threads.

    Readers have a connection of their own, so that they never see what is not committed.

    Args:
        location: folder of the index.
        create: make the file where there is none.
    """

    def __init__(self, location: Folder, *, create: bool) -> None:
        self.location = location
        self.file = location.folder / FILE
        self._reading = threading.RLock()
        self._changing = threading.RLock()
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        if create:
            location.folder.mkdir(parents=True, exist_ok=True)
            with self._changing, self._errors("opened"):
                self._writer = connect(self.file, write=True, create=True)
        with self._reading, self._errors("opened"):
            self._reader = connect(self.file, write=False)

    def version(self) -> int:
        """A number that changes with each change that is committed."""
        return int(self.read("PRAGMA data_version")[0][0])

    def read(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows that a statement gives."""
        with self._reading, self._errors("read"):
            return self._connection().execute(statement, values).fetchall()

    def read_each(self, statement: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        """The rows of a statement one by one, as they were when it began.

        They are read by a connection of their own: others go on meanwhile.
        """
        with self._errors("read"):
            connection = connect(self.file, write=False)
            try:
                yield from connection.execute(statement, values)
            finally:
                connection.close()

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One change, which is committed whole or not at all; only under the index's lock."""
        self.location.require_lock()
        with self._changing, self._errors("written"):
            if self._writer is None:
                self._writer = connect(self.file, write=True)
            writer = self._writer
            writer.execute("BEGIN IMMEDIATE")
            try:
                yield writer
                writer.execute("COMMIT")
            except BaseException:
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
                raise
            if self._log_bytes() > CHECKPOINT_BYTES:
                writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def outside(self) -> sqlite3.Connection:
        """The connection that writes, outside of any change; only under the index's lock."""
        with self.change() as writer:
            return writer

    def carry_over(self) -> None:
        """Bring the write-ahead log into the file, and empty it where no one reads it.

        That is done at the end of a run, not now and then in it: a copy of the file that somebody
        takes while a run goes on is whole, with the log beside it or without.
        """
        with self._changing, self._errors("written"):
            if self._writer is not None:
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _connection(self) -> sqlite3.Connection:
        if self._reader is None:
            self._reader = connect(self.file, write=False)
        return self._reader

    def _log_bytes(self) -> int:
        try:
            return Path(os.fspath(self.file) + "-wal").stat().st_size
        except OSError:
            return 0

    @contextmanager
    def _errors(self, verb: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            remedy = self.location.remedy
            raise IndexStoreError(
                f"{self.location}: the index cannot be {verb} ({error}); {remedy}."
            ) from error


def in_parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Values by as many as one statement takes."""
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]


def marks(values: Sequence[Any]) -> str:
    """The marks of SQL for so many parameters."""
    return ",".join("?" * len(values))
