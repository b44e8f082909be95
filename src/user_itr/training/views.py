"""The regions that a batch of images gets: as they are stored, or as another view of each image.

A view is the image or its mirror image, and a window of the grid of regions. Both are made after
the backbone: mirrored images have a store of their own, and a window of the finished grid stands in
for a crop of the image, so no image is decoded in training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from user_itr.features.compact import Compactor
from user_itr.features.regions import Regions


class RegionSource(Protocol):
    """Regions of images of the train split."""

    def __call__(
        self, images: np.ndarray, rng: np.random.Generator, kept: slice = slice(None)
    ) -> Tensor:
        """Regions (B, K, d) float32 of images (B,) int64, any chance drawn from `rng`.

        Only those of `images[kept]` are given, with what chance has them be among all `images`.
        """
        ...


@dataclass(frozen=True)
class StoredRegions:
    """Every image as it is.

    Args:
        array: (rows, K, d) float16 or float32, memory map allowed.
        rows: (N,) int64, each image's row.
    """

    array: np.ndarray
    rows: np.ndarray

    def __call__(
        self, images: np.ndarray, rng: np.random.Generator, kept: slice = slice(None)
    ) -> Tensor:
        """See `RegionSource`."""
        return _float32(self.array[self.rows[images[kept]]])


@dataclass(frozen=True)
class RandomViews:
    """Another view of an image each time.

    Args:
        views: stored regions of the images and of their mirror images, or of the images alone; each
            image takes one of them by chance.
        compactor: makes them compact, or None.
        crop: least share of each side of the grid that a window keeps; 1 for no windows. A batch
            has one window, its sides and its place uniform.
    """

    views: Sequence[Regions]
    compactor: Compactor | None = None
    crop: float = 1.0

    def __call__(
        self, images: np.ndarray, rng: np.random.Generator, kept: slice = slice(None)
    ) -> Tensor:
        """See `RegionSource`."""
        which, window = self.choose(len(images), rng)
        which, images = which[kept], images[kept]
        raw = torch.empty(len(images), *self.views[0].array.shape[1:])
        for number, view in enumerate(self.views):
            chosen = np.flatnonzero(which == number)
            raw[torch.from_numpy(chosen)] = _float32(view.array[view.rows[images[chosen]]])
        if self.compactor is None:
            return raw
        with torch.no_grad():
            compact: Tensor = self.compactor(raw, window)
        return compact

    def choose(
        self, count: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, tuple[slice, slice] | None]:
        """Which view each of `count` images takes, (B,) int64, and the batch's window."""
        which = rng.integers(len(self.views), size=count)
        if self.compactor is None or self.crop == 1:
            return which, None
        side = self.compactor.side
        return which, (self._range(side, rng), self._range(side, rng))

    def _range(self, side: int, rng: np.random.Generator) -> slice:
        length = int(rng.integers(math.ceil(self.crop * side), side + 1))
        start = int(rng.integers(side - length + 1))
        return slice(start, start + length)


def _float32(array: np.ndarray) -> Tensor:
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(native).float()  # NumPy converts float16 far more slowly
