"""Image branch: enhancement, projection, pooling, unit norm."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from user_itr.model.enhancement import SelfGuide, enhance
from user_itr.model.pooling import GeneralizedPooling
from user_itr.model.projection import RegionProjection

Enhancement = Literal["none", "self"]


class ImageEncoder(nn.Module):
    """Regions of an image to one unit vector in the joint space.

    Args:
        width: d, the width of a region.
        embedding: D, the width of the joint space.
        enhancement: "self" for SGE, "none" for plain VSE-infinity.
        guide_dropout: dropout inside SGE.
        projection_dropout: dropout in the projection's MLP.
        attention_scale: lambda_a of the enhancement.
        region_dropout: in training each batch keeps a random share of its regions, drawn from
            [1 - region_dropout, 1] (the size augmentation of VSE-infinity).
    """

    def __init__(
        self,
        width: int,
        embedding: int = 1024,
        enhancement: Enhancement = "self",
        guide_dropout: float = 0.4,
        projection_dropout: float = 0.0,
        attention_scale: float = 1.0,
        region_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.attention_scale = attention_scale
        self.region_dropout = region_dropout
        self.guide = SelfGuide(width, guide_dropout) if enhancement == "self" else None
        self.projection = RegionProjection(width, embedding, projection_dropout)
        self.pooling = GeneralizedPooling()

    def forward(self, regions: Tensor, mask: Tensor | None = None) -> Tensor:
        """Encode.

        Args:
            regions: (B, K, d).
            mask: (B, K) bool, True where a region is real; None where all are.

        Returns:
            (B, D) float32, unit-norm.
        """
        if self.training and self.region_dropout > 0:
            regions, mask = drop_regions(regions, mask, self.region_dropout)
        if self.guide is not None:
            guide = self.guide(regions, mask)
            regions = enhance(regions, guide, mask, self.attention_scale)
        pooled = self.pooling(self.projection(regions, mask), mask)
        return F.normalize(pooled.float(), dim=-1)


def drop_regions(
    regions: Tensor, mask: Tensor | None, share: float
) -> tuple[Tensor, Tensor | None]:
    """Keep a random subset of the K regions, the same positions throughout the batch.

    One draw a batch keeps the tensors dense. At least one region stays; where padding would leave
    an image without a region, the batch keeps all of them.

    Args:
        regions: (B, K, d).
        mask: (B, K) bool or None.
        share: largest share to drop; the share itself is uniform in [0, share].

    Returns:
        (B, K', d) and (B, K') with K' <= K.
    """
    count = regions.shape[1]
    dropped = int(count * share * torch.rand(()).item())
    kept = torch.randperm(count)[: max(1, count - dropped)].sort().values.to(regions.device)
    if mask is None:
        return regions[:, kept], None
    kept_mask = mask[:, kept]
    if not bool(kept_mask.any(dim=1).all()):
        return regions, mask
    return regions[:, kept], kept_mask
