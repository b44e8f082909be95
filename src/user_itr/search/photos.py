"""Photos in folders: finding them, and reading one; one in a tar is read the same way."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from user_itr.data.dates import taken_of
from user_itr.data.images import decode_image
from user_itr.data.reading import read_file, require_size
from user_itr.data.webdataset import ArchiveMember
from user_itr.errors import DataError, UnreadableError
from user_itr.features.preprocessing import Preprocess
from user_itr.search.file_state import settled, state_of
from user_itr.search.store.base import FileState

Skipped = tuple[Path, str]
"""A file that was left out, and why."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file held when it was read.

    Attributes:
        hash: of the bytes; see `content_hash`.
        size: bytes.
        mtime_ns: when it had last been changed.
        ctime_ns: when its inode had last been changed; see `FileState`.
        inode: its number; 0 where that is not stable.
    """

    hash: str
    size: int
    mtime_ns: int
    ctime_ns: int = 0
    inode: int = 0

    @property
    def state(self) -> FileState:
        """What the file system said of the file."""
        return FileState(self.size, self.mtime_ns, self.ctime_ns, self.inode)


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photo, scaled to the network's input: a batch of large photos fits in memory.

    Attributes:
        path: the file, or TAR/MEMBER.
        pixels: as the model's `preprocess` gives them.
        width: pixels of the upright original.
        height: pixels of the upright original.
        taken: when, by the camera's clock, where the file says so; see `taken_of`.
        contents: what was read.
        location: where, as latitude and longitude in degrees (WGS 84), where the file says so.
    """

    path: Path
    pixels: np.ndarray
    width: int
    height: int
    taken: datetime | None
    contents: Contents
    location: tuple[float, float] | None = None


def load_photo(photo: Path | ArchiveMember, preprocess: Preprocess, draft: int | None) -> Photo:
    """Decode a photo as the model's training did; indexed and query photos both come this way.

    Args:
        photo: the file, or the place in a tar, which is read once.
        preprocess: of the model.
        draft: of the model; see `decode_image`.

    Raises:
        DataError: if the file cannot be read or decoded, or the model does not take its shape.
    """
    path = path_of(photo)
    content, read = _read(photo)
    decoded = decode_image(path, draft, content)
    return Photo(
        path,
        preprocess(decoded.image),
        decoded.width,
        decoded.height,
        taken_of(decoded.metadata),
        read,
        decoded.metadata.exif.location,
    )


def path_of(photo: Path | ArchiveMember) -> Path:
    """What a photo is called in messages; for a file, the file."""
    return photo if isinstance(photo, Path) else photo.path


def content_hash(content: bytes) -> str:
    """What tells the contents of files apart: 128 bits of BLAKE2b, 32 hex digits."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def hash_photo(path: Path) -> Contents:
    """What a file holds.

    Raises:
        UnreadableError: if it cannot be read.
        DataError: if it holds no photo, by its size or kind.
    """
    return _read(path)[1]


def _read(photo: Path | ArchiveMember) -> tuple[bytes, Contents]:
    path = path_of(photo)
    if isinstance(photo, ArchiveMember):
        require_size(path, photo.size)
        content = photo.read()
        if not content:
            raise DataError(f"{path}: is empty; replace or remove the file.")
        state = FileState(len(content), photo.archive_mtime_ns)
    else:
        try:
            content, status = read_file(photo)
        except OSError as error:
            raise UnreadableError(
                f"{path}: cannot be read ({error.strerror}); check the file."
            ) from error
        state = settled(state_of(status), time.time_ns())
    return content, Contents(content_hash(content), len(content), *state[1:])
