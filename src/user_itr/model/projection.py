"""Projections of regions into the joint space: x_i = FC(v_i) + MLP(v_i), or FC(v_i) alone."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from user_itr.model.masking import MaskedBatchNorm


class RegionProjection(nn.Module):
    """FC(v) + MLP(v), the MLP of two layers d -> D/2 -> D with BatchNorm and ReLU between.

    Args:
        width: d, the width of a region.
        embedding: D, the width of the joint space.
        dropout: probability on the MLP's hidden layer (0 in the paper).
    """

    def __init__(self, width: int, embedding: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear = nn.Linear(width, embedding)
        self.hidden = nn.Linear(width, embedding // 2)
        self.norm = MaskedBatchNorm(embedding // 2)
        self.output = nn.Linear(embedding // 2, embedding)
        self.dropout = nn.Dropout(dropout)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, regions: Tensor, mask: Tensor | None = None) -> Tensor:
        """Project regions (B, K, d) with mask (B, K) to (B, K, D)."""
        hidden = F.relu(self.norm(self.hidden(regions), mask))
        projected: Tensor = self.linear(regions) + self.output(self.dropout(hidden))
        return projected


class LinearProjection(nn.Module):
    """FC(v), the image branch of VSE++.

    Args:
        width: d, the width of a region.
        embedding: D, the width of the joint space.
    """

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, embedding)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, regions: Tensor, mask: Tensor | None = None) -> Tensor:
        """Project regions (B, K, d) to (B, K, D); the mask (B, K) changes nothing."""
        projected: Tensor = self.linear(regions)
        return projected
