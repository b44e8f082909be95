"""Pictures that people search by: never stored, and decoded within limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from user_itr.data.formats import RAW_SUFFIXES
from user_itr.data.images import load_image, open_image
from user_itr.errors import DataError
from user_itr.search.encoder import Encoder

LABEL = "the uploaded picture"


def uploaded_pixels(content: bytes, name: str, encoder: Encoder, most_pixels: int) -> np.ndarray:
    """What the model sees of an uploaded picture.

    Args:
        content: bytes of the file.
        name: that the file has at the sender's; only its ending is looked at.
        encoder: the model.
        most_pixels: that it may have.

    Raises:
        DataError: if it cannot be decoded, or has more pixels.
    """
    label = Path(LABEL + Path(name).suffix[:8])
    if label.suffix.lower() in RAW_SUFFIXES:  # too much to decode for anybody who asks
        raise DataError(f"{LABEL}: raw photographs are not taken; send a JPEG, PNG or WebP.")
    try:
        with open_image(label, content) as header:
            pixels = header.width * header.height
    except DataError:
        raise
    except Exception:  # Pillow's parsers raise nearly anything on damaged input
        raise DataError(
            f"{LABEL}: is no picture that can be read; send a JPEG, PNG or WebP."
        ) from None
    if pixels > most_pixels:
        raise DataError(
            f"{LABEL}: {pixels:,} pixels is over the limit of {most_pixels:,}; scale it down."
        )
    return encoder.preprocess(load_image(label, encoder.draft, content))
