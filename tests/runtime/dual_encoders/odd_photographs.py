"""Photographs of odd shapes, sizes and modes."""

from __future__ import annotations

import numpy as np
from PIL import Image

SHAPES = (
    (640, 480),
    (480, 641),
    (33, 32),
    (31, 200),
    (1999, 37),
    (7, 5),
    (1, 1),
    (300, 1),
    (1, 300),
    (32, 32),
)


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """Coarse noise over fine noise: what filters and offsets change."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (7, 9, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    fine = random.integers(-40, 41, (height, width, 3))
    return Image.fromarray(np.clip(smooth + fine, 0, 255).astype(np.uint8))


def photographs() -> list[Image.Image]:
    """One of each shape, and one of each mode."""
    images = [photograph(*shape, seed=n) for n, shape in enumerate(SHAPES)]
    one = photograph(90, 61)
    clear = one.copy()
    clear.putalpha(Image.fromarray(np.linspace(0, 255, 90 * 61).astype(np.uint8).reshape(61, 90)))
    return [
        *images,
        one.convert("L"),
        one.convert("P"),
        one.convert("CMYK"),
        clear,
        clear.convert("LA"),
        one.convert("1"),
    ]
