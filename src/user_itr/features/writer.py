"""Writing a feature store batch by batch, so that a killed run continues where it stopped.

Until the store is finished its folder holds `features.npy.partial` (a npy header, then the rows of
the complete batches) and `progress.json` (how many those are). Rows reach the disk before the
progress that counts them, so a kill or a power cut at any moment costs one batch at most. One
process at a time writes a store: it holds `.lock`, which goes when the store is finished.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Literal

import filelock
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from user_itr.errors import FeatureError
from user_itr.features.backbones.base import hash_files
from user_itr.features.store import (
    ARRAY_FILE,
    MANIFEST_FILE,
    PROGRESS_FILE,
    FeatureManifest,
    SkippedImage,
    write_json,
)
from user_itr.files import parse_json, sync_names

PARTIAL_FILE = ARRAY_FILE + ".partial"
LOCK_FILE = ".lock"
FORMAT_VERSION = 1
"""Of an unfinished store."""


class Progress(BaseModel):
    """How far an unfinished extraction is, and of which request.

    `threads` is what it computes with: sums of another order have other last bits, so a run goes on
    with the number of threads that it began with.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    fingerprint: str
    created_with: dict[str, str]
    threads: int = Field(gt=0)
    batches: int = 0
    rows: int = 0
    skipped: tuple[SkippedImage, ...] = ()


class StoreWriter:
    """Appends batches to an unfinished store, or continues one of the same request.

    Use it as a context manager: leaving it keeps what was written, finished or not.

    Args:
        folder: the store's folder; made where it is not there.
        fingerprint: names the request; an unfinished run of another request is not continued.
        created_with: versions of the programs that decide the features' last bits.
        threads: what a fresh run computes with; a continued one has its own in `progress`.
        regions: K.
        width: d.
        overwrite: drop an unfinished run of another request, and replace a finished store.

    Raises:
        FeatureError: if the folder holds an unfinished run of another request, an array that no
            manifest describes, or another process is writing to it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fingerprint: str,
        created_with: dict[str, str],
        threads: int,
        regions: int,
        width: int,
        overwrite: bool = False,
    ) -> None:
        self.folder = folder
        self.regions = regions
        self.width = width
        self._partial = folder / PARTIAL_FILE
        self._progress_file = folder / PROGRESS_FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise FeatureError(f"{folder}: is no folder; give a folder for the store.") from None
        except OSError as error:
            raise FeatureError(
                f"{folder}: cannot be made ({error.strerror}); give a folder in a place that you "
                "may write to."
            ) from error
        fresh = Progress(fingerprint=fingerprint, created_with=created_with, threads=threads)
        self._lock = _locked(folder)
        try:
            self._handle = self._open(overwrite)
        except BaseException:
            self._unlock()
            raise
        try:
            with self._disk_errors():
                self.progress = self._resume(fresh, overwrite)
        except BaseException:
            self._close()
            raise

    def _open(self, overwrite: bool) -> io.FileIO:
        array = self.folder / ARRAY_FILE
        finished = (self.folder / MANIFEST_FILE).exists()
        unfinished = self._progress_file.exists()
        if finished and not overwrite:
            raise FeatureError(
                f"{self.folder}: another process has finished this store meanwhile; run the same "
                "command again to use it."
            )
        if array.exists() and not unfinished and not overwrite:
            raise FeatureError(
                f"{array}: is in the way and no {MANIFEST_FILE} tells what it holds; give another "
                "folder or --overwrite."
            )
        if unfinished and not finished and array.exists() and not self._partial.exists():
            array.replace(self._partial)  # killed between the two last steps of `finish`
        return self._partial.open("ab+", buffering=0)

    def _close(self) -> None:
        self._handle.close()
        self._unlock()

    def _unlock(self) -> None:
        if not self._progress_file.exists():  # a finished store is two files and nothing else
            with suppress(OSError):
                (self.folder / LOCK_FILE).unlink()
        self._lock.release()

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def _resume(self, fresh: Progress, overwrite: bool) -> Progress:
        begun = self._read_progress()
        if begun is not None and begun.rows and not overwrite:
            if begun.fingerprint != fresh.fingerprint:
                raise FeatureError(
                    f"{self.folder}: holds an unfinished extraction with another backbone, other "
                    "images or another batch size; give another folder or --overwrite."
                )
            if begun.created_with != fresh.created_with:
                raise FeatureError(
                    f"{self.folder}: holds an extraction begun with {_versions(begun)}, and this "
                    f"is {_versions(fresh)}; give another folder or --overwrite."
                )
        header = len(self._header(0))
        size = self._partial.stat().st_size
        same = begun is not None and (begun.fingerprint, begun.created_with) == (
            fresh.fingerprint,
            fresh.created_with,
        )
        if begun is None or not same or size < header + begun.rows * self._row_bytes:
            begun = fresh
            self._handle.truncate(0)
            self._write(self._header(0))
            write_json(self._progress_file, begun)
        self._handle.truncate(header + begun.rows * self._row_bytes)
        return begun

    def _read_progress(self) -> Progress | None:
        try:
            content = parse_json(self._progress_file.read_bytes().decode())
            version = content.get("format_version") if isinstance(content, dict) else None
            if isinstance(version, int) and version > FORMAT_VERSION:
                raise FeatureError(
                    f"{self._progress_file}: has format version {version}, this release reads up "
                    f"to {FORMAT_VERSION}; upgrade user-itr, or give another folder."
                )
            return Progress.model_validate(content)
        except (OSError, ValueError):  # pydantic's errors are ValueErrors
            return None

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:  # an unbuffered file may take a part only
            view = view[self._handle.write(view) :]

    @property
    def _row_bytes(self) -> int:
        return 2 * self.regions * self.width

    def _header(self, rows: int) -> bytes:
        # numpy leaves room for the row count to grow, so every count gives the same length
        buffer = io.BytesIO()
        shape = (rows, self.regions, self.width)
        np.lib.format.write_array_header_1_0(
            buffer, {"descr": "<f2", "fortran_order": False, "shape": shape}
        )
        return buffer.getvalue()

    def append(self, features: np.ndarray, skipped: Iterable[SkippedImage]) -> None:
        """Write one complete batch and record it.

        Args:
            features: (n, K, d) float16, the batch's decodable images in order.
            skipped: its other images.

        Raises:
            FeatureError: if the disk is full or fails; what was recorded before stays usable.
        """
        with self._disk_errors():
            self._write(np.ascontiguousarray(features, "<f2").tobytes())
            os.fsync(self._handle.fileno())
            self.progress = self.progress.model_copy(
                update={
                    "batches": self.progress.batches + 1,
                    "rows": self.progress.rows + len(features),
                    "skipped": (*self.progress.skipped, *skipped),
                }
            )
            write_json(self._progress_file, self.progress)

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FeatureError(
                f"{self.folder}: cannot be written ({error.strerror}); make room and run the same "
                "command again, it continues where it stopped."
            ) from error

    def finish(self, manifest: FeatureManifest) -> None:
        """Turn the partial array into the store: array first, manifest last.

        Args:
            manifest: the store's manifest; its `features_sha256` is filled in here.

        Raises:
            FeatureError: as `append` does.
        """
        with self._disk_errors():
            with self._partial.open("rb+") as handle:
                handle.write(self._header(self.progress.rows))
                handle.flush()
                os.fsync(handle.fileno())
            digest = hash_files([self._partial])
            self._handle.close()
            # an old manifest must never describe the new array
            (self.folder / MANIFEST_FILE).unlink(missing_ok=True)
            sync_names(self.folder)
            self._partial.replace(self.folder / ARRAY_FILE)
            sync_names(self.folder)
            write_json(
                self.folder / MANIFEST_FILE, manifest.model_copy(update={"features_sha256": digest})
            )
            self._progress_file.unlink(missing_ok=True)


def drop_leftovers(folder: Path) -> None:
    """Remove what a run leaves beside a finished store when it is killed in its very last step."""
    leftovers = [folder / name for name in (PROGRESS_FILE, LOCK_FILE)]
    if not any(file.exists() for file in leftovers):
        return
    # Whoever holds the lock, or has begun, is about to replace the store.
    with suppress(filelock.Timeout, OSError), filelock.FileLock(folder / LOCK_FILE, timeout=0):
        if not (folder / PARTIAL_FILE).exists():
            for file in leftovers:
                file.unlink(missing_ok=True)


def _versions(progress: Progress) -> str:
    return ", ".join(f"{name} {version}" for name, version in progress.created_with.items())


def _locked(folder: Path) -> filelock.BaseFileLock:
    lock = filelock.FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise FeatureError(
            f"{folder}: another process is extracting into this folder; wait for it or give "
            "another folder."
        ) from None
    except OSError as error:
        raise FeatureError(
            f"{folder}: cannot be written ({error.strerror}); give a folder in a place that you "
            "may write to."
        ) from error
    return lock
