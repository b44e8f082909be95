"""Files that are there whole or not at all."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to `path`; the file there before stays until the new one is whole.

    Raises:
        OSError: if it cannot be written; nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise


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
