"""What all objectives share: a batch's part, a queue's part, and which candidates are negatives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Pairs:
    """B images and their T captions, embedded; caption t describes image `caption_image[t]`.

    Args:
        images: (B, D) unit-norm.
        captions: (T, D) unit-norm.
        caption_image: (T,) int64 row of each caption's image.
        image_owner: (B,) int64 image ids; items with the same id are never negatives of each other.
    """

    images: Tensor
    captions: Tensor
    caption_image: Tensor
    image_owner: Tensor

    @property
    def caption_owner(self) -> Tensor:
        """(T,) int64 image ids of the captions."""
        return self.image_owner[self.caption_image]


@dataclass(frozen=True)
class Keys:
    """What momentum encoders give: a batch's own keys and the two queues of earlier ones.

    Args:
        images: (B, D) unit-norm momentum embeddings of the batch's images.
        captions: (T, D) unit-norm momentum embeddings of the batch's captions.
        image_queue: embeddings (M, D) and owners (M,) int64; M may be 0.
        caption_queue: the same for captions.
    """

    images: Tensor
    captions: Tensor
    image_queue: tuple[Tensor, Tensor]
    caption_queue: tuple[Tensor, Tensor]


class ContrastiveObjective(nn.Module, ABC):
    """batch_weight * (loss among the batch) + queue_weight * (loss against the queues).

    Args:
        batch_weight: lambda of the USER paper; 0 leaves the batch's part out.
        queue_weight: 0 leaves the queue's part out, and momentum encoders are not needed.
        queue_start: epochs in which the queues fill, but their part does not count yet.
        mask_siblings: whether captions and images of the query's own image are no negatives. The
            published code counts them, in the batch and in the queues: False does the same.
    """

    def __init__(
        self,
        batch_weight: float = 1.0,
        queue_weight: float = 1.0,
        queue_start: int = 0,
        mask_siblings: bool = True,
    ) -> None:
        super().__init__()
        self.batch_weight = batch_weight
        self.queue_weight = queue_weight
        self.queue_start = queue_start
        self.mask_siblings = mask_siblings
        self.epoch = 0

    @property
    def uses_momentum(self) -> bool:
        """Whether `forward` needs keys."""
        return self.queue_weight > 0

    def begin_epoch(self, epoch: int) -> None:
        """Tell the objective which epoch begins, counted from 0."""
        self.epoch = epoch

    @abstractmethod
    def batch_part(self, pairs: Pairs) -> Tensor:
        """The loss of a batch whose negatives come from the batch: 0-d."""

    @abstractmethod
    def queue_part(self, pairs: Pairs, keys: Keys) -> Tensor:
        """The loss of a batch whose negatives come from the queues: 0-d."""

    def forward(self, pairs: Pairs, keys: Keys | None = None) -> dict[str, Tensor]:
        """Compute the loss of a batch.

        Args:
            pairs: the batch.
            keys: its momentum embeddings and the queues; needed if `uses_momentum`.

        Returns:
            0-d tensors: "loss", and its parts "batch", "queue" before their weights.

        Raises:
            ValueError: if keys are needed and missing.
        """
        if not self.mask_siblings:
            pairs, keys = _forget_siblings(pairs, keys)
        zero = pairs.images.new_zeros((), dtype=torch.float32)
        batch = self.batch_part(pairs) if self.batch_weight > 0 else zero
        queue = zero
        if self.uses_momentum and self.epoch >= self.queue_start:
            if keys is None:
                raise ValueError("the objective has a queue's part and needs keys")
            queue = self.queue_part(pairs, keys)
        loss = self.batch_weight * batch + self.queue_weight * queue
        return {"loss": loss, "batch": batch.detach(), "queue": queue.detach()}


class PairwiseObjective(ContrastiveObjective):
    """An objective that is a mean over pairs of one term, in both directions of both sources."""

    @abstractmethod
    def pair_term(
        self, positives: Tensor, query: Tensor, scores: Tensor, negatives: Tensor
    ) -> Tensor:
        """The loss of every pair in one direction: (P,).

        Args:
            positives: (P,) similarities of the pairs.
            query: (P,) int64, the row of `scores` that holds a pair's negatives.
            scores: (Q, N) similarities.
            negatives: (Q, N) bool, True where a candidate is a negative of the query.
        """

    def batch_part(self, pairs: Pairs) -> Tensor:
        """Negatives are the other images' captions, and the other images, of the batch."""
        scores = similarities(pairs.images, pairs.captions)
        negatives = differs(pairs.image_owner, pairs.caption_owner)
        rows = torch.arange(scores.shape[1], device=scores.device)
        own = scores[pairs.caption_image, rows]
        to_captions = self.pair_term(own, pairs.caption_image, scores, negatives)
        to_images = self.pair_term(own, rows, scores.t(), negatives.t())
        return to_captions.mean() + to_images.mean()

    def queue_part(self, pairs: Pairs, keys: Keys) -> Tensor:
        """Negatives are the queues' entries, positives the pairs' own keys."""
        image_keys, image_owner = keys.image_queue
        caption_keys, caption_owner = keys.caption_queue
        rows = torch.arange(len(pairs.captions), device=pairs.captions.device)
        to_captions = self.pair_term(
            row_products(pairs.images[pairs.caption_image], keys.captions),
            pairs.caption_image,
            similarities(pairs.images, caption_keys),
            differs(pairs.image_owner, caption_owner),
        )
        to_images = self.pair_term(
            row_products(pairs.captions, keys.images[pairs.caption_image]),
            rows,
            similarities(pairs.captions, image_keys),
            differs(pairs.caption_owner, image_owner),
        )
        return to_captions.mean() + to_images.mean()


def similarities(left: Tensor, right: Tensor) -> Tensor:
    """Dot products (Q, N) of two sets, in float32 at least, whatever autocast says."""
    with torch.autocast(left.device.type, enabled=False):
        return at_least_float32(left) @ at_least_float32(right).t()


def row_products(left: Tensor, right: Tensor) -> Tensor:
    """Dot products (P,) of matching rows, in float32 at least."""
    return (at_least_float32(left) * at_least_float32(right)).sum(dim=-1)


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor in float32, or in float64 if it is."""
    return x if x.dtype == torch.float64 else x.float()


def differs(query_owner: Tensor, candidate_owner: Tensor) -> Tensor:
    """(Q, N) bool, True where query (Q,) and candidate (N,) belong to different images."""
    return query_owner.unsqueeze(1) != candidate_owner.unsqueeze(0)


def _forget_siblings(pairs: Pairs, keys: Keys | None) -> tuple[Pairs, Keys | None]:
    """Give each batch row an image id of its own, and every queue entry one that no row has."""
    rows = torch.arange(len(pairs.images), device=pairs.images.device)
    if keys is not None:
        (images, image_owner), (captions, caption_owner) = keys.image_queue, keys.caption_queue
        keys = replace(
            keys,
            image_queue=(images, torch.full_like(image_owner, -1)),
            caption_queue=(captions, torch.full_like(caption_owner, -1)),
        )
    return replace(pairs, image_owner=rows), keys
