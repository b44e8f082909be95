"""What the search asks of a model: one unit vector an image, one a caption, in one space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PIL import Image

from user_itr.features.preprocessing import Preprocess


class Encoder(Protocol):
    """A dual encoder whose dot products rank; `user_itr.model.embedder.Embedder` is one."""

    @property
    def dim(self) -> int:
        """Width D of the joint space."""
        ...

    @property
    def fingerprint(self) -> str:
        """Identity of configuration and weights; equal where embeddings may be compared."""
        ...

    @property
    def description(self) -> str:
        """One line for people."""
        ...

    @property
    def draft(self) -> int | None:
        """`load_image`'s argument of that name, for images on their way to `preprocess`."""
        ...

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Scale one RGB image to the network's input; several threads may call it at once.

        Raises:
            DataError: if the model cannot take an image of that shape.
        """
        ...

    @property
    def worker_preprocess(self) -> Preprocess | None:
        """`preprocess` for worker processes: picklable, without PyTorch; None if there is none."""
        ...

    def unknown_words(self, text: str) -> list[str]:
        """Words of a text that the model cannot know, as far as it can tell, in lower case."""
        ...

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Return (N, D) float32 unit-norm embeddings of N stacked results of `preprocess`."""
        ...

    def encode_text(self, captions: Sequence[str], batch_size: int = 256) -> np.ndarray:
        """Return (N, D) float32 unit-norm embeddings of N captions."""
        ...
