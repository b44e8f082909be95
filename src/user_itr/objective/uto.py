"""Unified training objective (UTO) of USER, arXiv 2301.06844: one log-sum-exp for all negatives.

With s = u . v for unit vectors, sharpness mu and threshold gamma::

    phi(N) = 1/mu log(1 + sum_{s in N} exp(mu (s - gamma)))       pos(s) = -log(1 + max(s, 0))

    L_b = mean over images of phi(their negatives in the batch) + the same over captions
          + mean over pairs of pos
    L_q = the same with the queues' momentum embeddings as negatives and the pairs' momentum
          embeddings as positives
    L   = lambda L_b + L_q

With one caption an image this is the paper's formula. An image that brings several captions to the
batch is encoded once; each of its captions makes a pair. A caption of the same image is never a
negative, in the batch or in the queue (the published code counts it).

Losses take embeddings and know no model. Everything is computed in at least float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def negative_term(
    scores: Tensor, negatives: Tensor, sharpness: float = 90.0, threshold: float = 0.5
) -> Tensor:
    """phi: a smooth maximum of the negatives' excess over the threshold, 0 where there is none.

    Stable in every precision: float16's plain exponent overflows from a score of 0.623.

    Args:
        scores: (Q, N) similarities in [-1, 1].
        negatives: (Q, N) bool, True where a candidate is a negative of the query.
        sharpness: mu.
        threshold: gamma.

    Returns:
        (Q,) float32, or float64 for float64 scores.
    """
    scores = _at_least_float32(scores)
    excess = (sharpness * (scores - threshold)).masked_fill(~negatives, -torch.inf)
    one = excess.new_zeros(len(excess), 1)
    return torch.logsumexp(torch.cat([one, excess], dim=1), dim=1) / sharpness


def positive_term(scores: Tensor) -> Tensor:
    """pos(s) = -log(1 + max(s, 0)), elementwise; no gradient below 0, as in the paper."""
    return -torch.log1p(_at_least_float32(scores).clamp(min=0))


def batch_loss(
    images: Tensor,
    captions: Tensor,
    caption_image: Tensor,
    image_owner: Tensor,
    sharpness: float = 90.0,
    threshold: float = 0.5,
) -> Tensor:
    """L_b: negatives are the other images' captions, and the other images, of the same batch.

    Args:
        images: (B, D) unit-norm.
        captions: (T, D) unit-norm.
        caption_image: (T,) int64, the row of `images` that each caption describes.
        image_owner: (B,) int64, an id of each image; equal ids are never negatives of each other.
        sharpness: mu.
        threshold: gamma.

    Returns:
        0-d loss.
    """
    scores = _scores(images, captions)
    negatives = image_owner.unsqueeze(1) != image_owner[caption_image].unsqueeze(0)
    pairs = scores[caption_image, torch.arange(len(captions), device=captions.device)]
    return (
        negative_term(scores, negatives, sharpness, threshold).mean()
        + negative_term(scores.t(), negatives.t(), sharpness, threshold).mean()
        + positive_term(pairs).mean()
    )


def queue_loss(
    queries: Tensor,
    query_owner: Tensor,
    queue: Tensor,
    queue_owner: Tensor,
    sharpness: float = 90.0,
    threshold: float = 0.5,
) -> Tensor:
    """The negatives of one direction of L_q: queries against a queue of the other modality.

    Args:
        queries: (Q, D) unit-norm.
        query_owner: (Q,) int64, the image id that each query belongs to.
        queue: (M, D) unit-norm momentum embeddings; M may be 0.
        queue_owner: (M,) int64, the image id of each queue entry.
        sharpness: mu.
        threshold: gamma.

    Returns:
        0-d loss.
    """
    negatives = query_owner.unsqueeze(1) != queue_owner.unsqueeze(0)
    return negative_term(_scores(queries, queue), negatives, sharpness, threshold).mean()


def pair_loss(queries: Tensor, positives: Tensor) -> Tensor:
    """Mean of pos over matching rows of (P, D) unit-norm queries and (P, D) positives: 0-d."""
    return positive_term(
        (_at_least_float32(queries) * _at_least_float32(positives)).sum(dim=-1)
    ).mean()


class UnifiedObjective(nn.Module):
    """lambda L_b + L_q.

    Args:
        sharpness: mu, 90 in the paper.
        threshold: gamma, 0.5 in the paper.
        batch_weight: lambda, 20 on Flickr30K and 1 on MSCOCO in the paper.
        queue_weight: weight of L_q, 1 in the paper; 0 leaves it out.
    """

    def __init__(
        self,
        sharpness: float = 90.0,
        threshold: float = 0.5,
        batch_weight: float = 1.0,
        queue_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.sharpness = sharpness
        self.threshold = threshold
        self.batch_weight = batch_weight
        self.queue_weight = queue_weight

    def forward(
        self,
        images: Tensor,
        captions: Tensor,
        caption_image: Tensor,
        image_owner: Tensor,
        momentum_images: Tensor,
        momentum_captions: Tensor,
        image_queue: tuple[Tensor, Tensor],
        caption_queue: tuple[Tensor, Tensor],
    ) -> dict[str, Tensor]:
        """Compute the loss of a batch of B images and T captions.

        Args:
            images: (B, D) unit-norm.
            captions: (T, D) unit-norm.
            caption_image: (T,) int64 row of each caption's image.
            image_owner: (B,) int64 image ids.
            momentum_images: (B, D) unit-norm.
            momentum_captions: (T, D) unit-norm.
            image_queue: embeddings (M, D) and owners (M,).
            caption_queue: the same for captions.

        Returns:
            0-d tensors: "loss", and its parts "batch", "queue".
        """
        settings = (self.sharpness, self.threshold)
        caption_owner = image_owner[caption_image]
        batch = batch_loss(images, captions, caption_image, image_owner, *settings)
        queue = (
            queue_loss(images, image_owner, *caption_queue, *settings)
            + pair_loss(images[caption_image], momentum_captions)
            + queue_loss(captions, caption_owner, *image_queue, *settings)
            + pair_loss(captions, momentum_images[caption_image])
        )
        loss = self.batch_weight * batch + self.queue_weight * queue
        return {"loss": loss, "batch": batch.detach(), "queue": queue.detach()}


def _scores(left: Tensor, right: Tensor) -> Tensor:
    """Dot products of two sets, accumulated in float32 at least, whatever autocast says."""
    with torch.autocast(left.device.type, enabled=False):
        return _at_least_float32(left) @ _at_least_float32(right).t()


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
