"""Pictures as bytes, with any EXIF, sound or not."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SIGNED_RATIONAL = 1, 2, 3, 4, 5, 7, 10
ORIENTATION, DATE_TIME, ORIGINAL, DIGITIZED = 274, 306, 36867, 36868
Tag = tuple[int, int, int, bytes]
"""Number, type, count and value (little-endian)."""


def text(tag: int, value: str | bytes) -> Tag:
    value = value.encode() if isinstance(value, str) else value
    return tag, ASCII, len(value) + 1, value + b"\0"


def short(tag: int, value: int) -> Tag:
    return tag, SHORT, 1, struct.pack("<H", value)


def rationals(tag: int, *parts: tuple[int, int], signed: bool = False) -> Tag:
    numbers = [number for part in parts for number in part]
    kind, letter = (SIGNED_RATIONAL, "i") if signed else (RATIONAL, "I")
    return tag, kind, len(parts), struct.pack(f"<{len(numbers)}{letter}", *numbers)


def exif(
    image: Sequence[Tag] = (), camera: Sequence[Tag] | None = None, gps: Sequence[Tag] | None = None
) -> bytes:
    """A TIFF structure without pixels, whatever the values are."""
    first = list(image)
    directories: list[list[Tag]] = [first]
    pointers: dict[int, int] = {}
    for pointer, tags in ((0x8769, camera), (0x8825, gps)):
        if tags is not None:
            first.append((pointer, LONG, 1, b""))
            pointers[pointer] = len(directories)
            directories.append(list(tags))
    first.sort(key=lambda tag: tag[0])
    places = [8]
    for tags in directories:
        places.append(places[-1] + 6 + 12 * len(tags))
    end, head, body = places.pop(), b"", b""
    for tags in directories:
        head += struct.pack("<H", len(tags))
        for tag, kind, count, value in tags:
            if tags is first and tag in pointers:
                value = struct.pack("<I", places[pointers[tag]])
            if len(value) > 4:
                value, body = struct.pack("<I", end + len(body)), body + value
            head += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
        head += bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + head + body


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def blocks(width: int = 60, height: int = 40, seed: int = 0) -> Image.Image:
    """Coloured fields, the same for the same seed."""
    fields = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(fields).resize((width, height), Image.Resampling.NEAREST)


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def jpeg(*segments: bytes, image: Image.Image | None = None) -> bytes:
    """A JPEG with segments behind its first two bytes."""
    plain = encoded(image or blocks(), "JPEG", quality=95)
    return plain[:2] + b"".join(segments) + plain[2:]


def jpeg_with_exif(tags: bytes) -> bytes:
    return jpeg(segment(0xE1, b"Exif\0\0" + tags))


def chunk(kind: bytes, content: bytes, check: int | None = None) -> bytes:
    crc = zlib.crc32(kind + content) if check is None else check
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def png(*chunks: bytes, image: Image.Image | None = None) -> bytes:
    """A PNG with chunks behind its header."""
    plain = encoded(image or blocks(), "PNG")
    return plain[:33] + b"".join(chunks) + plain[33:]


def webp(tags: bytes) -> bytes:
    return encoded(blocks(), "WEBP", lossless=True, exif=tags)


def xmp(body: str) -> bytes:
    """XMP of one description, whose attributes or elements are given."""
    attributes, _, elements = body.partition("|")
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
        f'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" {attributes}>{elements}'
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()
