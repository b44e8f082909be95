"""Finding and decoding image files: the one place where a file becomes pixels.

Metadata never decides over pixels. A file is decoded as it is; where that fails, as what `mending`
makes of it; and its metadata is read on the side.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from user_itr.data.deep_tiff import is_misread, unpack_deep_tiff
from user_itr.data.exif import Exif
from user_itr.data.formats import (
    FORMATS,
    HEIF_SUFFIXES,
    IMAGE_SUFFIXES,
    RAW_SUFFIXES,
    installed_formats,
    is_raw,
    why_unreadable,
)
from user_itr.data.mending import CutShortError, Mended, mended, require_share
from user_itr.data.metadata import Metadata, metadata_of
from user_itr.data.raw import read_raw
from user_itr.data.reading import open_file, read_file
from user_itr.data.tones import eight_bits, to_rgb
from user_itr.errors import DataError, MissingExtraError

__all__ = [
    "FORMATS",
    "HEIF_SUFFIXES",
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "RAW_SUFFIXES",
    "Decoded",
    "decode_image",
    "find_files",
    "find_images",
    "load_image",
    "open_image",
    "require_pixels",
    "turned",
]

MAX_PIXELS = 1 << 28
"""Images above this many pixels (16,384 x 16,384, 1 GiB as RGB) are refused before they are decoded
(decompression bombs), in whatever format and to whatever size. Phones of "200 megapixels" have 196
to 201.3 million."""

_lock = threading.Lock()
_decoding = 0
_pillow_limit = Image.MAX_IMAGE_PIXELS

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Decoded:
    """A decoded file.

    Attributes:
        image: RGB, upright.
        width: pixels of the upright original, which `image` may be a smaller version of.
        height: pixels of the upright original.
        metadata: what the file says about itself.
    """

    image: Image.Image
    width: int
    height: int
    metadata: Metadata


def find_images(folder: Path) -> Iterator[Path]:
    """Yield every image file below `folder`, recursively, in sorted order, links not followed.

    Raises:
        DataError: if `folder` is not a directory.
    """
    return find_files(folder, IMAGE_SUFFIXES)


def find_files(folder: Path, suffixes: Collection[str]) -> Iterator[Path]:
    """As `find_images`, for file names with other endings (lower case)."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give a folder that holds images.")
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if Path(name).suffix.lower() in suffixes and not name.startswith("."):
                yield Path(parent, name)


def load_image(path: Path, draft: int | None = None, content: bytes | None = None) -> Image.Image:
    """Decode an image file to RGB, upright; see `decode_image`."""
    return decode_image(path, draft, content).image


def decode_image(path: Path, draft: int | None = None, content: bytes | None = None) -> Decoded:
    """Decode an image file to RGB, upright after its EXIF orientation, with what it says of itself.

    Of several frames or pages it is the first. Transparent pixels are laid over white, and deep
    pixels scaled to 8 bits (`tones`). What is damaged is decoded as far as `mending` says. A raw
    photograph is decoded to its preview or to half its size (`raw`).

    Args:
        path: the file.
        draft: where given, JPEG decoding may scale down by 2, 4 or 8 as long as both sides stay
            at least `draft` pixels: faster, and not the same to the last bit.
        content: the file's bytes, where they were read already.

    Raises:
        DataError: if the file cannot be read or decoded, or has more than `MAX_PIXELS`.
    """
    try:
        if content is None:
            content = read_file(path)[0]
        with _our_limit():
            if is_raw(path.name, content):
                return _decode_raw(path, content, draft)
            return _decode(path, content, draft)
    except DataError:
        raise
    except MissingExtraError as error:
        raise DataError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such image file; check the path.") from None
    except UnidentifiedImageError as error:
        if reason := why_unreadable(content or b""):
            raise DataError(f"{path}: {reason}") from None
        raise DataError(
            f"{path}: cannot be decoded as an image (of no known format, or cut short); replace or "
            "remove the file."
        ) from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged input
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path}: cannot be decoded as an image ({reason}); replace or remove the file."
        ) from error


def open_image(
    path: Path, content: bytes | None = None, file: IO[bytes] | None = None
) -> Image.Image:
    """Open an image by its header, nothing decoded yet; HEIC where pillow-heif is installed.

    A file whose header is damaged is opened as what `mending` makes of it. A raw photograph is
    decoded.

    Args:
        path: what it is called; opened where neither `content` nor `file` is given.
        content: the file's bytes, where they were read already.
        file: the open file, which closing the image closes.

    Raises:
        DataError: if it has more pixels than `MAX_PIXELS`, is a device, a pipe or the like, or
            needs a package that is not installed.
        OSError: if it cannot be read, or is not an image; Pillow raises other things as well.
    """
    stream = io.BytesIO(content) if content is not None else file or open_file(path)
    if is_raw(path.name, b""):
        with stream:
            return load_image(path, content=stream.read())
    try:
        with _our_limit():
            image = _open(stream)
        require_pixels(path, image.size)
    except DataError:
        stream.close()
        raise
    except Exception:
        stream.seek(0)
        content = stream.read()
        stream.close()
        if reason := why_unreadable(content):
            raise DataError(f"{path}: {reason}") from None
        for repaired in mended(content, MAX_PIXELS):
            with suppress(Exception), _our_limit():
                image = _open(io.BytesIO(repaired.content))
                require_pixels(path, image.size)
                return image
        raise
    image._exclusive_fp = True  # closing it closes the file
    return image


def require_pixels(path: Path, size: tuple[int, int]) -> None:
    """Refuse pictures of more than `MAX_PIXELS`.

    Raises:
        DataError: if it has more.
    """
    width, height = size
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{path}: {width} x {height} pixels is over the limit of {MAX_PIXELS:,}; scale the "
            "image down first."
        )


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """The picture upright, a copy without metadata.

    Args:
        image: the picture as its pixels lie.
        orientation: 1 to 8, as TIFF 6.0 numbers it.
    """
    way = _TURNS.get(orientation)
    upright = image.copy() if way is None else image.transpose(way)
    upright.info = {}
    return upright


def _open(stream: IO[bytes]) -> ImageFile.ImageFile:
    """As `Image.open` of the installed formats."""
    return Image.open(stream, formats=installed_formats())


@contextmanager
def _our_limit() -> Iterator[None]:
    """Without Pillow's limit of pixels, which is lower than `MAX_PIXELS`, and its warnings.

    Pillow has one for the whole process: it is back when the last thread is done.
    """
    global _pillow_limit, _decoding
    with _lock:
        if _decoding == 0:
            _pillow_limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        _decoding += 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        with _lock:
            _decoding -= 1
            if _decoding == 0:
                Image.MAX_IMAGE_PIXELS = _pillow_limit


def _decode(path: Path, content: bytes, draft: int | None) -> Decoded:
    try:
        return _decode_as_it_is(path, content, draft)
    except DataError:
        raise
    except Exception as error:
        refusal = error
    for repaired in mended(content, MAX_PIXELS):
        try:
            return _decode_as_it_is(path, repaired.content, draft, repaired)
        except CutShortError as error:
            refusal = error
        except DataError:
            raise
        except Exception:  # nosec B112 # the first reason says the most
            continue
    raise refusal


def _decode_as_it_is(
    path: Path, content: bytes, draft: int | None, damaged: Mended | None = None
) -> Decoded:
    with _open(io.BytesIO(content)) as image:
        require_pixels(path, image.size)
        low_bytes = _low_bytes(image)
        width, height = image.size
        if draft is not None and image.format in ("JPEG", "MPO"):
            image.draft("RGB", (draft, draft))
        image.load()
        if damaged is not None and damaged.cut:
            require_share(image, content)
        metadata = metadata_of(image, content)
        pixels: Image.Image = image
        if low_bytes:
            pixels = _twelve_bits(image, content, low_bytes)
        elif is_misread(image) and (deep := unpack_deep_tiff(content, MAX_PIXELS)) is not None:
            pixels = turned(deep, metadata.exif.orientation or 1)
    if damaged is not None:
        metadata = replace(
            metadata,
            exif=Exif(damaged.exif) if damaged.exif else metadata.exif,
            xmp=damaged.xmp or metadata.xmp,
        )
    orientation = metadata.orientation
    if orientation > 4:
        width, height = height, width
    return Decoded(turned(to_rgb(pixels), orientation), width, height, metadata)


def _decode_raw(path: Path, content: bytes, draft: int | None) -> Decoded:
    raw = read_raw(content, MAX_PIXELS)
    require_pixels(path, (raw.width, raw.height))
    metadata = Metadata(Exif(content))
    if raw.preview is None:
        assert raw.image is not None
        return Decoded(raw.image, raw.width, raw.height, metadata)
    preview = _decode(path, raw.preview, draft)
    if content[:2] not in (b"II", b"MM"):  # no TIFF: what the preview says
        metadata = preview.metadata
    return Decoded(preview.image, raw.width, raw.height, metadata)


def _low_bytes(image: ImageFile.ImageFile) -> str | None:
    """How to have Pillow unpack the low byte of each 16-bit colour; None where there are none.

    Pillow keeps the high byte.
    """
    for tile in image.tile[:1]:
        how = tile.args if isinstance(tile.args, str) else (tile.args or ("",))[0]
        if isinstance(how, str) and how[:-1] in ("RGB;16", "RGBA;16"):
            low_first = how[-1] == "L" or (how[-1] == "N" and sys.byteorder == "little")
            return how[:-1] + ("B" if low_first else "L")
    return None


def _twelve_bits(image: Image.Image, content: bytes, low_bytes: str) -> Image.Image:
    """16-bit colours of which all lie below 4,096, scaled as such; others as they are."""
    colours = np.asarray(image)[..., :3]
    if colours.max() > 15:
        return image
    with _open(io.BytesIO(content)) as again:
        again.tile = [
            tile._replace(
                args=low_bytes if isinstance(tile.args, str) else (low_bytes, *tile.args[1:])
            )
            for tile in again.tile
        ]
        again.load()
        low = np.asarray(again)[..., :3]
    scaled = Image.fromarray(eight_bits(colours.astype(np.uint16) << 8 | low))
    if image.mode == "RGBA":
        scaled.putalpha(image.getchannel("A"))
    return scaled
