"""The SQLite file of an index: who reads and who writes, and what is told where it fails.

Two locks keep writers apart. The index's lock (`Folder.lock`) is for updates, which may run for
hours. Each change of the file, and each carrying over of its log, takes the lock of the file for as
long as that lasts: so a short change, such as a photo that is put into an album, waits for a
moment and not for an update, and `log.carry_over` meets no change in its middle.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import filelock

from user_itr.errors import IndexBusyError, IndexStoreError
from user_itr.search.location import Folder, store_errors
from user_itr.search.store.handles import Key, hold, let_go, reading
from user_itr.search.store.log import beside, carry_over, log_bytes
from user_itr.search.store.schema import BUSY_SECONDS, FILE, connect

CHECKPOINT_BYTES = 256 << 20
"""Size of the write-ahead log from which on it is carried over in the middle of a run."""

SHORT_LOG_BYTES = 8 << 20
"""Size of the write-ahead log up to which a short change carries it over at once."""

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
        self._lock = filelock.FileLock(beside(self.file, "-lock"), thread_local=False)
        self._open = _Connections()
        self._opened: os.stat_result | None = None
        self._counts = True
        weakref.finalize(self, self._open.close)
        if create:
            location.folder.mkdir(parents=True, exist_ok=True)
            with self._errors("opened"), self._locked():
                self._open.writer = connect(self.file, write=True, create=True)
        with self._reading, self._errors("opened"):
            self._reader()

    def version(self) -> int:
        """A number that changes with each change that is committed."""
        with self._reading, self._errors("read"):
            version = _data_version(self._reader()) if self._counts else self._stamp()
            return version + (self._open.count << 64)

    def read(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows that a statement gives."""
        with self._reading, self._errors("read"):
            return self._reader().execute(statement, values).fetchall()

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

    def _reader(self) -> sqlite3.Connection:
        """The connection that reads, to the file that is there now: who indexes again may have
        deleted the one before."""
        found, reader = self.file.stat(), self._open.reader
        if reader is None or not os.path.samestat(found, self._opened or found):
            reader = connect(self.file, write=False)
            self._open.renew_reader(reader, self.file)
            self._opened = found
            # Who may not write SQLite's shared memory is told of a change at each look.
            self._counts = _data_version(reader) == _data_version(reader)
        return reader

    def _stamp(self) -> int:
        """What the system says of the file and its log, as a number."""
        found = []
        for ending in ("", "-wal"):
            with suppress(FileNotFoundError):
                status = beside(self.file, ending).stat()
                found += [status.st_size, status.st_mtime_ns]
        return hash(tuple(found)) % (1 << 64)

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One change, which is committed whole or not at all."""
        with self._errors("written"), self._locked():
            writer = self._writer()
            writer.execute("BEGIN IMMEDIATE")
            try:
                yield writer
                writer.execute("COMMIT")
            except BaseException:
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
                raise
        if log_bytes(self.file) > CHECKPOINT_BYTES:
            self.carry_over()

    @contextmanager
    def short_change(self) -> Iterator[sqlite3.Connection]:
        """A change by a person, of a few rows; it is in the file itself at once where it can be."""
        with self.change() as writer:
            yield writer
        if log_bytes(self.file) <= SHORT_LOG_BYTES:  # else an update is about to do it
            self.carry_over(wait_ms=0)

    def carry_over(self, wait_ms: int | None = None) -> None:
        """Bring the write-ahead log into the file; see `log.carry_over`."""
        with (
            self._errors("written"),
            store_errors(self.location, "written"),
            self._locked(),
        ):
            if self._open.writer is not None:
                carry_over(self._open.writer, self.file, self._open.reading(self.file), wait_ms)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only one, of all threads and processes, that writes to the file."""
        with self._changing:
            try:
                self._lock.acquire(timeout=BUSY_SECONDS, poll_interval=0.01)
            except filelock.Timeout:
                raise IndexBusyError(
                    f"{self.location}: another process is writing to the index; try again."
                ) from None
            try:
                yield
            finally:
                self._lock.release()

    def schema_version(self) -> int:
        """Of the tables as they are now."""
        return int(self.read("PRAGMA user_version")[0][0])

    def _writer(self) -> sqlite3.Connection:
        if self._open.writer is None:
            self._open.writer = connect(self.file, write=True)
        return self._open.writer

    @contextmanager
    def _errors(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            reason, remedy = self.location.reason(error), self.location.remedy
            raise IndexStoreError(
                f"{self.location}: the index cannot be {verb} ({reason}); {remedy}."
            ) from error


def _data_version(reader: sqlite3.Connection) -> int:
    return int(reader.execute("PRAGMA data_version").fetchone()[0])


class _Connections:
    """The two connections of a database.

    SQLite carries its log over when the last connection that may write ends: the one that reads
    stays for longer, so that it does not; see `log.py`.
    """

    def __init__(self) -> None:
        self.reader: sqlite3.Connection | None = None
        self.writer: sqlite3.Connection | None = None
        self.count = 0
        self._key: Key | None = None

    def renew_reader(self, reader: sqlite3.Connection, file: Path) -> None:
        """Read by another connection, of the file that is there now."""
        if self.reader is not None:
            self.close()
        self.reader, self._key = reader, hold(file)
        self.count += 1

    def reading(self, file: Path) -> BinaryIO:
        """The file itself, to be read beside SQLite."""
        assert self._key is not None
        return reading(file, self._key)

    def close(self) -> None:
        """End both."""
        for connection in (self.writer, self.reader):
            if connection is not None:
                connection.close()
        if self._key is not None:
            let_go(self._key)
        self.reader = self.writer = self._key = None


def in_parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Values by as many as one statement takes."""
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]


def marks(values: Sequence[Any]) -> str:
    """The marks of SQL for so many parameters."""
    return ",".join("?" * len(values))
