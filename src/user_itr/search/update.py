"""Bringing an index up to date with a folder of photos."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from user_itr.errors import DataError, IndexStoreError
from user_itr.search.decoding import decode_ahead
from user_itr.search.encoder import Encoder
from user_itr.search.photos import (
    Contents,
    Photo,
    Skipped,
    hash_photo,
    scan,
    unlistable_folders,
)
from user_itr.search.store.base import ContentRow, FileRow, FileState, PhotoStore

CHUNK_ROWS = 512
CHUNK_SECONDS = 30.0
"""Embeddings are written when there are so many, or after so long: what a killed run can lose."""


@dataclass(slots=True)
class IndexReport:
    """What an update did.

    Attributes:
        folder: the photos' folder, absolute.
        added: photos that were not in the index, copies of others included.
        updated: photos whose contents had changed.
        moved: photos that the index knew from a path where they are no longer.
        unchanged: photos that were left as they were.
        removed: photos that left the index, because the file is gone or no longer decodes.
        encoded: photos that the model encoded: those with contents that the index did not know.
        skipped: what was left out, and why.
        seconds: wall-clock time.
    """

    folder: Path
    added: int = 0
    updated: int = 0
    moved: int = 0
    unchanged: int = 0
    removed: int = 0
    encoded: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    seconds: float = 0.0


class Update:
    """One run over one folder; `ImageIndex.update` documents what it does."""

    def __init__(
        self,
        table: PhotoStore,
        folder: Path,
        encoder: Encoder,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.table = table
        self.encoder = encoder
        self.progress = progress
        self.report = IndexReport(folder)
        self.stored: dict[str, tuple[int, int]] = {}
        self.files: dict[str, tuple[int, int]] = {}
        self.hashes: dict[str, str] = {}
        """Of the photos below the folder, by path."""
        self.known: dict[tuple[int, str], str] = {}
        """A path for each (bytes, hash) in the whole index."""
        self._total = 0

    def run(self, batch_size: int, workers: int, processes: bool, allow_empty: bool) -> IndexReport:
        """Scan, take over what moved, remove what is gone, encode what is new, compact."""
        start = time.monotonic()
        report = self.report
        self._read_table()
        if report.folder.exists() or not (allow_empty and self.stored):
            self.files, report.skipped = scan(report.folder)
        if self.stored and not self.files and not report.skipped and not allow_empty:
            raise DataError(
                f"{report.folder}: holds no images, and the index {self.table.location} has "
                f"{len(self.stored)} from it; mount the disk they are on, or let them leave the "
                "index with --allow-empty (allow_empty=True)."
            )
        todo = [path for path, state in self.files.items() if self.stored.get(path) != state]
        report.unchanged = len(self.files) - len(todo)
        self._total = len(todo)
        self._show(0)
        todo = self._take_over(todo)  # before the rows that they come from go
        self._remove_gone()
        self._encode(todo, batch_size, workers, processes)
        self.table.finish()
        report.seconds = time.monotonic() - start
        return report

    def _read_table(self) -> None:
        prefix = os.path.join(self.report.folder, "")  # noqa: PTH118 - with the separator at its end
        for row in self.table.files():
            self.known[row.state.size, row.hash] = row.path
            if row.path.startswith(prefix):
                self.stored[row.path] = (row.state.size, row.state.mtime_ns)
                self.hashes[row.path] = row.hash

    def _show(self, done: int) -> None:
        if self.progress:
            self.progress(done, self._total)

    def _take_over(self, todo: Sequence[str]) -> list[str]:
        """Give known contents at new paths the embeddings that they have; returns the rest.

        Only files of a size that the index has are read for it.
        """
        sizes = {size for size, _ in self.known}
        doubtful = [path for path in todo if self.files[path][0] in sizes]
        if not doubtful:
            return list(todo)
        taken: set[str] = set()
        for start in range(0, len(doubtful), CHUNK_ROWS):
            found = {}
            for path in doubtful[start : start + CHUNK_ROWS]:
                read = hash_photo(Path(path))
                source = None if read is None else self.known.get((read.size, read.hash))
                if read is not None and source is not None:
                    found[path] = (source, read)
                    self._count(path, source, read)
            if found:
                self._copy_rows(found)
                taken |= found.keys()
                self._show(len(taken))
        return [path for path in todo if path not in taken]

    def _count(self, path: str, source: str, read: Contents) -> None:
        if path in self.stored:
            if self.hashes[path] == read.hash:
                self.report.unchanged += 1
            else:
                self.report.updated += 1
        elif source in self.files or Path(source).exists():
            self.report.added += 1
        else:
            self.report.moved += 1
            if source in self.stored:
                self.report.removed -= 1  # its old row goes and is no loss

    def _copy_rows(self, found: dict[str, tuple[str, Contents]]) -> None:
        self.table.write([self._row(path, read) for path, (_, read) in found.items()])

    def _row(self, path: str, read: Contents) -> FileRow:
        state = FileState(read.size, read.mtime_ns)
        return FileRow(path, str(self.report.folder), state, read.hash)

    def _remove_gone(self) -> None:
        gone = [path for path in self.stored if path not in self.files]
        unlistable = unlistable_folders(gone)
        self.report.skipped += [(Path(folder), reason) for folder, reason in unlistable.items()]
        self.report.removed += self.table.remove(
            [path for path in gone if os.path.dirname(path) not in unlistable]  # noqa: PTH120
        )

    def _encode(self, todo: Sequence[str], batch_size: int, workers: int, processes: bool) -> None:
        paths = [Path(path) for path in todo]
        pending: list[tuple[FileRow, ContentRow]] = []
        undecodable: list[str] = []
        done = self._total - len(todo)
        written = time.monotonic()
        batches = decode_ahead(paths, self.encoder, batch_size, workers, processes=processes)
        try:
            with closing(batches):
                for photos, skipped in batches:
                    if photos:
                        pending += self._encode_batch(photos)
                    self.report.skipped += skipped
                    undecodable += [str(path) for path, _ in skipped if str(path) in self.stored]
                    full = len(pending) >= CHUNK_ROWS
                    if full or time.monotonic() - written > CHUNK_SECONDS:
                        self._write(pending)
                        written = time.monotonic()
                    done = min(done + batch_size, self._total)
                    self._show(done)
        finally:  # also after Ctrl-C: what is encoded is kept
            self._write(pending)
        self.report.removed += self.table.remove(undecodable)

    def _encode_batch(self, photos: Sequence[Photo]) -> list[tuple[FileRow, ContentRow]]:
        embeddings = self.encoder.encode_pixels(np.stack([photo.pixels for photo in photos]))
        wanted = (len(photos), self.encoder.dim)
        if embeddings.shape != wanted or not np.isfinite(embeddings).all():
            raise IndexStoreError(
                f"{photos[0].path}: the model ({self.encoder.description}) gave embeddings of "
                f"shape {embeddings.shape} for this batch, or values that are not finite, where "
                f"finite {wanted} is needed; use another checkpoint."
            )
        rows = []
        for photo, embedding in zip(photos, embeddings, strict=True):
            read = photo.contents
            content = ContentRow(
                read.hash, read.size, photo.taken, photo.width, photo.height, embedding
            )
            rows.append((self._row(str(photo.path), read), content))
        return rows

    def _write(self, pending: list[tuple[FileRow, ContentRow]]) -> None:
        if not pending:
            return
        files, contents = zip(*pending, strict=True)
        pending.clear()
        known = sum(row.path in self.stored for row in files)
        self.table.write(files, contents)
        self.report.updated += known
        self.report.added += len(files) - known
        self.report.encoded += len(files)
