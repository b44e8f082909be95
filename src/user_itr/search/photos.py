"""Photos on their way to the encoder: found below a folder, decoded ahead by worker threads."""

from __future__ import annotations

import itertools
import os
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from user_itr.data.images import find_images, load_image
from user_itr.errors import DataError
from user_itr.search.encoder import Encoder

Skipped = tuple[Path, str]
"""A file that was left out, and why."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photo, scaled to the network's input: a batch of large photos fits in memory.

    Attributes:
        path: the file.
        pixels: as `Encoder.preprocess` gives them.
        width: pixels of the upright original.
        height: pixels of the upright original.
    """

    path: Path
    pixels: np.ndarray
    width: int
    height: int


def load_photo(path: Path, encoder: Encoder) -> Photo:
    """Decode a photo as the model's training did; indexed and query photos both come this way.

    Raises:
        DataError: if the file cannot be read or decoded, or the model does not take its shape.
    """
    image = load_image(path, draft=encoder.draft)
    try:
        width, height = _upright_size(path, image)
    except OSError as error:
        raise DataError(f"{path}: vanished while it was read ({error}); try again.") from error
    return Photo(path, encoder.preprocess(image), width, height)


def _upright_size(path: Path, decoded: Image.Image) -> tuple[int, int]:
    with Image.open(path) as header:
        if header.format not in ("JPEG", "MPO"):  # only these decode to a smaller size
            return decoded.size
        width, height = header.size
        on_its_side = header.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        return (height, width) if on_its_side else (width, height)


def decode_ahead(
    paths: Sequence[Path], encoder: Encoder, batch_size: int, workers: int
) -> Generator[tuple[list[Photo], list[Skipped]], None, None]:
    """Decode photos in `workers` threads, at most two batches ahead of the consumer.

    Yields:
        For each `batch_size` paths, in order: the decoded photos and the skipped files.
    """
    if paths:
        _ = encoder.draft  # a model that loads on its first use does so before the threads start
    waiting = iter(paths)
    ahead: deque[tuple[Path, Future[Photo]]] = deque()
    with warnings.catch_warnings():  # load_image's own catch_warnings may interleave over threads
        pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        try:
            while True:
                for path in itertools.islice(waiting, 2 * batch_size - len(ahead)):
                    ahead.append((path, pool.submit(load_photo, path, encoder)))
                if not ahead:
                    return
                photos: list[Photo] = []
                skipped: list[Skipped] = []
                for _ in range(min(batch_size, len(ahead))):
                    path, future = ahead.popleft()
                    try:
                        photos.append(future.result())
                    except DataError as error:
                        skipped.append((path, str(error).removeprefix(f"{path}: ")))
                yield photos, skipped
        finally:
            pool.shutdown(cancel_futures=True)


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
            files[os.fspath(path)] = (status.st_size, status.st_mtime_ns)
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
