"""How a batch is split among ranks, and how their results are gathered.

Rank r takes a contiguous run of the batch's images, with their captions. Every rank draws the
order, the views and the augmentation of the whole batch and knows how it is split. So only
embeddings are exchanged, and no draw depends on the number of ranks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from user_itr.objective.contrastive import Sentences


@dataclass
class Layout:
    """A batch of B images and T captions as R ranks share it, seen by one of them.

    Not frozen, for the same reason as `Batch`.

    Args:
        rank: the one that looks.
        image_counts: R numbers of images, B in all; 0 for ranks beyond the B-th.
        caption_counts: R numbers of captions, T in all.
        gathered: (T,) int64, where the whole batch's captions stand when those of rank 0 come
            first, then those of rank 1, and so on.
        image_owner: (B,) int64, as `Batch.image_owner`, of the whole batch.
        caption_image: (T,) int64, as `Batch.caption_image`, of the whole batch.
        sentences: as `Batch.sentences`, of the whole batch.
    """

    rank: int
    image_counts: tuple[int, ...]
    caption_counts: tuple[int, ...]
    gathered: Tensor
    image_owner: Tensor
    caption_image: Tensor
    sentences: Sentences | None = None

    @property
    def has_images(self) -> bool:
        """Whether the rank has images; one without encodes the batch's first as a stand-in."""
        return self.image_counts[self.rank] > 0

    @property
    def kept(self) -> slice:
        """The images of the batch that the rank encodes."""
        if not self.has_images:
            return slice(0, 1)
        start = sum(self.image_counts[: self.rank])
        return slice(start, start + self.image_counts[self.rank])

    @property
    def weight(self) -> float:
        """The rank's part of the batch's images."""
        return self.image_counts[self.rank] / sum(self.image_counts)

    def gather(self, images: Tensor, captions: Tensor, group: Any) -> tuple[Tensor, Tensor]:
        """Embeddings of all ranks in the order of the whole batch: (B, D) and (T, D).

        Every rank must compute the same loss from them. Then each has, without further exchange,
        the whole gradient of its own rows. It is multiplied by R, because gradients of parameters
        are averaged over ranks, while the gradient of the loss is their sum.

        Args:
            images: (B_r, D), the rank's own.
            captions: (T_r, D), the rank's own.
            group: the processes.
        """
        gathered: Tensor = _GatherRows.apply(  # type: ignore[no-untyped-call]
            captions, self.caption_counts, self.rank, group
        )
        images = _GatherRows.apply(  # type: ignore[no-untyped-call]
            images, self.image_counts, self.rank, group
        )
        return images, gathered[self.gathered]

    def mean(self, values: Tensor, group: Any) -> Tensor:
        """Mean of each rank's (V,) values, by the images that each has; gradients as in `gather`.

        Args:
            values: of the rank's own images.
            group: the processes.
        """
        mean: Tensor = _WeightedSum.apply(values, self.weight, group)  # type: ignore[no-untyped-call]
        return mean

    def to(self, device: torch.device) -> Layout:
        """The layout on a device."""
        return replace(
            self,
            gathered=self.gathered.to(device),
            image_owner=self.image_owner.to(device),
            caption_image=self.caption_image.to(device),
            sentences=None if self.sentences is None else self.sentences.to(device),
        )


def share_out(image_owner: np.ndarray, caption_image: np.ndarray, rank: int, ranks: int) -> Layout:
    """Give each rank its part of a batch; sizes differ by one image at most, the first have more.

    Args:
        image_owner: (B,) int64.
        caption_image: (T,) int64.
        rank: the one that looks.
        ranks: R.
    """
    count = len(image_owner)
    sizes = np.full(ranks, count // ranks)
    sizes[: count % ranks] += 1
    rank_of_caption = np.repeat(np.arange(ranks), sizes)[caption_image]
    order = np.argsort(rank_of_caption, kind="stable")
    gathered = np.empty_like(order)
    gathered[order] = np.arange(len(order))
    return Layout(
        rank,
        tuple(sizes.tolist()),
        tuple(np.bincount(rank_of_caption, minlength=ranks).tolist()),
        torch.from_numpy(gathered),
        torch.from_numpy(image_owner.astype(np.int64)),
        torch.from_numpy(caption_image.astype(np.int64)),
    )


class _GatherRows(torch.autograd.Function):
    """Rows of all ranks, in rank order. Counts are known, so no rank asks another for its own."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: tuple[int, ...], rank: int, group: Any) -> Tensor:
        ctx.start, ctx.count, ctx.ranks = sum(counts[:rank]), counts[rank], len(counts)
        ctx.shape = rows.shape
        sent = rows.new_zeros(max(counts), *rows.shape[1:])  # gloo gathers equal shapes alone
        sent[: counts[rank]] = rows.detach()[: counts[rank]]
        received = [torch.empty_like(sent) for _ in counts]
        dist.all_gather(received, sent, group=group)
        return torch.cat([part[:count] for part, count in zip(received, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        if ctx.count == 0:
            return gradient.new_zeros(ctx.shape), None, None, None
        return ctx.ranks * gradient[ctx.start : ctx.start + ctx.count], None, None, None


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: float, group: Any) -> Tensor:
        ctx.factor = weight * dist.get_world_size(group)
        total = values.detach() * weight
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.factor * gradient, None, None
