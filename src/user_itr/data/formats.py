"""Which files are pictures: by ending when a folder is walked, by contents when one is read."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import PurePath
from types import MappingProxyType

from PIL import Image

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "JPEG2000", "HEIF")
"""Pillow's formats that are opened, whatever a file is called. Pillow knows many more, some of
them seldom used, and one of them (EPS) runs a program."""

HEIF_SUFFIXES = frozenset({".heic", ".heif", ".heics", ".heifs", ".hif"})
"""Endings of HEIC, which needs the extra `heic`."""

RAW_SUFFIXES = frozenset(
    {
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc"),
        *(".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl"),
        *(".sr2", ".srf", ".srw", ".x3f"),
    }
)
"""Endings of raw photographs, which need the extra `raw`; not among `IMAGE_SUFFIXES`."""

IMAGE_SUFFIXES = HEIF_SUFFIXES | frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".jpg_large", ".jpg_orig"),
        *(".mpo", ".png", ".apng", ".webp", ".avif", ".avifs", ".gif", ".bmp", ".dib"),
        *(".tif", ".tiff", ".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
    }
)
"""File name endings (lower case) that are taken for images when a folder is walked."""

KNOWN_BUT_UNREADABLE: Mapping[str, str] = MappingProxyType(
    {
        ".jxl": "JPEG XL is not read; export it as a JPEG.",
        ".icloud": "is in iCloud and not on this disk; download it in Photos or the Finder.",
        ".psd": "Photoshop documents are not read; export it as a JPEG.",
        ".psb": "Photoshop documents are not read; export it as a JPEG.",
        ".svg": "drawings are not read; export it as a PNG.",
    }
)
"""Endings (lower case) of pictures that are passed over, each with the reason."""

_RAW_MISSING = "raw photographs need one more package; run `pip install user-itr[raw]`."
_HEIF_MISSING = "HEIC needs one more package; run `pip install user-itr[heic]`."

_HEIF_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM")


def why_passed_over(name: str) -> str | None:
    """Why a file is a picture by its name and yet not read; None for all other files.

    Example:
        >>> why_passed_over("IMG_1.jxl")
        'JPEG XL is not read; export it as a JPEG.'
        >>> why_passed_over("IMG_1.jpg")
    """
    suffix = PurePath(name).suffix.lower()
    if suffix in RAW_SUFFIXES and not raw_installed():
        return _RAW_MISSING
    if suffix.endswith("~") and suffix.rstrip("~") in IMAGE_SUFFIXES | RAW_SUFFIXES:
        return "is the copy that an editor keeps of a picture before its last change."
    return KNOWN_BUT_UNREADABLE.get(suffix)


def why_unreadable(content: bytes) -> str | None:
    """What is missing to decode a file that no installed decoder knows; None if nothing helps."""
    if _is_heif(content) and "HEIF" not in installed_formats():
        return _HEIF_MISSING
    if content.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return KNOWN_BUT_UNREADABLE[".jxl"]
    return None


@functools.cache
def installed_formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this installation reads."""
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def raw_installed() -> bool:
    """Whether the decoder of raw photographs is there."""
    with suppress(ImportError, ValueError):
        return find_spec("rawpy") is not None
    return False


def is_raw(name: str, content: bytes) -> bool:
    """Whether a file is a raw photograph: by its ending, unless it holds something else."""
    if PurePath(name).suffix.lower() not in RAW_SUFFIXES:
        return False
    return not (content.startswith(_SIGNATURES) or content[8:12] == b"WEBP" or _is_heif(content))


def _is_heif(content: bytes) -> bool:
    return content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS
