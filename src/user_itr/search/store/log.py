"""SQLite's write-ahead log carried over into its file, in a way that keeps the file alone whole.

SQLite writes the pages of the log over those of the file, one by one. Who copies the file in the
middle of that without its log (a backup that knows nothing of logs, a sync client) would get some
pages of before and some of after, and SQLite would not notice. So the pages of before stand in
`photos.db-undo` for as long as it lasts; a copy that has this file and no log is put back to them.

Only `carry_over` does it: whoever reads opens the file without the right to write, and SQLite's own
carrying over, at so many pages and when the last connection ends, is kept from happening.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NamedTuple

WAIT_MS = 2_000
"""How long `carry_over` waits for those who read an earlier state."""

_LOG_HEADER = Struct(">4xII4xII8x")  # https://sqlite.org/fileformat2.html#the_write_ahead_log
_FRAME_HEADER = Struct(">I20x")

_MAGIC = b"user-itr undo 1\n"
_UNDO_HEADER = Struct(">16sIII")
_NUMBER = Struct(">I")


class Before(NamedTuple):
    """Pages of a file before a log was carried over into it.

    Attributes:
        page_bytes: of a page.
        pages: how many the file had.
        contents: by number, counted from 1, those that are written over.
    """

    page_bytes: int
    pages: int
    contents: dict[int, bytes]


def beside(file: Path, ending: str) -> Path:
    """A file that belongs to an SQLite file, such as its "-wal"."""
    return file.with_name(file.name + ending)


def log_bytes(file: Path) -> int:
    """Size of the log of an SQLite file."""
    try:
        return beside(file, "-wal").stat().st_size
    except FileNotFoundError:
        return 0


def carry_over(
    writer: sqlite3.Connection, file: Path, opened: BinaryIO, wait_ms: int | None = None
) -> None:
    """Bring the log into the file, and empty it where no one reads an earlier state.

    Only under the file's lock, and outside of any change.

    Args:
        writer: connection to the file.
        file: with the log beside it.
        opened: the file to read from; see `handles.py`.
        wait_ms: how long to wait for those who read an earlier state; by default `WAIT_MS`.

    Raises:
        OSError: if the disk is full, for instance.
        ValueError: if what an earlier call left beside the file is damaged.
    """
    undo = beside(file, "-undo")
    if log_bytes(file):
        _keep(file, opened, undo)
    elif undo.exists():
        raise ValueError(f"{undo.name} is there without a log")
    (waited,) = writer.execute("PRAGMA busy_timeout").fetchone()
    writer.execute(f"PRAGMA busy_timeout = {WAIT_MS if wait_ms is None else wait_ms}").fetchall()
    try:
        busy, frames, carried = writer.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        if busy or frames != carried:
            return  # the next call goes on
        if undo.exists():
            undo.unlink()
            _flush_folder(file.parent)
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        writer.execute(f"PRAGMA busy_timeout = {waited}").fetchall()


def is_torn(file: Path) -> bool:
    """Whether this is a copy made in the middle of `carry_over`, without the log."""
    return beside(file, "-undo").exists() and not log_bytes(file)


def put_back(file: Path) -> None:
    """Bring a torn copy to the state before; only under the index's lock.

    Raises:
        OSError: if it cannot be read or written.
        ValueError: if what stands beside it is damaged.
    """
    undo = beside(file, "-undo")
    before = _read(undo)
    with file.open("rb+") as opened:
        for number, content in before.contents.items():
            opened.seek((number - 1) * before.page_bytes)
            opened.write(content)
        opened.truncate(before.pages * before.page_bytes)
        os.fsync(opened.fileno())
    undo.unlink()
    _flush_folder(file.parent)


def _keep(file: Path, opened: BinaryIO, undo: Path) -> None:
    """Write the pages that the log will replace, beside those that an earlier call kept."""
    before = _read(undo) if undo.exists() else None
    with beside(file, "-wal").open("rb") as log:
        header = log.read(_LOG_HEADER.size)
        if len(header) < _LOG_HEADER.size:
            return
        page_bytes = _LOG_HEADER.unpack(header)[1]
        if before is None:
            size = os.fstat(opened.fileno()).st_size
            before = Before(page_bytes, size // page_bytes, {})
        numbers = {n for n in _numbers(log, page_bytes) if 1 <= n <= before.pages}
        new = sorted(numbers - before.contents.keys())
        if undo.exists() and not new:
            return
        for number in new:
            opened.seek((number - 1) * page_bytes)
            before.contents[number] = opened.read(page_bytes)
    _write(undo, before)


def _numbers(log: BinaryIO, page_bytes: int) -> Iterator[int]:
    """The numbers of the pages in a log, whose header has been read."""
    while len(header := log.read(_FRAME_HEADER.size)) == _FRAME_HEADER.size:
        yield _FRAME_HEADER.unpack(header)[0]
        log.seek(page_bytes, os.SEEK_CUR)


def _write(undo: Path, before: Before) -> None:
    partial = undo.with_name(f".{undo.name}.partial")
    checksum = 0
    try:
        with partial.open("wb") as out:
            header = (_MAGIC, before.page_bytes, before.pages, len(before.contents))
            parts = [_UNDO_HEADER.pack(*header)]
            for number, content in before.contents.items():
                parts += [_NUMBER.pack(number), content]
            for part in parts:
                checksum = zlib.crc32(part, checksum)
                out.write(part)
            out.write(_NUMBER.pack(checksum))
            out.flush()
            os.fsync(out.fileno())
        partial.replace(undo)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _flush_folder(undo.parent)


def _read(undo: Path) -> Before:
    whole = undo.read_bytes()
    content, end = whole[: -_NUMBER.size], whole[-_NUMBER.size :]
    if len(content) < _UNDO_HEADER.size or _NUMBER.pack(zlib.crc32(content)) != end:
        raise ValueError(f"{undo.name} is damaged")
    magic, page_bytes, pages, count = _UNDO_HEADER.unpack_from(content)
    step = _NUMBER.size + page_bytes
    if magic != _MAGIC or len(content) != _UNDO_HEADER.size + count * step:
        raise ValueError(f"{undo.name} is damaged")
    contents = {}
    for start in range(_UNDO_HEADER.size, len(content), step):
        (number,) = _NUMBER.unpack_from(content, start)
        contents[number] = content[start + _NUMBER.size : start + step]
    return Before(page_bytes, pages, contents)


def _flush_folder(folder: Path) -> None:
    """Have the system write which files there are, where a folder can be opened (not Windows)."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
