"""Compact region features: the grid pooled to fewer cells, the width cut by a whitening PCA."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from user_itr.errors import FeatureError

FIT_VECTORS = 200_000
"""At most this many region vectors, evenly spread over the train rows, fit the PCA."""


class Compactor(nn.Module):
    """Grid pooling, then y = (x - mean) @ components, scaled so that ||y|| is 1 on average.

    The map is part of a model: its buffers are stored in the checkpoint, and images are made
    compact the same way when they are indexed or searched.

    Args:
        regions: K, regions of the raw features.
        width: d, width of the raw features.
        grid: cells a side after pooling, or None to keep the K regions.
        components: width after the projection, or None to keep d.

    Raises:
        FeatureError: if K is no square number while `grid` is given, or a target is larger than
            its source.
    """

    mean: Tensor
    projection: Tensor

    def __init__(self, regions: int, width: int, grid: int | None, components: int | None) -> None:
        super().__init__()
        self.side = math.isqrt(regions)
        self.grid = grid
        if grid is not None and self.side**2 != regions:
            raise FeatureError(
                f"features.grid: {regions} regions are no square grid; leave features.grid out."
            )
        if grid is not None and grid > self.side:
            raise FeatureError(
                f"features.grid: {grid} is finer than the features' {self.side} x {self.side}; "
                f"give at most {self.side}."
            )
        if components is not None and components > width:
            raise FeatureError(
                f"features.width: {components} is more than the features' {width}; "
                f"give at most {width}."
            )
        self.regions = regions if grid is None else grid * grid
        self.width = width if components is None else components
        if components is not None:
            self.register_buffer("mean", torch.zeros(width))
            self.register_buffer("projection", torch.zeros(width, components))
        else:
            self.projection = torch.empty(0)

    def pool(self, regions: Tensor, window: tuple[slice, slice] | None = None) -> Tensor:
        """Average-pool the grid, or a window of it: (B, K, d) to (B, grid * grid, d)."""
        if self.grid is None or (self.grid == self.side and window is None):
            return regions
        maps = regions.transpose(1, 2).reshape(len(regions), -1, self.side, self.side)
        if window is not None:
            maps = maps[:, :, window[0], window[1]]
        return F.adaptive_avg_pool2d(maps, self.grid).flatten(2).transpose(1, 2)

    def forward(self, regions: Tensor, window: tuple[slice, slice] | None = None) -> Tensor:
        """Make raw features compact.

        Args:
            regions: (B, K, d).
            window: rows and columns of the grid to pool; the whole grid by default. It needs
                `grid`.

        Returns:
            (B, K', d') float32.
        """
        pooled = self.pool(regions.float(), window)
        return (pooled - self.mean) @ self.projection if self.projection.numel() else pooled

    @torch.no_grad()
    def fit(self, features: np.ndarray, rows: np.ndarray, whitening: float = 1.0) -> None:
        """Fit mean and projection on some rows, read in blocks from a memory map.

        Args:
            features: (N, K, d) raw features.
            rows: (T,) int64, the rows to fit on: the train split alone.
            whitening: exponent of whitening, 0 plain PCA, 1 equal variances.
        """
        if not self.projection.numel():
            return
        wanted = max(1, min(len(rows), FIT_VECTORS // self.regions))
        chosen = np.sort(rows[np.linspace(0, len(rows) - 1, wanted).astype(np.int64)])
        width = len(self.mean)
        total = torch.zeros(width, dtype=torch.float64)
        products = torch.zeros(width, width, dtype=torch.float64)
        count = 0
        for start in range(0, len(chosen), 256):
            block = torch.from_numpy(features[chosen[start : start + 256]].astype(np.float32))
            vectors = self.pool(block).reshape(-1, width)
            total += vectors.sum(dim=0).double()
            products += (vectors.t() @ vectors).double()
            count += len(vectors)
        mean = total / count
        variances, vectors = torch.linalg.eigh(products / count - torch.outer(mean, mean))
        keep = self.projection.shape[1]
        variances, vectors = variances.flip(0)[:keep].clamp(min=0), vectors.flip(1)[:, :keep]
        scale = (variances + 1e-6 * variances[0].clamp(min=1e-12)) ** (-0.5 * whitening)
        projection = vectors * scale
        self.mean.copy_(mean)
        self.projection.copy_(projection)
        sample = torch.from_numpy(
            features[chosen[:: max(1, len(chosen) // 512)]].astype(np.float32)
        )
        self.projection /= self(sample).norm(dim=-1).mean().clamp(min=1e-12)

    @torch.no_grad()
    def apply_to(self, features: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Compact features of some rows: (T, K', d') float16, read in blocks from a memory map."""
        compact = np.empty((len(rows), self.regions, self.width), dtype=np.float16)
        for start in range(0, len(rows), 256):
            block = features[rows[start : start + 256]].astype(np.float32)
            compact[start : start + 256] = self(torch.from_numpy(block)).numpy()
        return compact


def fit_compactor(
    features: np.ndarray,
    rows: np.ndarray,
    grid: int | None,
    components: int | None,
    whitening: float = 0.0,
) -> Compactor | None:
    """A compactor fitted on the train rows; None where nothing is to be compact.

    Args:
        features: (N, K, d) raw features.
        rows: (T,) int64, the rows of the train split.
        grid: as `Compactor` takes it, and so is the next.
        components: width after the projection.
        whitening: exponent of whitening.
    """
    if grid is None and components is None:
        return None
    compactor = Compactor(features.shape[1], features.shape[2], grid, components)
    compactor.fit(features, rows, whitening)
    return compactor
