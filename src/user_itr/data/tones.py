"""Pixels of any kind to 8-bit RGB that looks the same: depths, transparency, colour models.

**The scale of deep pixels.** What is black and what is white in a picture of more than 8 bits:

1. A TIFF may say so: SMinSampleValue and SMaxSampleValue, or BitsPerSample where it is under 16.
2. Otherwise black is 0, and white the smallest of 1 (floats only), 255, 1,023, 4,095 and 65,535
   that no pixel exceeds: 10 and 12 bits are often kept in 16. 14 bits in 16 are not guessed,
   because a dark photograph of 16 bits looks the same.
3. Pixels that fit none of them, because some are negative, above 65,535, or floats whose largest
   value lies between 1 and 16, are stretched from their smallest value, or 0 if none is negative,
   to their largest.

Values are scaled to 0..255 and rounded to the nearest; NaN is black.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from PIL import Image

WHITES = (255, 1_023, 4_095, 65_535)
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT, _LEAST, _MOST = 258, 262, 339, 340, 341  # tags of TIFF 6.0


def to_rgb(image: Image.Image) -> Image.Image:
    """The picture as 8-bit RGB, transparent pixels laid over white.

    Args:
        image: of any of Pillow's modes; its pixels are loaded. It may be what is returned.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _deep_grey(image)
    if image.mode == "LAB":
        from PIL import ImageCms

        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    with suppress(ValueError):  # Pillow does not know that transparency, or it is damaged
        if image.has_transparency_data:
            image = over_white(image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def over_white(image: Image.Image) -> Image.Image:
    """An RGBA picture over white."""
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def eight_bits(values: np.ndarray, stated: tuple[float, float] | None = None) -> np.ndarray:
    """Scale deep pixels to uint8 by the rule at the head of this module.

    Args:
        values: integers or floats of any shape.
        stated: what is black and what is white, where the file says so.

    Example:
        >>> eight_bits(np.array([0, 128 * 257, 65_535], np.uint16))
        array([  0, 128, 255], dtype=uint8)
        >>> eight_bits(np.array([0.0, 0.5, 1.0], np.float32))
        array([  0, 128, 255], dtype=uint8)
    """
    whole = values.dtype.kind in "iub"
    if not whole:
        values = np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=-np.inf)
    if values.size == 0:
        return np.zeros(values.shape, np.uint8)
    black, white = stated or _scale(values, whole)
    if white <= black:
        return np.zeros(values.shape, np.uint8)
    if values.dtype.itemsize == 2 and values.dtype.kind == "u":
        table = _scaled(np.arange(65_536), black, white)
        return np.asarray(table[values])
    return _scaled(values, black, white)


def _scale(values: np.ndarray, whole: bool) -> tuple[float, float]:
    if not whole:
        values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 1.0
    least, most = float(values.min()), float(values.max())
    for white in WHITES if whole else (1, *WHITES):
        if least >= 0 and most <= white and (whole or 16 * most >= white or white == 1):
            return 0.0, float(white)
    return min(least, 0.0), most


def _scaled(values: np.ndarray, black: float, white: float) -> np.ndarray:
    part = (values.astype(np.float64) - black) * 255 / (white - black)
    return np.asarray(np.floor(part.clip(0, 255) + 0.5).astype(np.uint8))


def _deep_grey(image: Image.Image) -> Image.Image:
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    values = np.asarray(image)
    if image.mode == "I" and _number(tags, _BITS) == 32 and _number(tags, _SAMPLE_FORMAT, 1) == 1:
        values = values.view(np.uint32)  # Pillow reads them as signed
    grey = eight_bits(values, _stated(tags))
    if _number(tags, _PHOTOMETRIC) == 0:  # white is 0, which Pillow leaves so
        grey = 255 - grey
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey = np.where(values == clear, 255, grey).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _stated(tags: Mapping[int, Any]) -> tuple[float, float] | None:
    """What a TIFF says that black and white are."""
    most = _number(tags, _MOST)
    if most is not None:
        least = _number(tags, _LEAST, 0.0)
        if least is not None and least < most:
            return least, most
    bits = _number(tags, _BITS, 16) or 16
    return (0.0, 2.0**bits - 1) if 8 < bits < 16 else None


def _number(tags: Mapping[int, Any], tag: int, default: float | None = None) -> float | None:
    with suppress(Exception):  # tags of files from anybody
        value = tags[tag]
        return float(value[0] if isinstance(value, tuple) else value)
    return default
