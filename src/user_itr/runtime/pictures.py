"""Pictures of all kinds to embeddings, batch by batch: what encoders by ONNX Runtime share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Protocol

import numpy as np
from PIL import Image

from user_itr.data.pictures import Picture, as_rgb, picture_list
from user_itr.errors import FeatureError

IMAGES = 8
"""Images a pass: more take more memory, and time for it."""

SENTENCES = 64
"""Sentences a pass, for the same reason."""

FEW = 16
"""Sentences up to which preparing the text network takes longer than it saves."""


class Encoder(Protocol):
    """What makes one vector of an image."""

    @property
    def dim(self) -> int:
        """Width D of the joint space."""
        ...

    @property
    def draft(self) -> int | None:
        """`load_image`'s argument of that name."""
        ...

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Scale one RGB image to the network's input."""
        ...

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Embed one batch of stacked `preprocess` results: (N, ...) to (N, D) float32."""
        ...


class PictureEncoder(ABC):
    """An encoder whose `preprocess` and `encode_pixels` make one vector of an image."""

    dim: int
    draft: int | None

    @abstractmethod
    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Scale one RGB image to the network's input."""

    @abstractmethod
    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Embed one batch of stacked `preprocess` results: (N, ...) to (N, D) float32."""

    def encode_images(
        self, images: Picture | Iterable[Picture], batch_size: int = 32
    ) -> np.ndarray:
        """Embed images.

        Args:
            images: N files, pictures that Pillow opened, or arrays, mixed as they come, or one; see
                `Picture`. The same photograph has the same embedding in each of these forms.
            batch_size: images decoded before they are encoded.

        Returns:
            (N, D) float32, unit-norm.

        Raises:
            DataError: if one cannot be decoded, or is no picture.
        """
        return embed_pictures(self, images, batch_size)


def embed_pictures(
    encoder: Encoder, images: Picture | Iterable[Picture], batch_size: int
) -> np.ndarray:
    """What `PictureEncoder.encode_images` gives, by any encoder."""
    pictures = picture_list(images)
    embeddings = np.empty((len(pictures), encoder.dim), dtype=np.float32)
    for start in range(0, len(pictures), batch_size):
        batch = pictures[start : start + batch_size]
        pixels = np.stack([encoder.preprocess(as_rgb(one, encoder.draft)) for one in batch])
        embeddings[start : start + len(pixels)] = encoder.encode_pixels(pixels)
    return embeddings


def finite(embeddings: np.ndarray) -> np.ndarray:
    """The embeddings, as they are.

    Raises:
        FeatureError: if one is NaN or infinite.
    """
    if not np.isfinite(embeddings).all():
        raise FeatureError("the model gave NaN or infinite numbers; copy its folder again.")
    return embeddings
