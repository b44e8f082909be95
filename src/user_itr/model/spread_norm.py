"""BatchNorm over a batch that is spread over processes: statistics are those of all its rows.

`torch.nn.SyncBatchNorm` does the same, but only on a GPU. This one uses torch's collectives, so it
also runs on a CPU (gloo), and a process may have no row of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class BatchSpread:
    """How the batch of a forward pass is split; one object for all layers of a model.

    Args:
        group: all processes that hold rows of the batch; used only for these statistics.
        counted: whether this process' rows belong to the batch. A process without rows encodes a
            stand-in, whose rows count in no statistic and get no gradient.
    """

    group: Any
    counted: bool = True


class SpreadBatchNorm(nn.BatchNorm1d):
    """`nn.BatchNorm1d`; if `spread` is set, over the rows of all processes."""

    spread: BatchSpread | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C) or (N, C, L)."""
        if self.spread is None or not self.training:
            return super().forward(x)
        output, mean, variance, count = _Normalise.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.bias, self.eps, self.spread
        )
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        with torch.no_grad():
            unbiased = variance * (count / (count - 1).clamp(min=1))
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
            self.num_batches_tracked.add_(1)
        return output  # type: ignore[no-any-return]


def spread_batch_norm(model: nn.Module, spread: BatchSpread) -> None:
    """Make every BatchNorm of a model normalise over the rows of all processes."""
    for module in model.modules():
        if isinstance(module, SpreadBatchNorm):
            module.spread = spread


class _Normalise(torch.autograd.Function):
    """One collective forwards, one backwards.

    Each process gathers the others' counts, means and sums of squared deviations, and combines them
    as Chan, Golub and LeVeque do, in rank order, so all get the same bits.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, spread: BatchSpread
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        dims, channels = _dims(x), x.shape[1]
        values = x.detach().float()
        own = values.new_zeros(2 * channels + 1)
        if spread.counted and x.numel():
            variance, mean = torch.var_mean(values, dims, correction=0)
            count = x.numel() // channels
            own = torch.cat([mean, variance * count, mean.new_tensor([count])])
        parts = [torch.empty_like(own) for _ in range(dist.get_world_size(spread.group))]
        dist.all_gather(parts, own, group=spread.group)
        gathered = torch.stack(parts)
        means, squares = gathered[:, :channels], gathered[:, channels:-1]
        counts = gathered[:, -1:]
        total = counts.sum()
        mean = (counts * means).sum(dim=0) / total
        variance = (squares + counts * (means - mean).square()).sum(dim=0) / total
        output = F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(variance + eps), total)
        ctx.spread = spread
        ctx.counted = spread.counted
        ctx.mark_non_differentiable(mean, variance, total)
        return output, mean, variance, total

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor, *_: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, mean, scale, total = ctx.saved_tensors
        dims = _dims(x)
        shape = [1, -1] + [1] * (x.dim() - 2)
        gradient = gradient.float()
        unit = (x.float() - mean.view(shape)) * scale.view(shape)
        own_bias, own_weight = gradient.sum(dims), (gradient * unit).sum(dims)
        sums = torch.cat([own_bias, own_weight])
        if not ctx.counted:
            sums = torch.zeros_like(sums)
        dist.all_reduce(sums, group=ctx.spread.group)
        if not ctx.counted:
            return torch.zeros_like(x), own_weight, own_bias, None, None
        of_mean, of_scale = (sums / total).chunk(2)
        centred = gradient - of_mean.view(shape) - unit * of_scale.view(shape)
        inputs = centred * (weight.float() * scale).view(shape)
        return inputs.to(x.dtype), own_weight, own_bias, None, None


def _dims(x: Tensor) -> list[int]:
    return [0, *range(2, x.dim())]
