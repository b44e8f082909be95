"""The reference of an index, in a file beside its photos; all of it can be made again."""

from __future__ import annotations

import time
from collections.abc import Collection
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from user_itr.search.encoder import Encoder
from user_itr.search.location import Location, store_errors
from user_itr.search.manifest import Manifest
from user_itr.search.matching.reference import Reference
from user_itr.search.store.base import PhotoStore

if TYPE_CHECKING:
    from user_itr.search.update import IndexReport

FILE = "matches-{generation}.npz"

SAMPLE = 10_000
"""Photos of an index that the ordinary sentences are compared with, at most."""

STALE_SHARE = 0.01
"""Share of a larger index that may come or go before its reference is made again."""

AGAIN_SECONDS = 10.0
"""How often an open index looks for a newer one, at most."""


class StoredReference:
    """Reads and renews the reference of an index.

    Args:
        location: of the index.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._generation = 0
        self._latest: Reference | None = None
        self._look_again = 0.0

    def read(self, manifest: Manifest) -> Reference | None:
        """That of a generation; None where there is none, or a damaged one.

        Raises:
            IndexStoreError: if object storage does not answer.
        """
        now = time.monotonic()
        if now > self._look_again or manifest.generation != self._generation:
            try:
                content = self._location.read(FILE.format(generation=manifest.generation))
                self._latest = Reference.from_bytes(content, manifest.dim)
            except OSError:
                self._latest = None
            self._generation = manifest.generation
            self._look_again = now + AGAIN_SECONDS
        return self._latest

    def renew(
        self, store: PhotoStore, manifest: Manifest, encoder: Encoder, report: IndexReport
    ) -> None:
        """Make it, or make it anew where the photos are others; only under the index's lock.

        Args:
            store: of the photos.
            manifest: of their generation.
            encoder: the model.
            report: of the update.

        Raises:
            IndexStoreError: if it cannot be written.
        """
        photos = len(store)
        before = self.read(manifest)
        if before is None:
            stale = True
        elif photos > SAMPLE:
            stale = abs(photos - before.photos) > STALE_SHARE * photos
        else:
            changed = report.added or report.updated or report.removed
            stale = bool(changed) or photos != before.photos
        if not (photos and stale):
            return
        made = Reference.of(encoder, store.sample(SAMPLE), photos, before)
        with store_errors(self._location, "written"):
            name = FILE.format(generation=manifest.generation)
            self._location.replace(name, made.to_bytes())
        self._latest = made


def drop_references(location: Location, keep: Collection[int]) -> None:
    """Remove those of all generations but these; only under the index's lock."""
    kept = [FILE.format(generation=generation) for generation in keep]
    with store_errors(location, "written"):
        for name in location.entries():
            if fnmatch(name, FILE.format(generation="*")) and name not in kept:
                location.remove(name)
