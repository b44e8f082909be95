"""Which store an index has, and bringing one that an older user-itr made up to date."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace

from user_itr.errors import IndexStoreError, MissingExtraError
from user_itr.search.location import Folder, Location, store_errors
from user_itr.search.manifest import FORMAT_VERSION, LANCE_VERSION, Manifest
from user_itr.search.matching.stored import drop_references
from user_itr.search.store.base import PhotoStore
from user_itr.search.store.log import is_torn, put_back
from user_itr.search.store.schema import FILE
from user_itr.search.store.sqlite import SqliteStore, drop_generations
from user_itr.search.table import write_lock

MENDING_SECONDS = 5.0
"""How long a process waits for another one that mends an index."""


def open_store(location: Location, manifest: Manifest, *, create: bool) -> PhotoStore:
    """The photos of the generation that a manifest names.

    Args:
        location: of the index.
        manifest: of the index, or of a rebuild.
        create: make an empty store where there is none.

    Raises:
        IndexStoreError: if there is none or it cannot be read.
        MissingExtraError: if the index is on object storage and LanceDB is not installed.
    """
    if isinstance(location, Folder):
        return SqliteStore(location, manifest.generation, manifest.dim, create=create)
    from user_itr.search.store.lance import LanceStore

    return LanceStore(location, manifest.table, manifest.sentences, manifest.dim, create=create)


def drop_others(location: Location, keep: Sequence[Manifest]) -> None:
    """Remove the photos of all generations but these; only under the index's lock."""
    drop_references(location, keep=[manifest.generation for manifest in keep])
    if isinstance(location, Folder):
        drop_generations(location, keep=[manifest.generation for manifest in keep])
        return
    from user_itr.search.store.lance import drop_tables

    drop_tables(location, keep=[table for manifest in keep for table in manifest.tables])


def bring_up_to_date(location: Location, manifest: Manifest) -> Manifest:
    """Make an index in a folder one that can be opened: mended, and in SQLite.

    A copy that was made while its file was being written is put back to the state before; see
    `log.py`. LanceDB tables of an earlier user-itr are carried over, and go once the new file is
    complete. The next update reads every file once, since an older user-itr could mix up photos
    that were renamed.

    Returns:
        The manifest that is valid then.

    Raises:
        IndexStoreError: if LanceDB is not installed, another process writes to the index, or it
            cannot be read or written.
    """
    if not isinstance(location, Folder):
        return manifest
    if manifest.format_version != LANCE_VERSION:
        _mend(location)
        return manifest
    try:
        from user_itr.search.store.lance import LanceStore, drop_tables
        from user_itr.search.store.migrating import carry_over
    except MissingExtraError:
        raise IndexStoreError(
            f"{location}: an earlier user-itr made this index; run `pip install 'user-itr[s3]'` "
            "once to carry it over, or index into another folder with --index."
        ) from None
    with write_lock(location):
        manifest = Manifest.read(location)
        if manifest.format_version != LANCE_VERSION:
            return manifest
        old = LanceStore(location, manifest.table, manifest.sentences, manifest.dim, create=False)
        carry_over(old, location, manifest)
        manifest = replace(manifest, format_version=FORMAT_VERSION)
        with store_errors(location, "written"):
            manifest.write(location)
        drop_tables(location, keep=[])
        return manifest


def _mend(location: Folder) -> None:
    """Wait for the process that puts a torn copy right, or be it."""
    file = location.folder / FILE
    deadline = time.monotonic() + MENDING_SECONDS
    while is_torn(file):
        try:
            with location.lock(), store_errors(location, "put right"):
                if is_torn(file):
                    put_back(file)
        except IndexStoreError:
            if time.monotonic() > deadline or not _may_write(location):
                raise
            time.sleep(0.05)


def _may_write(location: Folder) -> bool:
    as_now = os.access in os.supports_effective_ids
    return os.access(location.folder, os.W_OK, effective_ids=as_now)
