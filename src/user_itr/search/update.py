"""Bringing an index up to date with a folder of photos."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from user_itr.errors import DataError, IndexStoreError
from user_itr.search.encoder import Encoder
from user_itr.search.photos import Photo, Skipped, decode_ahead, scan, unlistable_folders
from user_itr.search.table import PhotoTable

CHUNK_ROWS = 512
CHUNK_SECONDS = 30.0
"""Embeddings are written when there are so many, or after so long: what a killed run can lose."""


@dataclass(slots=True)
class IndexReport:
    """What an update did.

    Attributes:
        folder: the photos' folder, absolute.
        added: photos that were not in the index.
        updated: photos that had changed and were encoded again.
        unchanged: photos that were left as they were.
        removed: photos that left the index, because the file is gone or no longer decodes.
        skipped: what was left out, and why.
        seconds: wall-clock time.
    """

    folder: Path
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    seconds: float = 0.0


class Update:
    """One run over one folder; `ImageIndex.update` documents what it does."""

    def __init__(
        self,
        table: PhotoTable,
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

    def run(self, batch_size: int, workers: int, allow_empty: bool) -> IndexReport:
        """Scan, remove what is gone, encode what is new or changed, compact."""
        start = time.monotonic()
        report = self.report
        self.stored = self._stored_below(report.folder)
        if report.folder.exists() or not (allow_empty and self.stored):
            self.files, report.skipped = scan(report.folder)
        if self.stored and not self.files and not report.skipped and not allow_empty:
            raise DataError(
                f"{report.folder}: holds no images, and the index {self.table.path} has "
                f"{len(self.stored)} from it; mount the disk they are on, or let them leave the "
                "index with --allow-empty (allow_empty=True)."
            )
        self._remove_gone()
        todo = [path for path, state in self.files.items() if self.stored.get(path) != state]
        report.unchanged = len(self.files) - len(todo)
        self._encode(todo, batch_size, workers)
        self.table.compact()
        report.seconds = time.monotonic() - start
        return report

    def _stored_below(self, folder: Path) -> dict[str, tuple[int, int]]:
        columns = self.table.columns("path", "size", "mtime_ns")
        prefix = os.path.join(folder, "")  # noqa: PTH118 - with the separator at its end
        names, sizes, times = (columns[name].to_pylist() for name in columns.column_names)
        return {
            name: (size, mtime)
            for name, size, mtime in zip(names, sizes, times, strict=True)
            if name.startswith(prefix)
        }

    def _remove_gone(self) -> None:
        gone = [path for path in self.stored if path not in self.files]
        unlistable = unlistable_folders(gone)
        self.report.skipped += [(Path(folder), reason) for folder, reason in unlistable.items()]
        self.report.removed += self.table.delete(
            [path for path in gone if os.path.dirname(path) not in unlistable]  # noqa: PTH120
        )

    def _encode(self, todo: Sequence[str], batch_size: int, workers: int) -> None:
        paths = [Path(path) for path in todo]
        pending: list[pa.Table] = []
        undecodable: list[str] = []
        done = 0
        written = time.monotonic()
        if self.progress:
            self.progress(0, len(todo))
        try:
            with closing(decode_ahead(paths, self.encoder, batch_size, workers)) as batches:
                for photos, skipped in batches:
                    if photos:
                        pending.append(self._encode_batch(photos))
                    self.report.skipped += skipped
                    undecodable += [str(path) for path, _ in skipped if str(path) in self.stored]
                    full = sum(rows.num_rows for rows in pending) >= CHUNK_ROWS
                    if full or time.monotonic() - written > CHUNK_SECONDS:
                        self._write(pending)
                        written = time.monotonic()
                    done = min(done + batch_size, len(todo))
                    if self.progress:
                        self.progress(done, len(todo))
        finally:  # also after Ctrl-C: what is encoded is kept
            self._write(pending)
        self.report.removed += self.table.delete(undecodable)

    def _encode_batch(self, photos: Sequence[Photo]) -> pa.Table:
        embeddings = self.encoder.encode_pixels(np.stack([photo.pixels for photo in photos]))
        wanted = (len(photos), self.encoder.dim)
        if embeddings.shape != wanted or not np.isfinite(embeddings).all():
            raise IndexStoreError(
                f"{photos[0].path}: the model ({self.encoder.description}) gave embeddings of "
                f"shape {embeddings.shape} for this batch, or values that are not finite, where "
                f"finite {wanted} is needed; use another checkpoint."
            )
        names = [str(photo.path) for photo in photos]
        return self.table.rows(
            embeddings,
            path=names,
            size=[self.files[name][0] for name in names],
            mtime_ns=[self.files[name][1] for name in names],
            width=[photo.width for photo in photos],
            height=[photo.height for photo in photos],
            root=[str(self.report.folder)] * len(photos),
        )

    def _write(self, pending: list[pa.Table]) -> None:
        if not pending:
            return
        rows = pa.concat_tables(pending)
        pending.clear()
        self.table.upsert(rows)
        known = sum(path in self.stored for path in rows["path"].to_pylist())
        self.report.updated += known
        self.report.added += rows.num_rows - known
