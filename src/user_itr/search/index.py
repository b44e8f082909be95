"""A search index: photos of one or several folders, embedded by one model, in one place."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from user_itr.errors import ConfigError, IndexStoreError
from user_itr.hub.names import recorded_name
from user_itr.search.encoder import Encoder
from user_itr.search.filters import Filters
from user_itr.search.found import Hit, PhotoFacts
from user_itr.search.leaving_out import WalkOptions
from user_itr.search.location import Location, Place, location_of, store_errors
from user_itr.search.manifest import PENDING, Manifest
from user_itr.search.matching.reference import Reference
from user_itr.search.matching.stored import StoredReference
from user_itr.search.preparing import (
    check_free,
    check_model,
    is_there,
    manifest_of,
    same_generation,
    unit_query,
    write_manifest,
)
from user_itr.search.store.base import PhotoStore
from user_itr.search.store.opening import bring_up_to_date, drop_others, open_store
from user_itr.search.table import write_lock

if TYPE_CHECKING:  # a search needs neither
    from user_itr.search.timeline import Timeline
    from user_itr.search.update import IndexReport

T = TypeVar("T")

FOLLOW_SECONDS = 2.0
"""How often an open index looks whether a rebuild took its place, at most."""


class ImageIndex:
    """Photos and their embeddings. Make one with `create_or_open`, `open` or `rebuild`.

    An index that is open follows a rebuild by the same model within `FOLLOW_SECONDS`.

    Attributes:
        location: of the index: a folder, or a prefix of a bucket.
        manifest: which model made it.
    """

    def __init__(
        self, place: Place, manifest: Manifest, *, create: bool, pending: bool = False
    ) -> None:
        self.location: Location = location_of(place)
        self.manifest = manifest
        self._pending = pending
        self._store = open_store(self.location, manifest, create=create)
        self._look_again = time.monotonic() + FOLLOW_SECONDS
        self._reference = StoredReference(self.location)

    @property
    def path(self) -> Path:
        """Folder of the index, absolute.

        Raises:
            IndexStoreError: if it is on object storage; `location` is there for every index.
        """
        if self.location.folder is None:
            raise IndexStoreError(f"{self.location}: is in no folder; use `location`.")
        return self.location.folder

    @classmethod
    def open(cls, place: Place) -> ImageIndex:
        """Open an index to search it.

        Args:
            place: folder of the index, or `s3://BUCKET/PREFIX`.

        Raises:
            IndexStoreError: if there is no index, a damaged one, or one of a newer format, or if
                object storage does not answer.
        """
        location = location_of(place)
        if not Manifest.exists(location):
            state = "is not a search index" if is_there(location) else "no such search index"
            where = "s3://BUCKET/PREFIX" if location.shared else "FOLDER"
            raise IndexStoreError(
                f"{location}: {state}; make one with `user-itr index PHOTOS --index {where}`."
            )
        manifest = bring_up_to_date(location, Manifest.read(location))
        return cls(location, manifest, create=False)

    @classmethod
    def create_or_open(cls, place: Place, encoder: Encoder, model_path: str | Path) -> ImageIndex:
        """Open an index to add photos; make an empty one where there is none.

        Args:
            place: of the index: missing, empty, or an index already. A folder, or
                `s3://BUCKET/PREFIX`.
            encoder: the model.
            model_path: checkpoint that `encoder` was loaded from, recorded for later searches.

        Raises:
            IndexStoreError: if another model made the index, the place holds other things, or
                another process writes to the index that is to be made or changed.
        """
        location = location_of(place)
        if not Manifest.exists(location):
            check_free(location)
        else:
            manifest = bring_up_to_date(location, Manifest.read(location))
            check_model(location, manifest, encoder)
            if manifest.model == recorded_name(model_path):
                return cls(location, manifest, create=True)
        with write_lock(location):  # of two that start here at once, one comes second
            if Manifest.exists(location):
                manifest = Manifest.read(location)
                check_model(location, manifest, encoder)
                manifest = replace(manifest, model=recorded_name(model_path))
            else:
                check_free(location)
                manifest = manifest_of(encoder, model_path, generation=1)
            write_manifest(manifest, location)
            return cls(location, manifest, create=True)

    @classmethod
    def rebuild(cls, place: Place, encoder: Encoder, model_path: str | Path) -> ImageIndex:
        """An empty index that takes the place of the one there when `commit` is called.

        Until then the old one stays and can be searched. A rebuild by the same model that was
        interrupted goes on where it stopped. Arguments and errors as in `create_or_open`, but
        another model is welcome.
        """
        location = location_of(place)
        if not Manifest.exists(location):
            return cls.create_or_open(location, encoder, model_path)
        bring_up_to_date(location, Manifest.read(location))
        with write_lock(location):
            current = Manifest.read(location)
            wanted = manifest_of(encoder, model_path, generation=current.generation + 1)
            goes_on = location.has(PENDING) and same_generation(
                Manifest.read(location, PENDING), wanted
            )
            drop_others(location, keep=[current, wanted] if goes_on else [current])
            write_manifest(wanted, location, PENDING)
            return cls(location, wanted, create=True, pending=True)

    def commit(self) -> None:
        """Put a rebuilt index in the old one's place; nothing happens to any other.

        Where an index is shared, the old one's tables stay until the next rebuild, for servers
        that load the new model first.
        """
        if not self._pending:
            return
        with write_lock(self.location), store_errors(self.location, "written"):
            self._check_current()
            old = Manifest.read(self.location)
            self.manifest.write(self.location)
            self.location.remove(PENDING)
            self._pending = False
            kept = [self.manifest, old] if self.location.shared else [self.manifest]
            drop_others(self.location, keep=kept)

    def __len__(self) -> int:
        return self.ask(len)

    def roots(self) -> dict[Path, int]:
        """The photo folders that were indexed, each with the number of photos found there."""
        return {Path(root): count for root, count in self.ask(lambda s: s.roots()).items()}

    def folders(self) -> dict[str, int]:
        """Every folder that holds photos directly, with the number of them, sorted by path."""
        return self.ask(lambda store: store.folders())

    def timeline(self, filters: Filters | None = None) -> Timeline:
        """All photos that meet the filters, those with a sound date first; see `Timeline`."""
        return self.ask(lambda store: store.timeline(filters))

    def state(self) -> str:
        """A text that changes with each change of the photos."""
        return self.ask(lambda store: store.state())

    def count(self, filters: Filters | None = None) -> int:
        """How many photos meet the filters."""
        return self.ask(lambda store: store.count(filters))

    def named(self, words: str, k: int = 10, *, offset: int = 0) -> list[PhotoFacts]:
        """Photos whose file name or folder has all of the words, the latest first.

        A word finds those that begin with it; case and accents do not matter.
        """
        return self.ask(lambda store: store.named(words, k, offset))

    def check_model(self, encoder: Encoder) -> None:
        """Make sure that `encoder` is the model that made this index.

        Raises:
            IndexStoreError: if it is another one; the message names both.
        """
        check_model(self.location, self.manifest, encoder)

    def update(
        self,
        folder: str | Path | Sequence[str | Path],
        encoder: Encoder,
        *,
        batch_size: int = 32,
        workers: int = 2,
        processes: bool = False,
        allow_empty: bool = False,
        verify: bool = False,
        include_hidden: bool = False,
        exclude: Sequence[str] = (),
        follow_links: bool = False,
        more: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> IndexReport:
        """Bring the index up to date with the photos below `folder`.

        Files that are new, or that changed by anything the file system tells, are read, and those
        whose contents the index does not have are encoded: a photo that moved keeps its embedding,
        also where its whole folder was renamed. Photos that are gone from a folder that holds
        others still, and those that no longer decode, leave the index. Where a folder is missing,
        empty or unreadable, its photos stay, and the report says so; see `forget`. Photos of other
        folders are not touched. Each chunk that was written stays when the run is interrupted, and
        the next run goes on there.

        Args:
            folder: photos, looked for recursively; or a photo, or several photos.
            encoder: the model that made the index.
            batch_size: photos encoded at once.
            workers: threads or processes that decode ahead.
            processes: decode in processes, which a crashing decoder cannot take down with it; see
                `decode_ahead` for what a script needs.
            allow_empty: let what is missing or empty count as deleted. Without it a folder that
                is missing or empty, and was not, is an error: an unmounted disk looks the same.
            verify: read every photo, and find those that changed with nothing else to tell it.
            include_hidden: also hidden files and folders, bins and thumbnail caches.
            exclude: patterns as in a `.gitignore` file of what to leave out. What the index has of
                it leaves the index, as with hidden things in a run without `include_hidden`.
            follow_links: go through links to folders, each folder once.
            more: another update follows at once, which tidies up: photos that left this folder are
                known there still.
            progress: called with (photos done, photos to look into) after the walk and each batch.

        Raises:
            ConfigError: if `batch_size` or `workers` is not positive, or a pattern is invalid.
            DataError: if the folder is missing, or empty and was not; see `allow_empty`.
            IndexStoreError: if another model made the index, another process writes to it, or it
                cannot be written.
        """
        from user_itr.search.update import Update, UpdateOptions

        for name, value in (("batch_size", batch_size), ("workers", workers)):
            if value < 1:
                raise ConfigError(f"{name} is {value}; give at least 1.")
        self.check_model(encoder)
        walk = WalkOptions(include_hidden, tuple(exclude), follow_links)
        options = UpdateOptions(batch_size, workers, processes, allow_empty, verify, more, walk)
        with write_lock(self.location):
            self._check_current()
            run = Update(self._store, folder, encoder, options, self.location.folder, progress)
            report = run.run()
            if not more:
                self._reference.renew(self._store, self.manifest, encoder, report)
            return report

    def forget(self, path: str | Path) -> int:
        """Remove a photo, or the photos below a folder, there or not; returns how many.

        Raises:
            IndexStoreError: if the index has none from there, or cannot be written.
        """
        from user_itr.search.update import forget

        with write_lock(self.location):
            self._check_current()
            return forget(self._store, path)

    def _check_current(self) -> None:
        """Make sure, before a write, that this is still the photos to write to.

        An index goes over to a rebuild by the same model; see `_follow`.

        Raises:
            IndexStoreError: if another rebuild took the place of this one, or another model's of
                this index.
        """
        if not self._pending:
            self._follow()
        elif not (
            self.location.has(PENDING)
            and same_generation(Manifest.read(self.location, PENDING), self.manifest)
        ):
            raise IndexStoreError(
                f"{self.location}: was rebuilt by another process meanwhile; start again."
            )

    def search(
        self,
        embedding: np.ndarray,
        k: int = 10,
        *,
        offset: int = 0,
        filters: Filters | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """The k photos nearest to a query, best first, by cosine.

        All photos are compared, unless there are so many (`neighbours.search.APPROXIMATE_FROM`)
        that a graph of neighbours pays; it misses a few, and scores are exact in any case.

        Args:
            embedding: (D,) float; its length does not matter.
            k: number of results; fewer come back where the index holds fewer.
            offset: results to leave out before the first: pages of a longer list.
            filters: what may be found.
            exact: compare all photos in any case.

        Raises:
            ConfigError: if k is not positive, or the offset is negative.
            IndexStoreError: if the query has another width or no direction, or reading fails.
        """
        if k < 1:
            raise ConfigError(f"the number of results is {k}; ask for at least 1.")
        if offset < 0:
            raise ConfigError(f"the offset is {offset}; give 0 or more.")
        query = unit_query(self.location, self.manifest, embedding)
        found = self.ask(lambda store: store.nearest(query, offset + k, filters, exact=exact))
        return found[offset:]

    def reference(self) -> Reference | None:
        """What matches are read against; None until an update has made it."""
        return self._reference.read(self.manifest)

    def facts(self, id: str) -> PhotoFacts | None:
        """What is known of a photo; None if the index has none of that id."""
        return next(iter(self.facts_of_many([id])), None)

    def facts_of_many(self, ids: Sequence[str]) -> list[PhotoFacts]:
        """What is known of photos, in the order of `ids`, those left out that the index lacks."""
        return self.ask(lambda store: store.facts(ids))

    def embedding_of(self, id: str) -> np.ndarray | None:
        """The (D,) float32 unit vector of a photo; None if the index has none of that id.

        An index in a folder keeps it as float16.
        """
        return next(iter(self.ask(lambda store: store.embeddings([id]))), None)

    def newest(
        self, k: int = 10, *, offset: int = 0, filters: Filters | None = None
    ) -> list[PhotoFacts]:
        """Photos by the time they were taken, or else their file's, the latest first.

        Arguments and errors are those of `search`.
        """
        if k < 1 or offset < 0:
            raise ConfigError(f"{k} photos from {offset} on cannot be listed; ask for at least 1.")
        return self.ask(lambda store: store.newest(k, offset, filters))

    def ask(self, question: Callable[[PhotoStore], T]) -> T:
        """Ask the store, and once more where a writer took away what was being read."""
        if not self._pending and time.monotonic() > self._look_again:
            with suppress(IndexStoreError):
                self._follow()
        try:
            return question(self._store)
        except IndexStoreError:
            if self._pending:
                raise
            self._follow()
        return question(self._store)

    def _follow(self) -> None:
        """Go over to the photos of a rebuild by the same model, if there was one.

        Raises:
            IndexStoreError: if it was by another model.
        """
        self._look_again = time.monotonic() + FOLLOW_SECONDS
        manifest = Manifest.read(self.location)
        if manifest.generation == self.manifest.generation:
            return
        if manifest.fingerprint != self.manifest.fingerprint:
            raise IndexStoreError(
                f"{self.location}: was made again by another model ({manifest.description}) since "
                "it was opened; open it again: start the server or the command again."
            )
        self._store = open_store(self.location, manifest, create=False)
        self.manifest = manifest
