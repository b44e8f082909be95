"""Global semantic enhancement: a global vector is made from an image and poured into its regions.

USER (arXiv 2301.06844), section on unified semantic enhancement: the self-guided module (SGE) makes
the vector from the regions themselves; `enhance` is what both it and the CLIP-guided one share.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from user_itr.model.masking import MaskedBatchNorm, masked_mean, masked_softmax


class SelfGuide(nn.Module):
    """SGE: attention over regions, steered by their mean, gives one global vector an image.

    With m the mean of the regions v_i::

        l_i = dropout(tanh(BN(W_l v_i)))       q = dropout(tanh(BN(W_g m)))
        w   = softmax_i(w_c . (l_i * q))       g = l2norm(sum_i w_i v_i)

    Args:
        width: d, the width of a region.
        dropout: probability, 0.4 in the paper.
    """

    def __init__(self, width: int, dropout: float = 0.4) -> None:
        super().__init__()
        self.local = nn.Linear(width, width)
        self.local_norm = MaskedBatchNorm(width)
        self.mean = nn.Linear(width, width)
        self.mean_norm = MaskedBatchNorm(width)
        self.common = nn.Linear(width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, regions: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return g, (B, d) unit-norm, of regions (B, K, d) and mask (B, K)."""
        local = self.dropout(torch.tanh(self.local_norm(self.local(regions), mask)))
        mean = self.mean(masked_mean(regions, mask))
        query = self.dropout(torch.tanh(self.mean_norm(mean)))
        scores = self.common(local * query.unsqueeze(1)).squeeze(-1)
        weights = masked_softmax(scores.float(), mask)
        return F.normalize(torch.einsum("bk,bkd->bd", weights, regions.float()), dim=-1)


def enhance(
    regions: Tensor, guide: Tensor, mask: Tensor | None = None, scale: float = 1.0
) -> Tensor:
    """Pour a global vector into the regions: v_i' = v_i + a_i g.

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
