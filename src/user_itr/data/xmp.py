"""Dates out of XMP, inside a picture or in a file beside it (ISO 16684-1)."""

from __future__ import annotations

from contextlib import suppress
from xml.parsers import expat  # nosec B407 # entities end it

MOST_BYTES = 16 << 20
"""Larger ones are not read; XMP with all its history stays well below."""

FIELDS = ("DateTimeOriginal", "DateCreated", "DateTimeDigitized", "CreateDate")
"""The fields with dates, whatever their prefix (exif, photoshop, exif, xmp), the surest first."""


class _DeclaresEntities(Exception):
    """XMP declares none, and text that unfolds needs them."""


def xmp_dates(content: bytes) -> list[str]:
    """What stands in `FIELDS`, in their order, those that are there, the first of each.

    Markup that is damaged gives what stands before the damage.
    """
    found: dict[str, str] = {}
    inside: list[str] = []

    def begin(name: str, attributes: dict[str, str]) -> None:
        for key, value in attributes.items():
            if _local(key) in FIELDS:
                found.setdefault(_local(key), value)
        if _local(name) in FIELDS and not inside:
            inside.append(_local(name))
            texts.clear()
        elif inside:
            inside.append("")

    def end(_: str) -> None:
        if inside and (name := inside.pop()):
            found.setdefault(name, "".join(texts).strip())

    def refuse(*_: object) -> None:
        raise _DeclaresEntities

    texts: list[str] = []
    start = content.find(b"<")
    if start < 0 or len(content) > MOST_BYTES:
        return []
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in content[:4]:  # UTF-16
        start = 0
    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.CharacterDataHandler = texts.append
    parser.EntityDeclHandler = refuse
    with suppress(expat.ExpatError, _DeclaresEntities, ValueError, LookupError):
        parser.Parse(content[start:], True)
    return [found[field] for field in FIELDS if field in found]


def _local(name: str) -> str:
    return name.rpartition(":")[2]
