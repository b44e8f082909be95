"""Photos in folders: finding them, and reading one; one in a tar is read the same way."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from user_itr.data.dates import taken_of
from user_itr.data.images import decode_image, find_images
from user_itr.data.reading import IRREGULAR, read_file, require_size
from user_itr.data.webdataset import ArchiveMember
from user_itr.errors import DataError
from user_itr.features.preprocessing import Preprocess

Skipped = tuple[Path, str]
"""A file that was left out, and why."""


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
        require_size(path, photo.size)
        content, mtime_ns = photo.read(), photo.archive_mtime_ns
        if not content:
            raise DataError(f"{path}: is empty; replace or remove the file.")
    else:
        try:
            content, mtime_ns = read_file(photo)
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); check the file."
            ) from error
    return content, Contents(content_hash(content), len(content), mtime_ns)


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
                skipped.append((path, IRREGULAR))
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
