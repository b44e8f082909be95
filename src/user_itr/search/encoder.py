"""What the search asks of a model: one unit vector an image, one a caption, in one space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image


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

    def encode_images(
        self, images: Sequence[Image.Image | Path], batch_size: int = 32
    ) -> np.ndarray:
        """Return (N, D) float32 unit-norm embeddings of N images."""
        ...

    def encode_text(self, captions: Sequence[str], batch_size: int = 256) -> np.ndarray:
        """Return (N, D) float32 unit-norm embeddings of N captions."""
        ...
