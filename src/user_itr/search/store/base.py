"""What the search and the update ask of a store, whichever database is behind it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from user_itr.search.filters import Area, Filters
from user_itr.search.found import Hit, PhotoFacts
from user_itr.search.location import Location

if TYPE_CHECKING:
    from user_itr.search.store.copies import Copies
    from user_itr.search.store.marks import Marks
    from user_itr.search.timeline import Timeline

LAST = 2**63 - 1
"""The largest number that a database keeps."""


def fitting(number: int) -> int:
    """A number, or the nearest one that fits 64 bits."""
    return min(max(number, -LAST), LAST)


class FileState(NamedTuple):
    """What the file system says of a file; two equal states mean that nothing was changed.

    Numbers beyond 64 bits, such as times after 2262, come back as the nearest that fit (`fitting`).

    Attributes:
        size: bytes.
        mtime_ns: when the contents were changed, nanoseconds since 1970.
        ctime_ns: when the inode was changed: also by a rename; 0 where that is not known.
        inode: number of the file in its file system; 0 where that is not stable.
    """

    size: int
    mtime_ns: int
    ctime_ns: int = 0
    inode: int = 0


class FileRow(NamedTuple):
    """A file of an index and the contents that it held when it was read.

    Attributes:
        path: absolute.
        root: folder that was indexed, absolute; the photo is below it or is it.
        state: of the file when its contents were read.
        hash: of the contents; see `photos.content_hash`.
        sidecar: size and mtime in ns of the XMP file beside it that was read; None for none.
        taken: when the sidecar says the photo was taken; None to take the contents' date.
    """

    path: str
    root: str
    state: FileState
    hash: str
    sidecar: tuple[int, int] | None = None
    taken: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ContentRow:
    """What was found in the bytes of a photo, whatever files hold them.

    Attributes:
        hash: of the bytes, 32 hex digits.
        size: bytes.
        taken: when, by the camera's clock; None where the bytes do not say.
        width: pixels of the upright photo.
        height: pixels of the upright photo.
        embedding: (D,) float32 unit vector.
        location: latitude and longitude in degrees; None where the bytes do not say.
    """

    hash: str
    size: int
    taken: datetime | None
    width: int
    height: int
    embedding: np.ndarray
    location: tuple[float, float] | None = field(default=None)


class Cluster(NamedTuple):
    """Files whose photos were taken near to each other.

    Attributes:
        files: how many.
        latitude: mean, in degrees (WGS 84).
        longitude: mean, in degrees.
        area: the smallest one that holds all of them.
        id: of one of the files.
    """

    files: int
    latitude: float
    longitude: float
    area: Area
    id: str


class PhotoStore(Protocol):
    """Photos of one generation of an index: what a rebuild makes is another generation.

    Reading methods answer from the latest committed state, also while another process writes.
    Writing methods need the index's lock, those of `marks` none. Each raises
    IndexStoreError where the database fails.
    """

    @property
    def location(self) -> Location:
        """Of the index."""
        ...

    def __len__(self) -> int:
        """Files in the index."""
        ...

    # What an update asks and writes.

    def files(self) -> Iterable[FileRow]:
        """All files of the index, of all roots."""
        ...

    def content_sizes(self) -> set[int]:
        """Sizes in bytes of all contents that have an embedding, and perhaps of some others."""
        ...

    def known(self, hashes: Collection[str]) -> set[str]:
        """Those of `hashes` whose contents have an embedding."""
        ...

    def holding(self, hashes: Collection[str]) -> list[FileRow]:
        """Files of all roots that hold one of these contents."""
        ...

    def write(
        self,
        files: Sequence[FileRow],
        contents: Sequence[ContentRow] = (),
        gone: Collection[str] = (),
    ) -> list[str]:
        """Add contents, insert or replace files by path, and remove files, in one atomic step.

        A file's contents are among `contents` or known. Contents that are known already keep
        their embedding.

        Args:
            files: to insert or replace.
            contents: to add.
            gone: paths of files to remove; those that are not there are passed over.

        Returns:
            Paths that were left as they were, because their contents are not known (a store that
            keeps embeddings by file may have lost them to an earlier write).
        """
        ...

    def remove(self, paths: Collection[str]) -> int:
        """Remove files, in one atomic step; returns how many there were."""
        ...

    def finish(self) -> None:
        """Drop contents that no file holds, and bring what makes searches fast up to date."""
        ...

    # What searches and pages ask.

    def nearest(
        self, query: np.ndarray, k: int, filters: Filters | None = None, *, exact: bool = False
    ) -> list[Hit]:
        """Top k files by dot product with the (D,) float32 unit vector `query`, ties by path."""
        ...

    def facts(self, ids: Sequence[str]) -> list[PhotoFacts]:
        """What is known of files, in the order of `ids`; those that are not there are left out."""
        ...

    def embeddings(self, ids: Sequence[str]) -> np.ndarray:
        """(N, D) float32 of the contents of files, in any order; those not there are left out."""
        ...

    def sample(self, most: int) -> np.ndarray:
        """(N, D) float32 of all contents, or of `most` of them at even steps."""
        ...

    def newest(self, k: int, offset: int = 0, filters: Filters | None = None) -> list[PhotoFacts]:
        """Files by the time that they were taken, or else changed, the latest first."""
        ...

    def count(self, filters: Filters | None = None) -> int:
        """Files that meet the filters."""
        ...

    def roots(self) -> dict[str, int]:
        """Folders that were indexed, each with the number of its files, sorted."""
        ...

    def folders(self) -> dict[str, int]:
        """Folders that hold photos directly, each with the number of them, sorted."""
        ...

    def timeline(self, filters: Filters | None = None) -> Timeline:
        """All files that meet the filters, those with a sound date first."""
        ...

    def state(self) -> str:
        """A text that changes with each change that is committed."""
        ...

    def clusters(self, step: float, k: int, filters: Filters | None = None) -> list[Cluster]:
        """Files that say where they were taken, together in each cell of a grid.

        Args:
            step: width and height of a cell in degrees, above 0.
            k: clusters at most, the largest.
            filters: None for all files.
        """
        ...

    def named(self, words: str, k: int, offset: int = 0) -> list[PhotoFacts]:
        """Files whose name or folder has all of the words, each by its beginning, newest first."""
        ...

    def marks(self) -> Marks:
        """What people add: favourites, hidden photos, albums.

        Raises:
            ConfigError: if the index is on object storage, which keeps none.
        """
        ...

    def copies(self) -> Copies:
        """What is there more than once.

        Raises:
            ConfigError: if the index is on object storage.
        """
        ...

    # Sentences that describe photos.

    def sentences(self) -> list[str]:
        """All sentences, in the order they were given in."""
        ...

    def replace_sentences(self, texts: Sequence[str], embeddings: np.ndarray) -> None:
        """Put sentences with (N, D) float32 unit vectors in the place of those before."""
        ...

    def sentence_embeddings(self) -> np.ndarray:
        """(N, D) float32, of `sentences`."""
        ...
