"""Means, softmaxes and BatchNorm over the valid positions of a padded set, exact at the padding.

Throughout the package a mask is (B, N) bool, True where a position is real; `None` means that all
positions are real. Whatever stands in a padded position changes no output.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def masked_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the valid positions: (B, N, D) and mask (B, N) to (B, D); 0 where there is none."""
    if mask is None:
        return x.mean(dim=1)
    total = x.masked_fill(~mask.unsqueeze(-1), 0.0).sum(dim=1)
    return total / mask.sum(dim=1, keepdim=True).clamp(min=1).to(x.dtype)


def masked_softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the valid positions of the last dimension: (B, N) to (B, N), 0 at the padding.

    A row without a valid position gives zeros.
    """
    if mask is None:
        return torch.softmax(scores, dim=-1)
    lowest = torch.finfo(scores.dtype).min
    weights = torch.softmax(scores.masked_fill(~mask, lowest), dim=-1)
    return weights.masked_fill(~mask, 0.0)


class MaskedBatchNorm(nn.BatchNorm1d):
    """BatchNorm over the last dimension whose batch statistics come from valid positions alone.

    The published code normalises over the region axis with a fixed count of 36; here every feature
    is normalised over the valid regions of the batch, so any number of regions works and padding
    cannot leak into the statistics.
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise.

        Args:
            x: (..., D).
            mask: shape of `x` without D, bool.

        Returns:
            (..., D); padded positions hold 0 in training mode and an unused value otherwise.

        Raises:
            ValueError: in training mode, where fewer than two positions are valid.
        """
        if mask is None or not self.training:
            return super().forward(x.reshape(-1, x.shape[-1])).view_as(x)
        valid = super().forward(x[mask])
        return torch.zeros_like(x, dtype=valid.dtype).masked_scatter(mask.unsqueeze(-1), valid)
