"""Encoding what an index does not know, with each chunk written as it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from user_itr.errors import IndexStoreError
from user_itr.search.decoding import decode_ahead
from user_itr.search.encoder import Encoder
from user_itr.search.photos import Photo
from user_itr.search.store.base import ContentRow, FileRow, PhotoStore
from user_itr.search.update.comparing import Rows

CHUNK_ROWS = 512
CHUNK_SECONDS = 30.0
"""Embeddings are written when there are so many, or after so long: what a killed run can lose."""


class Encoding:
    """Decodes, encodes and writes photos.

    Args:
        store: of the index.
        encoder: the model.
        rows: makes rows of files; its report counts what was written.
        copies: rows of further files by the hash of their contents, written along.

    Attributes:
        unreadable: paths whose bytes could not be read, with the reason.
        undecodable: paths whose bytes are no photo, or none that the model takes.
        copies: those of the argument that were not written.
    """

    def __init__(
        self, store: PhotoStore, encoder: Encoder, rows: Rows, copies: dict[str, list[FileRow]]
    ) -> None:
        self.store = store
        self.encoder = encoder
        self.rows = rows
        self.copies = copies
        self.unreadable: dict[str, str] = {}
        self.undecodable: list[str] = []
        self._files: list[FileRow] = []
        self._contents: dict[str, ContentRow] = {}
        self._photos = 0

    def run(
        self,
        paths: Sequence[str],
        batch_size: int,
        workers: int,
        processes: bool,
        show: Callable[[int], None],
    ) -> None:
        """Encode photos; those of an interrupted run that were encoded are kept.

        Args:
            paths: of photos.
            batch_size: photos encoded at once.
            workers: see `decode_ahead`.
            processes: see `decode_ahead`.
            show: called with the number of files that are through after each batch.

        Raises:
            IndexStoreError: if the model's embeddings are of no use, or the store cannot be
                written.
        """
        unreadable: set[Path] = set()
        batches = decode_ahead(
            map(Path, paths),
            self.encoder,
            batch_size,
            workers,
            processes=processes,
            unreadable=unreadable,
        )
        written = time.monotonic()
        done = 0
        try:
            with closing(batches):
                for photos, skipped in batches:
                    if photos:
                        self._encode(photos)
                    for path, reason in skipped:
                        if path in unreadable:
                            self.unreadable[str(path)] = reason
                        else:
                            self.undecodable.append(str(path))
                            self.rows.report.skipped.append((path, reason))
                    full = len(self._files) >= CHUNK_ROWS
                    if full or time.monotonic() - written > CHUNK_SECONDS:
                        self._write()
                        written = time.monotonic()
                    done = min(done + batch_size, len(paths))
                    show(done)
        finally:  # also after Ctrl-C: what is encoded is kept
            self._write()

    def _encode(self, photos: Sequence[Photo]) -> None:
        embeddings = self.encoder.encode_pixels(np.stack([photo.pixels for photo in photos]))
        wanted = (len(photos), self.encoder.dim)
        if embeddings.shape != wanted or not np.isfinite(embeddings).all():
            raise IndexStoreError(
                f"{photos[0].path}: the model ({self.encoder.description}) gave embeddings of "
                f"shape {embeddings.shape} for this batch, or values that are not finite, where "
                f"finite {wanted} is needed; use another checkpoint."
            )
        for photo, embedding in zip(photos, embeddings, strict=True):
            contents = photo.contents
            self._files.append(self.rows.row(str(photo.path), contents))
            self._files += self.copies.pop(contents.hash, ())
            self._contents.setdefault(
                contents.hash,
                ContentRow(
                    contents.hash,
                    contents.size,
                    photo.taken,
                    photo.width,
                    photo.height,
                    embedding,
                    photo.location,
                ),
            )
        self._photos += len(photos)

    def _write(self) -> None:
        if not self._files:
            return
        files, contents = self._files, list(self._contents.values())
        photos, self._photos = self._photos, 0
        self._files, self._contents = [], {}
        self.store.write(files, contents)
        report = self.rows.report
        updated = sum(row.path in self.rows.before for row in files)
        report.updated += updated
        report.added += len(files) - updated
        report.encoded += photos
