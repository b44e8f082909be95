"""What a picture says about itself beside its pixels; none of it decides whether it is decoded."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from PIL import ExifTags, Image

from user_itr.data.exif import Exif

PNG = b"\x89PNG\r\n\x1a\n"
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


@dataclass(frozen=True)
class Metadata:
    """The metadata of one picture, read when asked for.

    Attributes:
        exif: its tags.
        xmp: its XMP packet; may be empty.
        texts: the texts of a PNG.
        content: the file.
        upright: whether decoding has turned the pixels already.
    """

    exif: Exif = field(default_factory=Exif)
    xmp: bytes = b""
    texts: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    upright: bool = False

    @property
    def orientation(self) -> int:
        """How the pixels lie, 1 to 8 as TIFF 6.0 numbers it; 1 is upright."""
        if self.upright:
            return 1
        if (said := self.exif.orientation) is not None:
            return said
        found = _XMP_ORIENTATION.search(self.xmp)
        return int(found[1]) if found else 1

    def changed(self) -> str:
        """When a PNG was last changed, as it says; "" where it does not."""
        for kind, data in png_chunks(self.content):
            if kind == b"tIME" and len(data) == 7:
                year, *rest = struct.unpack(">HBBBBB", data)
                return "{}-{:02}-{:02} {:02}:{:02}:{:02}".format(year, *rest)
        return ""


def metadata_of(image: Image.Image, content: bytes = b"") -> Metadata:
    """The metadata of a picture that Pillow opened; that of a PNG is whole after its pixels.

    Args:
        image: the picture.
        content: the file, where it is one.
    """
    texts = {str(key): text for key, text in image.info.items() if isinstance(text, str)}
    exif = image.info.get("exif")
    if image.format == "TIFF" and content:
        exif = content
    elif exif is None:
        for name in ("Raw profile type exif", "Raw profile type APP1"):  # of ImageMagick
            if name in texts:
                with suppress(ValueError):
                    exif = bytes.fromhex("".join(texts[name].split("\n")[3:]))
    tags = Exif(exif if isinstance(exif, bytes) else b"")
    xmp = image.info.get("xmp") or texts.get("XML:com.adobe.xmp", "").encode()
    return Metadata(
        tags,
        xmp if isinstance(xmp, bytes) else b"",
        texts,
        content,
        upright=image.format == "TIFF" and _pillow_turns(tags),
    )


def _pillow_turns(tags: Exif) -> bool:
    """Whether Pillow has understood a TIFF's orientation, and so turned the picture."""
    said = tags.image(ExifTags.Base.Orientation)
    return said is None or said in range(1, 9)


def png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The kind and the data of each chunk of a PNG; checksums are not looked at.

    Ends at the first whose name is not sound; the data of the last may be cut short. Other files
    have none.
    """
    if not content.startswith(PNG):
        return
    place = len(PNG)
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if not kind.isalpha():
            return
        yield kind, content[place + 8 : place + 8 + length]
        place += 12 + length
