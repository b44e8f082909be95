"""Pictures that people search by: never stored, and decoded within limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from user_itr.data.formats import RAW_SUFFIXES
from user_itr.errors import DataError
from user_itr.search.encoder import Encoder
from user_itr.server.decoding import Decoders

LABEL = "the uploaded picture"


def uploaded_pixels(
    content: bytes, name: str, encoder: Encoder, most_pixels: int, decoders: Decoders
) -> np.ndarray:
    """What the model sees of an uploaded picture.

    Args:
        content: bytes of the file.
        name: that the file has at the sender's; only its ending is looked at.
        encoder: the model.
        most_pixels: that it may have.
        decoders: that decode it.

    Raises:
        DataError: if it cannot be decoded, or has more pixels.
    """
    suffix = Path(name).suffix[:8]
    if suffix.lower() in RAW_SUFFIXES:  # too much to decode for anybody who asks
        raise DataError(f"{LABEL}: raw photographs are not taken; send a JPEG, PNG or WebP.")
    answer, pixels = decoders.ask(
        LABEL, content, name=LABEL + suffix, pixels=most_pixels, draft=encoder.draft
    )
    width, height = answer["size"]
    return encoder.preprocess(Image.frombytes("RGB", (width, height), pixels))
