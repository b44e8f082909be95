"""Poolings of a padded set: mean, max, and the generalised pooling operator (GPO).

GPO is a learned weighting of each feature's sorted values: Chen et al., "Learning the best pooling
strategy for visual semantic embedding", CVPR 2021. Mean and max are its extremes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from user_itr.model.masking import masked_mean
from user_itr.model.sorting import sort_descending


class MeanPooling(nn.Module):
    """The mean over a set."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool (B, N, D) with mask (B, N) to (B, D)."""
        return masked_mean(x, mask)


class MaxPooling(nn.Module):
    """The largest value of each feature over a set."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool (B, N, D) with mask (B, N), at least one valid position per row, to (B, D)."""
        if mask is not None:
            x = x.masked_fill(~mask.unsqueeze(-1), torch.finfo(x.dtype).min)
        return x.amax(dim=1)


def position_codes(count: int, width: int) -> Tensor:
    """Sinusoidal codes of positions 0..count-1: (count, width) float32, sine and cosine in turn."""
    position = torch.arange(count, dtype=torch.float32).unsqueeze(1)
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000.0) / width))
    codes = torch.zeros(count, width)
    codes[:, 0::2] = torch.sin(position * rate)
    codes[:, 1::2] = torch.cos(position * rate)
    return codes


class GeneralizedPooling(nn.Module):
    """Sort every feature over the set, then take a weighted sum: out_d = sum_k theta_k max_k(x_d).

    The weights theta depend on the size of the set alone: a bidirectional GRU reads the position
    codes 0..n-1, the mean of its two directions goes through a linear map to one score per
    position, and a softmax at a low temperature makes them sum to one. So they are computed once
    per distinct size in the batch, not once per item.

    Args:
        code_width: width of the position codes.
        hidden: width of the GRU.
        temperature: of the softmax over positions.
    """

    def __init__(self, code_width: int = 32, hidden: int = 32, temperature: float = 0.1) -> None:
        super().__init__()
        self.code_width = code_width
        self.temperature = temperature
        self.gru = nn.GRU(code_width, hidden, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(hidden, 1, bias=False)

    def weights(self, sizes: Tensor) -> Tensor:
        """Pooling weights of sets of the given sizes.

        Args:
            sizes: (U,) int64, each at least 1; on the CPU, to avoid waiting for a GPU.

        Returns:
            (U, max size) float32, on the module's device; row u sums to 1 over its first sizes[u]
            positions, 0 after them.
        """
        sizes = sizes.cpu()
        longest = int(sizes.max())
        codes = position_codes(longest, self.code_width).to(self.linear.weight.device)
        with torch.autocast(codes.device.type, enabled=False):
            batch = codes.expand(len(sizes), -1, -1)
            packed = pack_padded_sequence(batch, sizes, batch_first=True, enforce_sorted=False)
            states, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)
            forward, backward = states.chunk(2, dim=-1)
            scores = self.linear((forward + backward) / 2).squeeze(-1) / self.temperature
        valid = (torch.arange(longest) < sizes.unsqueeze(1)).to(scores.device)
        scores = scores.masked_fill(~valid, torch.finfo(scores.dtype).min)
        return torch.softmax(scores, dim=-1).masked_fill(~valid, 0.0)

    def table(self, longest: int) -> Tensor:
        """Weights of every size up to `longest`, for several batches: row n - 1 is that of n."""
        return self.weights(torch.arange(1, longest + 1))

    def forward(self, x: Tensor, mask: Tensor | None = None, table: Tensor | None = None) -> Tensor:
        """Pool a set.

        Args:
            x: (B, N, D).
            mask: (B, N) bool; every row has at least one valid position.
            table: weights from `table(n)` with n >= N; by default they are computed here.

        Returns:
            (B, D) in the dtype of `x`.
        """
        if mask is None:
            weights = self.weights(torch.tensor([x.shape[1]])).expand(len(x), -1)
            ordered = sort_descending(x)
        else:
            sizes = mask.sum(dim=1)
            if table is None:
                distinct, which = torch.unique(sizes, return_inverse=True)
                weights = self.weights(distinct)[which]
            else:
                weights = table[sizes - 1, : x.shape[1]]
            filled = x.masked_fill(~mask.unsqueeze(-1), torch.finfo(x.dtype).min)
            ordered = sort_descending(filled)[:, : weights.shape[1]]
            # Padding sorts last with weight 0, but 0 times the lowest number must not be summed.
            ordered = ordered.masked_fill((weights == 0).unsqueeze(-1), 0.0)
        return torch.einsum("bnd,bn->bd", ordered.float(), weights.float()).to(x.dtype)
