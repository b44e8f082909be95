"""Shared by all objectives: a batch's part, a queue's part, and the choice of negatives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn


@dataclass
class Sentences:
    """Numbers of sentences shared by several images, so a text is not a negative of any of them.

    Not frozen, for the same reason as `Batch`.

    Args:
        of_captions: (T,) int64, each caption's number; -1 for a sentence of only one image.
        of_images: (B, K) int64, the numbers that each image has, padded with -2.
    """

    of_captions: Tensor
    of_images: Tensor

    def to(self, device: torch.device) -> Sentences:
        """Move the numbers to a device."""
        return Sentences(self.of_captions.to(device), self.of_images.to(device))


@dataclass(frozen=True)
class Pairs:
    """B images and their T captions, embedded; caption t describes image `caption_image[t]`.

    Args:
        images: (B, D) unit-norm.
        captions: (T, D) unit-norm.
        caption_image: (T,) int64 row of each caption's image.
        image_owner: (B,) int64 image ids; items with the same id are never negatives of each other.
        sentences: of both sides; a caption is not a negative of another image with its sentence.
    """

    images: Tensor
    captions: Tensor
    caption_image: Tensor
    image_owner: Tensor
    sentences: Sentences | None = None

    @property
    def caption_owner(self) -> Tensor:
        """(T,) int64 image ids of the captions."""
        return self.image_owner[self.caption_image]


@dataclass(frozen=True)
class Keys:
    """Output of the momentum encoders: a batch's own keys and the two queues of earlier ones.

    Args:
        images: (B, D) unit-norm momentum embeddings of the batch's images.
        captions: (T, D) unit-norm momentum embeddings of the batch's captions.
        image_queue: embeddings (M, D) and owners (M,) int64; M may be 0.
        caption_queue: the same for captions.
        queued: sentence numbers of both queues, if the pairs have theirs.
    """

    images: Tensor
    captions: Tensor
    image_queue: tuple[Tensor, Tensor]
    caption_queue: tuple[Tensor, Tensor]
    queued: Sentences | None = None


class ContrastiveObjective(nn.Module, ABC):
    """batch_weight * (loss among the batch) + queue_weight * (loss against the queues).

    Args:
        batch_weight: lambda of the USER paper; 0 leaves the batch's part out.
        queue_weight: 0 leaves the queue's part out; momentum encoders are then not needed.
        queue_start: first epochs in which the queues fill, but their part does not count.
        mask_siblings: whether to leave captions and images of the query's own image out of the
            negatives. The published code counts them in the batch and in the queues, as does False.
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
        """Set the epoch that begins, counted from 0."""
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
                raise ValueError("the objective uses queues and needs keys")
            queue = self.queue_part(pairs, keys)
        loss = self.batch_weight * batch + self.queue_weight * queue
        return {"loss": loss, "batch": batch.detach(), "queue": queue.detach()}


class PairwiseObjective(ContrastiveObjective):
    """The mean of one term over pairs, in both directions, in the batch and against the queues."""

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
        negatives = batch_negatives(pairs)
        rows = torch.arange(scores.shape[1], device=scores.device)
        own = scores[pairs.caption_image, rows]
        to_captions = self.pair_term(own, pairs.caption_image, scores, negatives)
        to_images = self.pair_term(own, rows, scores.t(), negatives.t())
        return to_captions.mean() + to_images.mean()

    def queue_part(self, pairs: Pairs, keys: Keys) -> Tensor:
        """Negatives are the queues' entries, positives the pairs' own keys."""
        among_captions, among_images = queue_negatives(pairs, keys)
        rows = torch.arange(len(pairs.captions), device=pairs.captions.device)
        to_captions = self.pair_term(
            row_products(pairs.images[pairs.caption_image], keys.captions),
            pairs.caption_image,
            similarities(pairs.images, keys.caption_queue[0]),
            among_captions,
        )
        to_images = self.pair_term(
            row_products(pairs.captions, keys.images[pairs.caption_image]),
            rows,
            similarities(pairs.captions, keys.image_queue[0]),
            among_images,
        )
        return to_captions.mean() + to_images.mean()


def similarities(left: Tensor, right: Tensor) -> Tensor:
    """Dot products (Q, N) of two sets, in at least float32 even under autocast."""
    with torch.autocast(left.device.type, enabled=False):
        return at_least_float32(left) @ at_least_float32(right).t()


def row_products(left: Tensor, right: Tensor) -> Tensor:
    """Dot products (P,) of matching rows, in at least float32."""
    return (at_least_float32(left) * at_least_float32(right)).sum(dim=-1)


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor in float32, or unchanged if it is float64."""
    return x if x.dtype == torch.float64 else x.float()


def differs(query_owner: Tensor, candidate_owner: Tensor) -> Tensor:
    """(Q, N) bool, True where query (Q,) and candidate (N,) belong to different images."""
    return query_owner.unsqueeze(1) != candidate_owner.unsqueeze(0)


def batch_negatives(pairs: Pairs) -> Tensor:
    """(B, T) bool, True where an image and a caption of the batch are negatives of each other."""
    negatives = differs(pairs.image_owner, pairs.caption_owner)
    if pairs.sentences is not None:
        negatives &= ~_has(pairs.sentences.of_images, pairs.sentences.of_captions)
    return negatives


def queue_negatives(pairs: Pairs, keys: Keys) -> tuple[Tensor, Tensor]:
    """Negatives in the queues: (B, M) bool of images' captions, (T, M) bool of captions' images."""
    to_captions = differs(pairs.image_owner, keys.caption_queue[1])
    to_images = differs(pairs.caption_owner, keys.image_queue[1])
    if pairs.sentences is not None and keys.queued is not None:
        to_captions &= ~_has(pairs.sentences.of_images, keys.queued.of_captions)
        to_images &= ~_has(keys.queued.of_images, pairs.sentences.of_captions).t()
    return to_captions, to_images


def _has(of_images: Tensor, of_captions: Tensor) -> Tensor:
    """(B, T) bool, True where image (B, K) has the sentence of caption (T,)."""
    return (of_images.unsqueeze(1) == of_captions.view(1, -1, 1)).any(dim=-1)


def _forget_siblings(pairs: Pairs, keys: Keys | None) -> tuple[Pairs, Keys | None]:
    """Give each batch row its own image id, and queue entries an id that no row has."""
    rows = torch.arange(len(pairs.images), device=pairs.images.device)
    if keys is not None:
        (images, image_owner), (captions, caption_owner) = keys.image_queue, keys.caption_queue
        keys = replace(
            keys,
            image_queue=(images, torch.full_like(image_owner, -1)),
            caption_queue=(captions, torch.full_like(caption_owner, -1)),
        )
    return replace(pairs, image_owner=rows), keys
