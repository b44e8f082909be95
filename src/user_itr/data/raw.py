"""Raw photographs of cameras, by LibRaw (the extra `raw`)."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from user_itr.errors import MissingExtraError

LEAST_PREVIEW = 512
"""Pixels of the shorter side that the JPEG inside a raw photograph must have to stand for it. The
camera made it, in a tenth of the time and with the colours that the photographer saw."""


@dataclass(frozen=True)
class RawPhoto:
    """What was taken of a raw photograph.

    Attributes:
        width: pixels of the upright original.
        height: pixels of the upright original.
        preview: the bytes of its JPEG, which is turned after its own EXIF; None if it is small.
        image: where there is no preview: RGB, upright, half the size of the original.
    """

    width: int
    height: int
    preview: bytes | None
    image: Image.Image | None


def read_raw(content: bytes, most_pixels: int) -> RawPhoto:
    """Decode a raw photograph; one with more than `most_pixels` gives its size alone.

    Raises:
        MissingExtraError: if rawpy is not installed.
        Exception: whatever LibRaw says of a file that it cannot read.
    """
    try:
        import rawpy
    except ImportError:
        raise MissingExtraError(
            "raw photographs need one more package; run `pip install user-itr[raw]`."
        ) from None
    with rawpy.imread(io.BytesIO(content)) as raw:
        sizes = raw.sizes
        width, height = sizes.width, sizes.height
        if sizes.flip in (5, 6):
            width, height = height, width
        if width * height > most_pixels:
            return RawPhoto(width, height, None, None)
        try:
            thumb = raw.extract_thumb()
        except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
            thumb = None
        if thumb is not None and thumb.format == rawpy.ThumbFormat.JPEG:
            preview = bytes(thumb.data)
            with Image.open(io.BytesIO(preview), formats=["JPEG"]) as header:
                if min(header.size) >= LEAST_PREVIEW:
                    return RawPhoto(width, height, preview, None)
        pixels = raw.postprocess(half_size=True, use_camera_wb=True, output_bps=8)
        return RawPhoto(width, height, None, Image.fromarray(np.asarray(pixels)))
