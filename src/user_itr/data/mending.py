"""Damaged files made such that decoders take them: the same pixels without what is broken.

Viewers show a picture whatever stands in its metadata, without its end mark, and with bytes before
it; Pillow and the libraries below it refuse some of these. A file that they refuse is written anew
in memory, with what the pixels need and nothing else:

- **Metadata** of JPEG, PNG, WebP, TIFF, HEIC and AVIF is left out, and the checksums of PNG made
  right.
- **A file cut short** is taken where at least `LEAST_SHARE` of the picture is there: rows of a
  JPEG or PNG, bytes of a TIFF or BMP; the rest is grey or black. A file with less is a copy that
  was broken off, and is refused, so that somebody hears of it. Other formats need all their pixels,
  as they do in viewers; what stands behind the pixels may be missing.
- **Bytes before** the picture, at most `MOST_BEFORE`, are left out.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from user_itr.data.deep_tiff import unpack_deep_tiff
from user_itr.data.exif import PREFIX, Exif
from user_itr.data.metadata import PNG, png_chunks

LEAST_SHARE = 0.75
"""Of a picture, for it to be taken although its file was cut short."""

MOST_BEFORE = 1_024
"""Bytes before a picture's first."""

_JPEG_END = b"\xff\xd9"
_MORE = b"\x5a\xa5\x3c" * 200
_FIRST_BYTES = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|II\*\0|MM\0\*"
    rb"|\0\0\0.ftyp(?:heic|heix|mif1|msf1|avif)",
    re.DOTALL,
)
_OTHER_FILES = (b"%", b"<", b"8BPS", b"ID3", b"RIFF", b"PK")
"""First bytes of other files that may hold a picture: PDF, SVG, music, archives."""

_WEBP_PIXELS = frozenset((b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"))
_TIFF_TAGS = frozenset(
    {
        *(254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320),
        *(322, 323, 324, 325, 338, 339, 340, 341, 347, 512, 513, 514, 530, 532),
    }
)
"""What the pixels of a TIFF need, and their orientation."""


@dataclass(frozen=True)
class Mended:
    """A file made anew.

    Attributes:
        content: the file.
        exif: what the damaged file had as EXIF.
        xmp: what it had as XMP.
        cut: whether the end of the picture may be missing; see `require_share`.
    """

    content: bytes
    exif: bytes = b""
    xmp: bytes = b""
    cut: bool = False


def mended(content: bytes, most_pixels: int) -> Iterator[Mended]:
    """What a file that was refused may stand for, the most faithful first.

    Args:
        content: the file.
        most_pixels: pictures of more are not unpacked.
    """
    if content.startswith(b"\xff\xd8"):
        yield _mended_jpeg(content)
    elif content.startswith(PNG):
        yield from _mended_png(content, most_pixels)
    elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        yield _mended_webp(content)
    elif content[4:8] == b"ftyp":
        yield Mended(_without_items(content))
    elif content[:4] in (b"II*\0", b"MM\0*"):
        bare = _bare_tiff(content)
        yield Mended(bare, content)
        yield Mended(_padded(bare), content)
        if (image := unpack_deep_tiff(content, most_pixels)) is not None:
            stream = io.BytesIO()
            image.save(stream, "PNG", compress_level=0)
            yield Mended(stream.getvalue(), content)
    elif content.startswith(b"BM"):
        yield Mended(_padded(content))
    elif not content.startswith(_OTHER_FILES):
        for found in _FIRST_BYTES.finditer(content, 1, MOST_BEFORE + 16):
            yield Mended(content[found.start() :])
            yield from mended(content[found.start() :], most_pixels)


class CutShortError(OSError):
    """Too little of a picture is there."""


def require_share(image: Image.Image, content: bytes) -> None:
    """Refuse a JPEG, as its pixels lie, of which less than `LEAST_SHARE` was there.

    Decoders fill the rows that are missing with middle grey. A picture that is grey itself is told
    from one that is cut by bytes put behind it: they change the pixels of the latter alone.

    Args:
        image: the picture, decoded.
        content: the file that it was decoded from, which ends with the end mark.

    Raises:
        CutShortError: if it is less.
    """
    pixels = np.asarray(image)
    missing = np.isin(pixels, (127, 128)).reshape(len(pixels), -1).all(1)
    there = np.flatnonzero(~missing)
    share = (there[-1] + 1) / len(pixels) if len(there) else 0.0
    if share < LEAST_SHARE and not _ends_by_itself(content):
        raise CutShortError(f"cut short, with {share:.0%} of its rows there")


def _ends_by_itself(content: bytes) -> bool:
    decoded: list[bytes] = []
    for more in (b"", _MORE):
        stream = io.BytesIO(content.removesuffix(_JPEG_END) + more + _JPEG_END)
        with Image.open(stream, formats=["JPEG"]) as image:
            decoded.append(image.tobytes())
    return decoded[0] == decoded[1]


def _mended_jpeg(content: bytes) -> Mended:
    kept, exif, xmp = [content[:2]], b"", b""
    place = 2
    while (place := content.find(b"\xff", place)) >= 0 and place + 4 <= len(content):
        kind = content[place + 1]
        if kind in (0x00, 0x01, 0xFF) or 0xD0 <= kind <= 0xD8:  # these have no length
            place += 1 if kind == 0xFF else 2
            continue
        if kind == 0xDA:  # the pixels, and whatever follows
            kept.append(content[place:])
            break
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        segment = content[place + 4 : end]
        if end > len(content) or end < place + 4:
            place += 2
            continue
        if kind == 0xE1 and segment.startswith(PREFIX):
            exif += segment.removeprefix(PREFIX)
        elif kind == 0xE1 and segment.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            xmp = segment.split(b"\0", 1)[1]
        elif _shapes_pixels(kind, segment):
            kept.append(content[place:end])
        place = end
    whole = b"".join(kept)
    cut = not whole.rstrip(b"\0").endswith(_JPEG_END)
    return Mended(whole + _JPEG_END, exif, xmp, cut)


def _shapes_pixels(kind: int, segment: bytes) -> bool:
    """Whether a JPEG's segment does; of the metadata, Adobe's says what the colours are."""
    if kind == 0xEE:
        return segment.startswith(b"Adobe") and len(segment) >= 12
    return not (0xE0 <= kind <= 0xEF or kind == 0xFE)


def _mended_png(content: bytes, most_pixels: int) -> Iterator[Mended]:
    kept: dict[bytes, bytes] = {}
    exif = xmp = b""
    for kind, data in png_chunks(content):
        if kind in (b"IHDR", b"PLTE", b"tRNS"):
            kept.setdefault(kind, data)
        elif kind == b"IDAT":
            kept[kind] = kept.get(kind, b"") + data
        elif kind == b"eXIf":
            exif = data
        elif kind == b"iTXt" and data.startswith(b"XML:com.adobe.xmp\0\0"):
            xmp = data.split(b"\0", 5)[-1]
    if len(kept.get(b"IHDR", b"")) != 13 or b"IDAT" not in kept:
        return
    yield Mended(_png(kept), exif, xmp)
    if b"tRNS" in kept:
        opaque = {kind: data for kind, data in kept.items() if kind != b"tRNS"}
        yield Mended(_png(opaque), exif, xmp)
    wanted = _png_bytes(kept[b"IHDR"], most_pixels)
    unpacked = _unpacked(kept[b"IDAT"], wanted)
    if wanted and LEAST_SHARE * wanted <= len(unpacked):
        kept[b"IDAT"] = zlib.compress(unpacked.ljust(wanted, b"\0"), 1)
        yield Mended(_png(kept), exif, xmp)


def _png(chunks: dict[bytes, bytes]) -> bytes:
    order = [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"]
    parts = [PNG]
    for kind in order:
        if kind in chunks or kind == b"IEND":
            data = chunks.get(kind, b"")
            check = zlib.crc32(data, zlib.crc32(kind))
            parts += [struct.pack(">I", len(data)), kind, data, struct.pack(">I", check)]
    return b"".join(parts)


def _png_bytes(header: bytes, most_pixels: int) -> int:
    """How many bytes the rows of a PNG have (ISO 15948, 7.2 and 8); 0 if it is over the limit."""
    width, height, depth, colours, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colours, 0)
    if not channels or not 0 < width * height <= most_pixels:
        return 0
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [
            *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
            *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
        ]
    total = 0
    for x, y, across, down in passes:
        columns, rows = -(-(width - x) // across), -(-(height - y) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * channels * depth + 7) // 8)
    return total


def _unpacked(packed: bytes, wanted: int) -> bytes:
    """As much as can be had, at most `wanted` bytes."""
    unpacker, parts, size = zlib.decompressobj(), [], 0
    try:
        for place in range(0, len(packed), 4_096):
            parts.append(unpacker.decompress(packed[place : place + 4_096], wanted - size))
            size += len(parts[-1])
            if size >= wanted:
                break
    except zlib.error:
        pass
    return b"".join(parts)[:wanted]


def _mended_webp(content: bytes) -> Mended:
    kept, dropped = [], {b"EXIF": b"", b"XMP ": b"", b"ICCP": b""}
    place = 12
    while place + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, place)
        data = content[place + 8 : place + 8 + length]
        if kind in dropped:
            dropped[kind] = data
        elif kind == b"VP8X" and len(data) == 10:
            kept.append(content[place : place + 8] + bytes([data[0] & ~0x2C]) + data[1:])
        elif kind in _WEBP_PIXELS:
            kept.append(content[place : place + 8] + data + b"\0" * (length % 2))
        place += 8 + length + length % 2
    body = b"WEBP" + b"".join(kept)
    return Mended(b"RIFF" + struct.pack("<I", len(body)) + body, dropped[b"EXIF"], dropped[b"XMP "])


def _without_items(content: bytes) -> bytes:
    """A HEIC or AVIF whose EXIF and XMP are items of a type that nobody reads."""
    found = bytearray(content)
    place = 0
    while (place := content.find(b"infe", place)) >= 0:
        for kind in (b"Exif", b"mime"):
            at = content.find(kind, place + 4, place + 24)
            if at >= 0:
                found[at : at + 4] = b"skip"
        place += 4
    return bytes(found)


def _bare_tiff(content: bytes) -> bytes:
    """A TIFF of one page that has the tags of `_TIFF_TAGS` alone, the directory where it was."""
    order = "<" if content.startswith(b"II") else ">"
    with_all = bytearray(content)
    try:
        (start,) = struct.unpack_from(order + "I", content, 4)
        (count,) = struct.unpack_from(order + "H", content, start)
        kept = []
        for number in range(count):
            place = start + 2 + 12 * number
            tag, kind, values = struct.unpack_from(order + "HHI", content, place)
            if tag == 274 and (kind, values) != (3, 1):
                way = Exif(content).orientation or 1
                kept.append(struct.pack(order + "HHIHH", tag, 3, 1, way, 0))
            elif tag in _TIFF_TAGS and place + 12 <= len(content):
                kept.append(content[place : place + 12])
        body = struct.pack(order + "H", len(kept)) + b"".join(kept) + bytes(4)
        with_all[start : start + len(body)] = body
    except struct.error:
        return content
    return bytes(with_all)


def _padded(content: bytes) -> bytes:
    """The content with as many zeros as may be missing of it."""
    return content + bytes(int(len(content) * (1 / LEAST_SHARE - 1)))
