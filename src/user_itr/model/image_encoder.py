"""Image branch: enhancement, projection, pooling, unit norm."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from user_itr.model.enhancement import GlobalGuide, SelfGuide, enhance


class ImageEncoder(nn.Module):
    """Turn the regions of an image, and its guide embedding if any, into one unit vector.

    With both enhancements the regions take the self-guided vector first, then the global one.

    Args:
        projection: regions (B, K, d) and mask (B, K) to (B, K, D).
        pooling: (B, K, D) and mask (B, K) to (B, D).
        guide: SGE, or None without it.
        global_guide: CGE, or None without it.
        attention_scale: lambda_a of the enhancement.
        region_dropout: in training each batch keeps a random share of its regions, drawn from
            [1 - region_dropout, 1] (the size augmentation of VSE-infinity).

    Attributes:
        draws: generator that `region_dropout` draws from; None for torch's own.
    """

    draws: torch.Generator | None = None

    def __init__(
        self,
        projection: nn.Module,
        pooling: nn.Module,
        guide: SelfGuide | None = None,
        global_guide: GlobalGuide | None = None,
        attention_scale: float = 1.0,
        region_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.attention_scale = attention_scale
        self.region_dropout = region_dropout
        self.guide = guide
        self.global_guide = global_guide
        self.projection = projection
        self.pooling = pooling

    def forward(
        self, regions: Tensor, mask: Tensor | None = None, guide: Tensor | None = None
    ) -> Tensor:
        """Encode.

        Args:
            regions: (B, K, d).
            mask: (B, K) bool, True where a region is real; None if all are.
            guide: (B, G) embeddings of the whole images; an encoder without CGE ignores them.

        Returns:
            (B, D) float32, unit-norm.

        Raises:
            ValueError: if the encoder has CGE and no guide is given.
        """
        if self.training and self.region_dropout > 0:
            regions, mask = drop_regions(regions, mask, self.region_dropout, self.draws)
        vectors, residual = [], None
        if self.guide is not None:
            vectors.append(self.guide(regions, mask))
        if self.global_guide is not None:
            if guide is None:
                raise ValueError("an image encoder with CGE needs guide embeddings")
            vector, residual = self.global_guide(guide)
            vectors.append(vector)
        for vector in vectors:
            regions = enhance(regions, vector, mask, self.attention_scale)
        pooled = self.pooling(self.projection(regions, mask), mask).float()
        return F.normalize(pooled if residual is None else pooled + residual.float(), dim=-1)


def mean_of_views(vectors: Tensor) -> Tensor:
    """The unit vector of images of which V views were encoded: (B, V, D) to (B, D).

    It has the direction of the mean; that of a single view is the view's own, to the last bit.
    """
    return vectors[:, 0] if vectors.shape[1] == 1 else F.normalize(vectors.sum(dim=1), dim=-1)


def drop_regions(
    regions: Tensor, mask: Tensor | None, share: float, draws: torch.Generator | None = None
) -> tuple[Tensor, Tensor | None]:
    """Keep a random subset of the K regions, the same positions throughout the batch.

    One draw per batch keeps the tensors dense. At least one region stays; if an image would be left
    with padding only, the batch keeps all regions.

    Args:
        regions: (B, K, d).
        mask: (B, K) bool or None.
        share: largest share to drop; the share itself is uniform in [0, share].
        draws: a CPU generator; None for torch's own.

    Returns:
        (B, K', d) and (B, K') with K' <= K.
    """
    count = regions.shape[1]
    dropped = int(count * share * torch.rand((), generator=draws).item())
    kept = (
        torch.randperm(count, generator=draws)[: max(1, count - dropped)]
        .sort()
        .values.to(regions.device)
    )
    if mask is None:
        return regions[:, kept], None
    kept_mask = mask[:, kept]
    if not bool(kept_mask.any(dim=1).all()):
        return regions, mask
    return regions[:, kept], kept_mask
