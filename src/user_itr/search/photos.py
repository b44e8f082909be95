"""Photos in folders: finding them, and reading one; one in a tar is read the same way."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from user_itr.data.images import load_image, open_image
from user_itr.data.webdataset import ArchiveMember
from user_itr.errors import DataError, UnreadableError
from user_itr.features.preprocessing import Preprocess
from user_itr.search.file_state import settled, state_of
from user_itr.search.store.base import FileState

Skipped = tuple[Path, str]
"""A file that was left out, and why."""

MAX_BYTES = 1 << 30
"""Larger files are refused before they are read."""


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
        taken: when, by the camera's clock (EXIF), where it says so; that of a PNG only where it
            stands before the pixels.
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
        draft: of the model; see `load_image`.

    Raises:
        DataError: if the file cannot be read or decoded, or the model does not take its shape.
    """
    path = path_of(photo)
    content, read = _read(photo)
    image = load_image(path, draft, content)
    width, height, taken = _facts(path, content, image)
    return Photo(path, preprocess(image), width, height, taken, read)


def path_of(photo: Path | ArchiveMember) -> Path:
    """What a photo is called in messages; for a file, the file."""
    return photo if isinstance(photo, Path) else photo.path


def content_hash(content: bytes) -> str:
    """What tells the contents of files apart: 128 bits of BLAKE2b, 32 hex digits."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def photo_id(path: str) -> str:
    """The id of an indexed photo, from its path: 64 bits of BLAKE2b, 16 hex digits."""
    return hashlib.blake2b(path.encode(), digest_size=8).hexdigest()


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
        _refuse_huge(path, photo.size)
        content = photo.read()
        state = FileState(len(content), photo.archive_mtime_ns)
    else:
        try:
            with open(photo, "rb", opener=_without_waiting) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise DataError(f"{path}: {_IRREGULAR}")
                _refuse_huge(path, status.st_size)
                content = file.read(MAX_BYTES)
        except OSError as error:
            raise UnreadableError(
                f"{path}: cannot be read ({error.strerror}); check the file."
            ) from error
        state = settled(state_of(status), time.time_ns())
    if not content:
        raise DataError(f"{path}: is empty; replace or remove the file.")
    return content, Contents(
        content_hash(content), len(content), state.mtime_ns, state.ctime_ns, state.inode
    )


def _refuse_huge(path: Path, size: int) -> None:
    if size > MAX_BYTES:
        raise DataError(
            f"{path}: {size:,} bytes is over the limit of {MAX_BYTES:,}; scale the image down "
            "first."
        )


_IRREGULAR = "is no regular file; give an image file."


def _without_waiting(path: str, flags: int) -> int:
    """Open a pipe without waiting for somebody to write into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _facts(path: Path, content: bytes, decoded: Image.Image) -> tuple[int, int, datetime | None]:
    """Width and height of the upright original, and when it was taken."""
    width, height = decoded.size
    taken = None
    with suppress(Exception), open_image(path, content) as header:  # it decoded: all else is extra
        exif = header.getexif()
        if header.format in ("JPEG", "MPO"):  # only these decode to a smaller size
            width, height = header.size
            if exif.get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8):
                width, height = height, width
        camera = exif.get_ifd(ExifTags.IFD.Exif)
        written = camera.get(ExifTags.Base.DateTimeOriginal) or camera.get(
            ExifTags.Base.DateTimeDigitized
        )
        taken = datetime.strptime(str(written).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    return width, height, taken
