"""Finding and decoding image files: the one place where a file becomes pixels."""

from __future__ import annotations

import functools
import io
import os
import warnings
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from user_itr.errors import DataError

HEIF_SUFFIXES = frozenset({".heic", ".heif"})
IMAGE_SUFFIXES = HEIF_SUFFIXES | frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff"}
)
"""File name endings (lower case) that are taken for images when a folder is walked."""

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "HEIF")
"""Pillow's formats that are opened, whatever a file is called. Pillow knows many more, some of
them seldom used, and one of them (EPS) runs a program."""

MAX_PIXELS = 200_000_000
"""Images above this many pixels are refused before they are decoded (decompression bombs)."""


def find_images(folder: Path) -> Iterator[Path]:
    """Yield every image file below `folder`, recursively, in sorted order, links not followed.

    Raises:
        DataError: if `folder` is no directory.
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
    """Decode an image file to RGB, upright after its EXIF orientation; a GIF gives its first frame.

    Transparent pixels are laid over white, and 16-bit greyscale is scaled to 8 bits.

    Args:
        path: the file.
        draft: where given, JPEG decoding may scale down by 2, 4 or 8 as long as both sides stay
            at least `draft` pixels: faster, and not the same to the last bit.
        content: the file's bytes, where they were read already.

    Returns:
        An RGB image.

    Raises:
        DataError: if the file cannot be read or decoded, or has more than `MAX_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_image(path, content) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise DataError(
                        f"{path}: {image.width} x {image.height} pixels is over the limit of "
                        f"{MAX_PIXELS:,}; scale the image down first."
                    )
                if draft is not None:
                    image.draft("RGB", (draft, draft))
                image.load()
                upright = ImageOps.exif_transpose(image)
                return _to_rgb(upright)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: no such image file; check the path.") from None
    except UnidentifiedImageError as error:
        raise DataError(
            f"{path}: cannot be decoded as an image (of no known format, or cut short); replace or "
            "remove the file."
        ) from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged input
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path}: cannot be decoded as an image ({reason}); replace or remove the file."
        ) from error


def open_image(path: Path, content: bytes | None = None) -> Image.Image:
    """Open an image by its header, nothing decoded yet; HEIC where pillow-heif is installed.

    Raises:
        DataError: if it is a HEIC file and pillow-heif is missing, it is a device, a pipe or the
            like, or it has more pixels than Pillow opens.
        OSError: if it cannot be read, or is no image; Pillow raises other things as well.
    """
    formats = _formats()
    if path.suffix.lower() in HEIF_SUFFIXES and "HEIF" not in formats:
        raise DataError(f"{path}: HEIC needs one more package; run `pip install user-itr[heic]`.")
    if content is None and path.exists() and not path.is_file():  # opening a pipe would wait
        raise DataError(f"{path}: is no regular file; give an image file.")
    try:
        return Image.open(path if content is None else io.BytesIO(content), formats=formats)
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise DataError(
            f"{path}: has more than {limit:,} pixels, which is the limit; scale the image down "
            "first."
        ) from None


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this installation reads."""
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        image = image.point(lambda value: value / 257).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
