"""Files in the shapes that the cases break: sound ones first, and how to spoil them."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

DEEP = 100_000
"""Brackets inside of each other: more than any parser that calls itself can follow."""

DIGITS = "9" * 5_000
"""More than Python turns into a number."""


def png(size: tuple[int, int] = (2, 2), mode: str = "RGB", **options: Any) -> bytes:
    return encoded(Image.new(mode, size), "PNG", **options)


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def put(root: Path, name: str, content: bytes | str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def images(root: Path, *names: str) -> None:
    for name in names or ("a.png", "b.png"):
        put(root, f"images/{name}", png())


def chunk(kind: bytes, content: bytes) -> bytes:
    length, check = struct.pack(">I", len(content)), zlib.crc32(kind + content)
    return length + kind + content + struct.pack(">I", check)


def png_header(width: int, height: int, *more: bytes) -> bytes:
    """A PNG that claims a size and has no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    rest = chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return signature + chunk(b"IHDR", header) + b"".join(more) + rest


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npy_header(header: str, content: bytes = b"") -> bytes:
    """A `.npy` file of version 1 whose header is any text."""
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.marker), "w")


def pickled_npy(marker: Path) -> bytes:
    """A `.npy` file of one Python object, which makes the file `marker` when it is unpickled."""
    header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    return npy_header(header, pickle.dumps([Touch(marker)]))


def bombed_yaml(levels: int = 30) -> str:
    """Nine aliases of nine aliases, and so on: small as text, 9^30 values unfolded."""
    lines = ["a0: &a0 [x, x, x]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    return "\n".join(lines) + "\n"


def safetensors(header: dict[str, Any] | bytes, content: bytes, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + content
