from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from feature_helpers import QuadrantMeans
from PIL import Image

from user_itr.features.backbones.efficientnet_lite import EfficientNetLite

Photos = Callable[..., list[tuple[str, Path]]]


@pytest.fixture
def quadrants() -> QuadrantMeans:
    return QuadrantMeans()


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    """Writes n small colourful images and returns their (id, file) pairs."""

    def write(count: int, folder: str = "photos", size: tuple[int, int] = (48, 36)) -> list:
        random = np.random.default_rng(7)
        (tmp_path / folder).mkdir(exist_ok=True)
        pairs = []
        for i in range(count):
            name = f"{i:03}.{'jpg' if i % 2 else 'png'}"
            coarse = random.integers(0, 256, (3, 4, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
            image.save(tmp_path / folder / name)
            pairs.append((name, tmp_path / folder / name))
        return pairs

    return write


@pytest.fixture(scope="session")
def lite0() -> EfficientNetLite:
    return EfficientNetLite("efficientnet-lite0")
