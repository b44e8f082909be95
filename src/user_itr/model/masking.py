"""Means, softmaxes and BatchNorm over the valid positions of a padded set, exact at the padding.

Throughout the package a mask is (B, N) bool, True where a position is real; `None` means that all
positions are real. The contents of padded positions change no output.
"""

from __future__ import annotations

import torch
from torch import Tensor

from user_itr.errors import FeatureError
from user_itr.model.spread_norm import SpreadBatchNorm


def masked_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the valid positions: (B, N, D) and mask (B, N) to (B, D); 0 if there are none."""
    if mask is None:
        return x.mean(dim=1)
    total = x.masked_fill(~mask.unsqueeze(-1), 0.0).sum(dim=1)
    return total / mask.sum(dim=1, keepdim=True).clamp(min=1).to(x.dtype)


def masked_softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the valid positions of the last dimension: (B, N) to (B, N), 0 at the padding.

    A row without valid positions gives zeros.
    """
    if mask is None:
        return torch.softmax(scores, dim=-1)
    lowest = torch.finfo(scores.dtype).min
    weights = torch.softmax(scores.masked_fill(~mask, lowest), dim=-1)
    return weights.masked_fill(~mask, 0.0)


class MaskedBatchNorm(SpreadBatchNorm):
    """BatchNorm over the last dimension, with batch statistics of the valid positions only.

    Every feature is normalised over the valid regions of the batch, so any number of regions works
    and padding cannot leak into the statistics. `RegionAxisBatchNorm` is the published way.
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise.

        Args:
            x: (..., D).
            mask: shape of `x` without D, bool.

        Returns:
            (..., D); padded positions hold 0 in training mode and an unused value otherwise.

        Raises:
            ValueError: in training mode, if fewer than two positions are valid.
        """
        if mask is None or not self.training:
            return super().forward(x.reshape(-1, x.shape[-1])).view_as(x)
        valid = super().forward(x[mask])
        return torch.zeros_like(x, dtype=valid.dtype).masked_scatter(mask.unsqueeze(-1), valid)


class RegionAxisBatchNorm(SpreadBatchNorm):
    """BatchNorm over the region axis: a mean, a variance, a scale and a shift for each position k.

    This is how the published code of USER (arXiv 2301.06844) normalises the local branch of SGE,
    with K = 36. It ties the model to images of exactly K regions, none of them padding.

    Args:
        regions: K.
    """

    def __init__(self, regions: int) -> None:
        super().__init__(regions)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise.

        Args:
            x: (B, K, D).
            mask: (B, K) bool, all True.

        Returns:
            (B, K, D).

        Raises:
            FeatureError: if an image has another number of regions, or the mask hides one.
        """
        if x.shape[1] != self.num_features:
            raise FeatureError(
                f"an image has {x.shape[1]} regions, but the model was trained with BatchNorm over "
                f"exactly {self.num_features}; give features of {self.num_features} regions."
            )
        if mask is not None and not bool(mask.all()):
            raise FeatureError(
                f"a mask hides some of the {self.num_features} regions, but the model was trained "
                "with BatchNorm over all of them; give every image in full."
            )
        return super().forward(x)
