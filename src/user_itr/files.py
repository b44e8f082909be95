"""Files that are there whole or not at all, also after a power cut; reading those of anybody."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to `path`; the file there before stays until the new one is on the disk.

    Raises:
        OSError: if it cannot be written; nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:  # Ctrl-C too
        with suppress(OSError):
            partial.unlink()
        raise
    sync_names(path.parent)


def sync_names(folder: Path) -> None:
    """Bring to the disk which files a folder holds: what was made, renamed or removed in it.

    Raises:
        OSError: if the disk fails.
    """
    if os.name == "nt":  # Windows opens no folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_files(folder: Path) -> None:
    """Bring the files that lie in a folder to the disk, and their names.

    Raises:
        OSError: if the disk is full or fails.
    """
    for file in folder.iterdir():
        with file.open("rb+") as handle:
            os.fsync(handle.fileno())
    sync_names(folder)


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: and nothing else: if it is no JSON, no UTF-8, or nested deeper than Python goes.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def map_array(file: Path, *, scattered: bool = False, copied: bool = False) -> Any:
    """Memory-map what NumPy saved; nothing in the file is executed, whatever it claims to be.

    Args:
        file: to map.
        scattered: rows here and there are read: the system is to read these, and not ahead.
        copied: read the file instead: a process ends that reads what was cut off a mapped one.

    Returns:
        An array that is read as it is used; something else for an archive of arrays.

    Raises:
        OSError: if the file cannot be read.
        ValueError: and nothing else: if it is damaged, cut short, or holds Python objects.
    """
    import numpy as np

    try:
        array = np.load(file, mmap_mode=None if copied else "r", allow_pickle=False)
        pages = getattr(array, "base", None)
        if scattered and isinstance(pages, mmap.mmap) and hasattr(mmap, "MADV_RANDOM"):
            pages.madvise(mmap.MADV_RANDOM)
        return array
    except (OSError, ValueError):
        raise
    except Exception as error:  # a header is Python text: parsing a broken one raises anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"no array as numpy.save writes it: {reason}") from None


def replace_sealed(path: Path, content: bytes) -> None:
    """`replace_file` with the content's SHA-256 before it, for `read_sealed`.

    Raises:
        OSError: if it cannot be written; nothing is left behind.
    """
    replace_file(path, hashlib.sha256(content).digest() + content)


def read_sealed(path: Path) -> bytes | None:
    """What `replace_sealed` wrote; None if nothing is there, or it is not whole."""
    try:
        sealed = path.read_bytes()
    except OSError:
        return None
    seal, content = sealed[:32], sealed[32:]
    return content if hashlib.sha256(content).digest() == seal else None


def hash_files(paths: Sequence[Path]) -> str:
    """SHA-256 of files, 64 hex digits.

    One file gives what `sha256sum` prints for it; several give the SHA-256 of their digests' text,
    joined in the order of the file names.
    """
    digests = []
    for path in sorted(paths, key=lambda path: path.name):
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        digests.append(digest.hexdigest())
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()
