"""Small pictures for the page, as data URIs."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from user_itr.data.images import load_image
from user_itr.errors import DataError

SIDE = 176
"""Longer side in pixels: sharp at the 120 of the page on most screens, about 6 kB each."""


def thumbnail(path: Path) -> str | None:
    """A JPEG data URI of an image file, upright; None where it cannot be read."""
    try:
        small = load_image(path, draft=2 * SIDE)
    except DataError:
        return None
    small.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    small.save(content, "JPEG", quality=72, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
