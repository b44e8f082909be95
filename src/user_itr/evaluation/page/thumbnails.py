"""Small pictures for the page, as data URIs."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image, ImageOps

SIDE = 176
"""Longer side in pixels: sharp at the 120 of the page on most screens, about 6 kB each."""


def thumbnail(path: Path) -> str | None:
    """A JPEG data URI of an image file, upright; None where it cannot be read."""
    try:
        with Image.open(path) as image:
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            small = ImageOps.exif_transpose(image).convert("RGB")
            small.thumbnail((SIDE, SIDE))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    content = io.BytesIO()
    small.save(content, "JPEG", quality=72, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
