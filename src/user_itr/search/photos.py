"""Photos in folders: finding them, and reading one; one in a tar is read the same way."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from user_itr.data.images import find_images, load_image, open_image
from user_itr.data.webdataset import ArchiveMember
from user_itr.errors import DataError
from user_itr.features.preprocessing import Preprocess

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
    """

    hash: str
    size: int
    mtime_ns: int


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
    """

    path: Path
    pixels: np.ndarray
    width: int
    height: int
    taken: datetime | None
    contents: Contents


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


def hash_photo(path: Path) -> Contents | None:
    """What a file holds; None if it cannot be read."""
    try:
        return _read(path)[1]
    except DataError:
        return None


def _read(photo: Path | ArchiveMember) -> tuple[bytes, Contents]:
    path = path_of(photo)
    if isinstance(photo, ArchiveMember):
        _refuse_huge(path, photo.size)
        content, mtime_ns = photo.read(), photo.archive_mtime_ns
    else:
        try:
            with open(photo, "rb", opener=_without_waiting) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise DataError(f"{path}: {_IRREGULAR}")
                _refuse_huge(path, status.st_size)
                content, mtime_ns = file.read(MAX_BYTES), status.st_mtime_ns
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); check the file."
            ) from error
    if not content:
        raise DataError(f"{path}: is empty; replace or remove the file.")
    return content, Contents(content_hash(content), len(content), mtime_ns)


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


def scan(folder: Path) -> tuple[dict[str, tuple[int, int]], list[Skipped]]:
    """Every image file below `folder` as path -> (bytes, mtime in ns), and the ones left out.

    Raises:
        DataError: if `folder` is no directory.
    """
    files: dict[str, tuple[int, int]] = {}
    skipped: list[Skipped] = []
    for path in find_images(folder):
        try:
            os.fspath(path).encode()
            status = path.stat()
        except UnicodeEncodeError:
            skipped.append((path, "its name is not valid UTF-8; rename the file."))
        except OSError as error:
            skipped.append((path, f"cannot be read ({error.strerror}); check the file."))
        else:
            if stat.S_ISREG(status.st_mode):
                files[os.fspath(path)] = (status.st_size, status.st_mtime_ns)
            else:
                skipped.append((path, _IRREGULAR))
    return files, skipped


def unlistable_folders(paths: Sequence[str]) -> dict[str, str]:
    """The parent folders of `paths` that exist but cannot be listed, each with the reason.

    A walk passes over such a folder in silence, so what it holds must not be taken for deleted.
    """
    refused: dict[str, str] = {}
    for parent in {os.path.dirname(path) for path in paths}:  # noqa: PTH120
        try:
            os.scandir(parent).close()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            refused[parent] = f"cannot be listed ({error.strerror}); its photos stay in the index."
    return refused


def outermost_with_images(folders: Iterable[Path], allow_empty: bool) -> list[Path]:
    """The folders to go through so that all of `folders` are, none inside another, sorted.

    Folders that are missing or hold no images are left out with `allow_empty`.

    Raises:
        DataError: if there is one and `allow_empty` is false.
    """
    wanted = {folder.resolve() for folder in folders}
    found = []
    for folder in sorted(wanted):
        if not wanted.isdisjoint(folder.parents):
            continue
        if folder.is_dir() and next(find_images(folder), None) is not None:
            found.append(folder)
        elif not allow_empty:
            raise DataError(
                f"{folder}: is missing or holds no images; mount the disk it is on, or let its "
                "photos leave the index with --allow-empty (allow_empty=True)."
            )
    return found
