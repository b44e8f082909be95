"""Comparing what a walk found with what the index has of the same place."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from user_itr.data.dates import sidecar_taken
from user_itr.search.file_state import RACY_NS, same
from user_itr.search.photos import Contents
from user_itr.search.store.base import FileRow, PhotoStore
from user_itr.search.update.report import IndexReport
from user_itr.search.walk import Walk, unreadable

MAX_SIDECAR_BYTES = 1 << 24


@dataclass(slots=True)
class Comparison:
    """Where the files of a place stand.

    Attributes:
        stored: how many files of the place the index has.
        todo: paths to look into, sorted: new and changed ones; all of them to verify.
        rows: what the index has of those.
        trusted: those that nothing but `verify` would look into.
        missing: rows whose file was not found.
        behind: rows of unchanged files whose sidecars changed, came or went.
        unchanged: files that are left as they are.
    """

    stored: int = 0
    todo: list[str] = field(default_factory=list)
    rows: dict[str, FileRow] = field(default_factory=dict)
    trusted: set[str] = field(default_factory=set)
    missing: list[FileRow] = field(default_factory=list)
    behind: list[FileRow] = field(default_factory=list)
    unchanged: int = 0


def compare(
    store: PhotoStore, found: Walk, belongs: Callable[[str], bool], *, verify: bool
) -> Comparison:
    """Compare a walk with the rows of an index.

    Args:
        store: of the index; its rows are read one by one and mostly not kept.
        found: what is there.
        belongs: whether a path is of the place that was gone through.
        verify: look into files that seem unchanged, too.
    """
    files, sidecars = found.files, found.sidecars
    result = Comparison()
    settled = set()
    for row in store.files():
        state = files.get(row.path)
        if state is None:
            if belongs(row.path):
                result.stored += 1
                result.missing.append(row)
            continue
        result.stored += 1
        unchanged = same(row.state, state)
        if verify or not unchanged:
            result.rows[row.path] = row
            if unchanged:
                result.trusted.add(row.path)
            continue
        settled.add(row.path)
        sidecar = sidecars.get(row.path)
        if row.sidecar != (sidecar and sidecar.state):
            result.behind.append(row)
        else:
            result.unchanged += 1
    result.todo = sorted(path for path in files if path not in settled)
    return result


@dataclass(slots=True)
class Rows:
    """Makes the rows of files, with what their sidecars say.

    Attributes:
        found: what the walk found.
        before: rows that the index has.
        report: where unreadable sidecars are told.
        root_of: which root a new photo belongs to.
    """

    found: Walk
    before: dict[str, FileRow]
    report: IndexReport
    root_of: Callable[[str], str]

    def row(self, path: str, contents: Contents) -> FileRow:
        """The row of a file that was read."""
        before = self.before.get(path)
        root = self.root_of(path) if before is None else before.root
        return self.with_sidecar(FileRow(path, root, contents.state, contents.hash), before)

    def with_sidecar(self, row: FileRow, before: FileRow | None) -> FileRow:
        """A row with the date of the sidecar that is there now, if any."""
        sidecar = self.found.sidecars.get(row.path)
        if sidecar is None:
            return row._replace(sidecar=None, taken=None)
        if before is not None and before.sidecar == sidecar.state:
            return row._replace(sidecar=before.sidecar, taken=before.taken)
        try:
            now = time.time_ns()
            taken = _taken(sidecar.path)
        except OSError as error:
            self.report.skipped.append((Path(sidecar.path), unreadable(error)))
            known = (None, None) if before is None else (before.sidecar, before.taken)
            return row._replace(sidecar=known[0], taken=known[1])
        size, mtime_ns = sidecar.state
        fresh = abs(now - mtime_ns) < RACY_NS  # it may change again at the same time stamp
        return row._replace(sidecar=(size, -1 if fresh else mtime_ns), taken=taken)


def _taken(sidecar: str) -> datetime | None:
    with open(sidecar, "rb", opener=_without_waiting) as file:
        return sidecar_taken(file.read(MAX_SIDECAR_BYTES))


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
