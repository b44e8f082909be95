"""A process that decodes pictures for the server: what `decoding.Decoders` starts.

It reads a message from its input and writes one to its output: the length of a JSON object and
that of the bytes after it, the object, the bytes. The server unpickles nothing, so that a decoder
which a picture took over cannot reach it by its answer.
"""

from __future__ import annotations

import base64
import io
import json
import os
import pickle  # nosec B403 # what the server says, and nothing of a picture
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

LENGTHS = struct.Struct("<QQ")

QUALITY = 82

KEPT_BYTES = 100_000_000
"""Memory that the process may hold between two pictures; with more it ends, and gives it back."""


def send(stream: BinaryIO, fields: dict[str, Any], content: bytes = b"") -> None:
    """Write a message."""
    text = json.dumps(fields).encode()
    stream.write(LENGTHS.pack(len(text), len(content)))
    stream.write(text)
    stream.write(content)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """Read a message; None where the other side is gone."""
    lengths = stream.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    text, content = LENGTHS.unpack(lengths)
    fields = stream.read(text)
    given = stream.read(content)
    if len(fields) < text or len(given) < content:
        return None
    return json.loads(fields), given


def answer(asked: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
    """What is said to a message: {"size": ...} or {"error": sentence}, and the picture's bytes.

    Args:
        asked: `name` of the picture; and `height`, for a JPEG at most as high and four times as
            wide; or `pixels`, which the picture may have at most, and `draft`, for its RGB bytes;
            with `preprocess`, the server's pickle of that in base64, for the array that it
            gives, as NumPy saves it.
        content: the file.
    """
    from user_itr.errors import DataError

    name = Path(asked["name"])
    try:
        if "height" in asked:
            return _thumbnail(name, content, asked["height"])
        return _pixels(name, content, asked)
    except (DataError, MemoryError) as error:
        return {"error": str(error) or f"{name}: needs too much memory; scale it down."}, b""


def _thumbnail(name: Path, content: bytes, height: int) -> tuple[dict[str, Any], bytes]:
    from user_itr.data.images import load_image

    image = load_image(name, draft=2 * height, content=content)
    image.thumbnail((4 * height, height))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, progressive=True, optimize=True)
    return {"size": image.size}, buffer.getvalue()


def _pixels(name: Path, content: bytes, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    from user_itr.data.images import load_image, open_image
    from user_itr.errors import DataError

    label, most = name.stem, asked["pixels"]
    try:
        with open_image(name, content) as header:
            pixels = header.width * header.height
    except DataError:
        raise
    except Exception:  # Pillow's parsers raise nearly anything on damaged input
        raise DataError(
            f"{label}: is no picture that can be read; send a JPEG, PNG or WebP."
        ) from None
    if pixels > most:
        raise DataError(f"{label}: {pixels:,} pixels is over the limit of {most:,}; scale it down.")
    image = load_image(name, asked["draft"], content)
    if "preprocess" not in asked:
        return {"size": image.size}, image.tobytes()
    import numpy as np

    array = pickle.loads(base64.b64decode(asked["preprocess"]))(image)  # nosec B301 # the server's
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return {"size": image.size}, buffer.getvalue()


def main() -> None:
    """Answer messages until the server is gone, or much memory is held."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    with suppress(ImportError, ValueError, OSError):
        import resource

        most = int(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import user_itr.data.images  # noqa: F401 # while nobody waits for it

    while (message := receive(source)) is not None:
        fields, content = answer(*message)
        ends = _held() > KEPT_BYTES
        try:
            send(sink, {**fields, "ends": ends}, content)
        except OSError:
            return
        if ends:
            return


def _held() -> float:
    """Bytes of memory that this process holds; infinite where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * float(os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, IndexError, AttributeError):
        return float("inf")
