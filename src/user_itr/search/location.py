"""Where an index lives: a folder of this machine, or a prefix of a bucket that many read."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import ClassVar

import filelock

from user_itr.errors import IndexBusyError, IndexStoreError
from user_itr.files import replace_file

LOCK = "index.lock"
S3 = "s3://"


class Location(ABC):
    """Small files and tables under one name; `str` of it is that name.

    Attributes:
        uri: the name as LanceDB takes it.
        storage_options: that LanceDB needs for it; no secrets.
        shared: whether other machines may be reading.
        remedy: what to do where it cannot be read or written.
        folder: on this machine; None where it is no folder.
    """

    uri: str
    storage_options: Mapping[str, str]
    shared: ClassVar[bool]
    remedy: ClassVar[str]
    folder: Path | None

    def __str__(self) -> str:
        return self.uri

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The content of a small file.

        Raises:
            OSError: if there is none, or it cannot be read.
            IndexStoreError: if an object store does not answer.
        """

    @abstractmethod
    def replace(self, name: str, content: bytes) -> None:
        """Write a small file; readers see the old content or the new, whole.

        Raises:
            OSError: if it cannot be written.
            IndexStoreError: if an object store does not take it, or the lock was lost.
        """

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a small file, if it is there; errors as in `replace`."""

    @abstractmethod
    def entries(self) -> list[str]:
        """Names of the files and folders at the top; none where nothing is there."""

    @abstractmethod
    def remove_folder(self, name: str) -> None:
        """Remove a folder, a table for instance, with all in it; errors as in `replace`."""

    @abstractmethod
    def lock(self) -> AbstractContextManager[None]:
        """Be the one writer.

        Raises:
            IndexBusyError: if another process is.
        """

    @abstractmethod
    def require_lock(self) -> None:
        """Make sure, before a write, that the lock which this process took is still its own.

        Raises:
            IndexStoreError: if another process may have taken it over.
        """

    @abstractmethod
    def reason(self, error: Exception) -> str:
        """What an error of LanceDB or of the system says, in a few words and without secrets."""


class Folder(Location):
    """A folder of this machine.

    Args:
        path: of the folder, which need not exist.
    """

    shared = False
    remedy = "check its disk and permissions, or delete the folder and index again"

    def __init__(self, path: Path) -> None:
        self.folder: Path = path.absolute()
        self.uri = str(self.folder)
        self.storage_options = {}

    def has(self, name: str) -> bool:
        """See `Location`."""
        return (self.folder / name).is_file()

    def read(self, name: str) -> bytes:
        """See `Location`."""
        return (self.folder / name).read_bytes()

    def replace(self, name: str, content: bytes) -> None:
        """See `Location`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self.folder / name, content)

    def remove(self, name: str) -> None:
        """See `Location`."""
        (self.folder / name).unlink(missing_ok=True)

    def entries(self) -> list[str]:
        """See `Location`."""
        return [entry.name for entry in self.folder.iterdir()] if self.folder.exists() else []

    def remove_folder(self, name: str) -> None:
        """See `Location`."""
        shutil.rmtree(self.folder / name)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """See `Location`; the lock goes with the process, however it ends."""
        lock = filelock.FileLock(self.folder / LOCK)
        try:
            with store_errors(self, "written"):
                try:
                    self.folder.mkdir(parents=True, exist_ok=True)
                    lock.acquire(timeout=0)
                except filelock.Timeout:
                    raise IndexBusyError(
                        f"{self}: another process is writing to the index; wait until it is done."
                    ) from None
            yield
        finally:
            lock.release()

    def require_lock(self) -> None:
        """See `Location`; the system keeps a file lock for as long as the process lives."""

    def reason(self, error: Exception) -> str:
        """See `Location`."""
        return str(error).splitlines()[0] if str(error) else type(error).__name__


Place = str | os.PathLike[str] | Location
"""A folder, `s3://BUCKET/PREFIX`, or what `location_of` made of one."""


def location_of(place: Place) -> Location:
    """The folder or the prefix of a bucket that a person named.

    Raises:
        IndexStoreError: if it is an address of another kind, or names no bucket.
        MissingExtraError: if object storage is asked for and its client is not installed.
    """
    if isinstance(place, Location):
        return place
    name = os.fspath(place)
    if name.startswith(S3):
        from user_itr.search.object_store import ObjectStore

        return ObjectStore(name)
    if "://" in name:
        raise IndexStoreError(
            f"{name}: an index is in a folder or at {S3}BUCKET/PREFIX; give one of these."
        )
    return Folder(Path(name))


@contextmanager
def store_errors(place: Place, verb: str) -> Iterator[None]:
    """Turn what LanceDB and the file system raise into an IndexStoreError about `place`."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        location = location_of(place)
        raise IndexStoreError(
            f"{location}: the index cannot be {verb} ({location.reason(error)}); {location.remedy}."
        ) from error
