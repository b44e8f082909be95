"""Global semantic enhancement: a global vector of an image is added to its regions.

USER (arXiv 2301.06844), section on unified semantic enhancement: the self-guided module (SGE) makes
the vector from the regions themselves, the CLIP-guided one (CGE) from a frozen image encoder's
embedding of the whole image; both share `enhance`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from user_itr.model.masking import (
    MaskedBatchNorm,
    RegionAxisBatchNorm,
    masked_mean,
    masked_softmax,
)


class SelfGuide(nn.Module):
    """SGE: attention over regions, with their mean as query, gives one global vector per image.

    With m the mean of the regions v_i::

        l_i = dropout(tanh(BN(W_l v_i)))       q = dropout(tanh(BN(W_g m)))
        w   = softmax_i(w_c . (l_i * q))       g = l2norm(sum_i w_i v_i)

    With several heads, not in the paper, each has its own w_c; the weights w are their mean.

    Args:
        width: d, the width of a region.
        dropout: probability, 0.4 in the paper.
        heads: 1 in the paper.
        norm_regions: K, to normalise l over the region axis with exactly K regions, as published
            checkpoints do; None normalises each feature, for any number of regions.
        xavier: initialise W_l, W_g and w_c by Xavier's uniform distribution, with zero biases, as
            the published code does: 1.73 (w_c: 2.45) times wider than PyTorch's default.
    """

    def __init__(
        self,
        width: int,
        dropout: float = 0.4,
        heads: int = 1,
        norm_regions: int | None = None,
        xavier: bool = False,
    ) -> None:
        super().__init__()
        self.local = nn.Linear(width, width)
        self.local_norm: nn.Module = (
            MaskedBatchNorm(width) if norm_regions is None else RegionAxisBatchNorm(norm_regions)
        )
        self.mean = nn.Linear(width, width)
        self.mean_norm = MaskedBatchNorm(width)
        self.common = nn.Linear(width, heads)
        self.dropout = nn.Dropout(dropout)
        if xavier:
            for linear in (self.local, self.mean, self.common):
                nn.init.xavier_uniform_(linear.weight)
                nn.init.zeros_(linear.bias)

    def forward(self, regions: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return g, (B, d) unit-norm, of regions (B, K, d) and mask (B, K)."""
        local = self.dropout(torch.tanh(self.local_norm(self.local(regions), mask)))
        mean = self.mean(masked_mean(regions, mask))
        query = self.dropout(torch.tanh(self.mean_norm(mean)))
        scores = self.common(local * query.unsqueeze(1)).float()
        weights = torch.stack([masked_softmax(s, mask) for s in scores.unbind(-1)]).mean(dim=0)
        return F.normalize(torch.einsum("bk,bkd->bd", weights, regions.float()), dim=-1)


class GlobalGuide(nn.Module):
    """CGE: a frozen image encoder's embedding e of the whole image, mapped to the regions' width.

    With e at unit norm, g = l2norm(W_1 e) is added to the regions; r = W_2 e, the residual, is
    added to the pooled image embedding before its own unit norm.

    Args:
        guide_width: G, the width of the guide's embedding.
        width: d, the width of a region.
        embedding: D, the width of the joint space.
        residual: whether to compute r; without it only the regions see the guide.
    """

    def __init__(self, guide_width: int, width: int, embedding: int, residual: bool = True) -> None:
        super().__init__()
        self.regions = nn.Linear(guide_width, width)
        self.residual = nn.Linear(guide_width, embedding) if residual else None

    def forward(self, guide: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return g, (B, d) unit-norm, and r, (B, D) or None, of guide embeddings (B, G)."""
        unit = F.normalize(guide.float(), dim=-1)
        residual = None if self.residual is None else self.residual(unit)
        return F.normalize(self.regions(unit).float(), dim=-1), residual


def enhance(
    regions: Tensor, guide: Tensor, mask: Tensor | None = None, scale: float = 1.0
) -> Tensor:
    """Add a global vector to the regions: v_i' = v_i + a_i g.

    a = softmax_i(scale * g . v_i), then a = a / ||a||_2 (the paper's lambda_a is `scale`).

    Args:
        regions: (B, K, d).
        guide: (B, d) unit-norm.
        mask: (B, K) bool.
        scale: sharpness of the softmax.

    Returns:
        (B, K, d); padded regions come back unchanged.
    """
    scores = scale * torch.einsum("bd,bkd->bk", guide.float(), regions.float())
    attention = F.normalize(masked_softmax(scores, mask), dim=-1).to(regions.dtype)
    return regions + attention.unsqueeze(-1) * guide.to(regions.dtype).unsqueeze(1)
