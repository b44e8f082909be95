"""Measurements of made-up ranks."""

from __future__ import annotations

import numpy as np

from user_itr.ablation.grid import Grid
from user_itr.ablation.measurement import Measurement
from user_itr.ablation.runner import Result

IMAGES, CAPTIONS = 40, 3


def measured(seed: int, scale: float) -> Measurement:
    """Ranks that are the worse the greater `scale` is."""
    random = np.random.default_rng(seed)
    return Measurement(
        1 + random.exponential(scale, IMAGES).astype(int),
        1 + random.exponential(scale, IMAGES * CAPTIONS).astype(int),
        np.repeat(np.arange(IMAGES), CAPTIONS),
        split_key="dev",
        minutes=1.5,
        parameters=1000,
        epoch=3,
    )


def grid(**labels: str) -> Grid:
    """A grid of these rows; the first is the reference."""
    return Grid.model_validate(
        {
            "description": "What helps.",
            "base": "demo",
            "seeds": [0, 1],
            "reference": next(iter(labels)),
            "rows": {name: {"label": label} for name, label in labels.items()},
        }
    )


RESULTS = [
    Result("base", 0, measured(0, 8)),
    Result("base", 1, measured(1, 8)),
    Result("new", 0, measured(2, 3)),
    Result("new", 1, None, "training diverged; lower the rate."),
    Result("odd", 5, measured(3, 8)),
]
"""Of `GRID`: `new` failed with one seed, `odd` has no seed in common with the reference."""

GRID = grid(base="Base | line", new="[new] part", odd="Other seed")
