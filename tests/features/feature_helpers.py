"""A backbone whose features can be computed by hand, and small helpers of the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from user_itr.features.backbones.base import Backbone


class QuadrantMeans(Backbone):
    """The mean colour of each quarter of an image, times `scale`: a backbone to compute by hand."""

    def __init__(self, scale: float = 1.0, size: int = 8) -> None:
        super().__init__()
        self.name = "quadrant-means"
        self.regions, self.width, self.size = 4, 3, size
        self.scale = nn.Parameter(torch.tensor(scale))
        self.weights_hash = format(int(abs(scale) * 1000) if scale == scale else 1, "064x")
        self.preprocessing = {"size": [size, size]}
        self._freeze()

    def preprocess(self, image: Image.Image) -> np.ndarray:
        return np.asarray(image.resize((self.size, self.size), Image.Resampling.BOX))

    def forward(self, pixels: Tensor) -> Tensor:
        half = self.size // 2
        cells = pixels.float().reshape(len(pixels), 2, half, 2, half, 3).mean(dim=(2, 4))
        return cells.flatten(1, 2) * self.scale


def quadrant_oracle(path: Path, scale: float = 1.0, size: int = 8) -> np.ndarray:
    pixels = np.asarray(Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BOX))
    h = size // 2
    quarters = (pixels[:h, :h], pixels[:h, h:], pixels[h:, :h], pixels[h:, h:])
    return np.stack([q.astype(np.float64).mean(axis=(0, 1)) * scale for q in quarters])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def broken(tmp_path: Path, name: str = "broken.jpg") -> tuple[str, Path]:
    (tmp_path / name).write_bytes(b"\xff\xd8\xff\xe0 no image")
    return name, tmp_path / name
