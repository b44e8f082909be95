"""Pictures that people search by: never stored, and decoded within limits."""

from __future__ import annotations

import base64
import io
import pickle  # nosec B403 # to say to a process of ours what to do; nothing is unpickled here
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
    asked = {"name": LABEL + suffix, "pixels": most_pixels, "draft": encoder.draft}
    preprocess = encoder.worker_preprocess
    if preprocess is None:
        answer, pixels = decoders.ask(LABEL, content, **asked)
        width, height = answer["size"]
        return encoder.preprocess(Image.frombytes("RGB", (width, height), pixels))
    # The small result comes here: the memory that a large picture takes stays in the other process.
    asked["preprocess"] = base64.b64encode(pickle.dumps(preprocess)).decode()
    _, result = decoders.ask(LABEL, content, **asked)
    array: np.ndarray = np.load(io.BytesIO(result), allow_pickle=False)
    return array
