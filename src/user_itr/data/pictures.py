"""Pictures and captions as people hand them over, made one thing: one input, one path.

A file, an opened picture and an array of the same photograph become the same pixels.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageFile

from user_itr.data.images import load_image, require_pixels, turned
from user_itr.data.metadata import metadata_of
from user_itr.data.tones import eight_bits, to_rgb
from user_itr.errors import DataError

Picture: TypeAlias = "Image.Image | np.ndarray | str | os.PathLike[str] | bytes"
"""One picture: a file, its bytes, one that Pillow opened or made, or an array (height, width),
(height, width, 1), 3 or 4: grey, RGB or RGBA; uint8, or deeper as `tones` scales it."""

_TAKEN = "give a path, the bytes of a file, a Pillow image or a NumPy array"


def picture_list(pictures: Picture | Iterable[Picture]) -> list[Picture]:
    """One picture or several as a list; an array of 4 dimensions is several, of 2 or 3 one.

    Raises:
        DataError: if it is neither.
    """
    if isinstance(pictures, np.ndarray):
        return list(pictures) if pictures.ndim not in (2, 3) else [pictures]
    if isinstance(pictures, Image.Image | str | os.PathLike | bytes | bytearray | memoryview):
        return [pictures]  # type: ignore[list-item]  # more than the hint says
    if not isinstance(pictures, Iterable) or isinstance(pictures, Mapping):
        raise DataError(
            f"images: {_kind(pictures)} is neither a picture nor a list of them; {_TAKEN}, or a "
            "list of these."
        )
    return list(pictures)


def caption_list(captions: str | Iterable[str]) -> list[str]:
    """One caption or several as a list.

    Raises:
        DataError: if it is neither, or one of them is not a text.
    """
    if isinstance(captions, str):
        return [captions]
    if not isinstance(captions, Iterable) or isinstance(captions, Mapping | bytes | bytearray):
        raise DataError(
            f"captions: {_kind(captions)} is neither a text nor a list of texts; give a string or "
            "a list of strings."
        )
    found = list(captions)
    for place, caption in enumerate(found):
        if not isinstance(caption, str):
            raise DataError(f"captions: entry {place} is {_kind(caption)}; give strings.")
    return found


def as_rgb(picture: Picture, draft: int | None = None) -> Image.Image:
    """One picture as `load_image` gives a file: RGB, upright, over white, 8 bits.

    A picture that Pillow opened and nobody has loaded yet is read from its file, which stays as it
    is. Any other is taken with the pixels that it has, turned as its own metadata says: that of a
    picture which was turned by hand must not say so any more (`ImageOps.exif_transpose` sees to
    it).

    Args:
        picture: what it may be says `Picture`.
        draft: see `load_image`.

    Raises:
        DataError: if it cannot be decoded, or is something else.
    """
    if isinstance(picture, str | os.PathLike):
        return load_image(Path(picture), draft)
    if isinstance(picture, bytes | bytearray | memoryview):
        return load_image(Path("the given bytes"), draft, bytes(picture))
    if isinstance(picture, np.ndarray):
        return _of_array(picture)
    if not isinstance(picture, Image.Image):
        raise DataError(f"images: {_kind(picture)} is not a picture; {_TAKEN}.")
    name = Path(str(getattr(picture, "filename", "") or "the given picture"))
    content = _unread(picture)
    if content is not None:
        return load_image(name, draft, content)
    require_pixels(name, picture.size)
    try:
        picture.load()
        return turned(to_rgb(picture), metadata_of(picture).orientation)
    except Exception as error:  # closed, damaged, or of a mode that has no colours
        raise DataError(
            f"{name}: cannot be taken as a picture ({error}); open the file anew."
        ) from error


def _unread(picture: Image.Image) -> bytes | None:
    """The file of a picture that was opened, and neither loaded nor changed since."""
    if not isinstance(picture, ImageFile.ImageFile) or not picture.tile or picture.decoderconfig:
        return None
    with suppress(Exception):
        stream = picture.fp
        if stream is None or picture.tell() != 0 or picture.format == "WEBP":
            return None
        place = stream.tell()
        stream.seek(0)
        content = stream.read()
        stream.seek(place)
        return content
    return None


def _of_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not fits or array.dtype.kind not in "uifb" or 0 in array.shape:
        raise DataError(
            f"images: an array {array.shape} of {array.dtype} is not a picture; give numbers of "
            "shape (height, width), (height, width, 3) or (height, width, 4)."
        )
    require_pixels(Path("the given array"), (array.shape[1], array.shape[0]))
    if array.dtype == bool:
        array = array * np.uint8(255)
    return to_rgb(Image.fromarray(array if array.dtype == np.uint8 else eight_bits(array)))


def _kind(thing: object) -> str:
    name = type(thing).__name__
    return "None" if thing is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
