"""Text branch: token encoder, linear map to the joint space, pooling, unit norm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from user_itr.model.pooling import GeneralizedPooling
from user_itr.model.token_encoders import TokenEncoder


class TextEncoder(nn.Module):
    """Turn a caption's tokens into one unit vector in the joint space.

    Args:
        tokens: the token encoder (a BERT-like transformer or a BiGRU).
        embedding: D, the width of the joint space.
        dropout: probability on the token states before the linear map (0 in the paper).
        pooling: (B, L, D) and mask (B, L) to (B, D); GPO by default, as in the paper.
    """

    def __init__(
        self,
        tokens: TokenEncoder,
        embedding: int = 1024,
        dropout: float = 0.0,
        pooling: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.tokens = tokens
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(tokens.width, embedding)
        self.pooling = GeneralizedPooling() if pooling is None else pooling

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Encode.

        Args:
            tokens: (B, L) int64 token ids, or (B, L, W) cached states of the frozen lower part.
            mask: (B, L) bool, True where a token is real.

        Returns:
            (B, D) float32, unit-norm.
        """
        return self._encode(tokens, mask)

    def encode_groups(self, tokens: Sequence[Tensor], masks: Sequence[Tensor]) -> Tensor:
        """Encode captions in groups, each padded to its longest caption.

        GPO's weights depend only on a caption's length, so they are computed once for all groups.

        Args:
            tokens: of each group, as `forward` takes them.
            masks: of each group.

        Returns:
            (T, D) float32, unit-norm, group after group.
        """
        shared = {}
        if isinstance(self.pooling, GeneralizedPooling):
            shared["table"] = self.pooling.table(max(mask.shape[1] for mask in masks))
        return torch.cat([self._encode(t, m, **shared) for t, m in zip(tokens, masks, strict=True)])

    def _encode(self, tokens: Tensor, mask: Tensor, **shared: Tensor) -> Tensor:
        states = self.linear(self.dropout(self.tokens(tokens, mask)))
        return F.normalize(self.pooling(states, mask, **shared).float(), dim=-1)
