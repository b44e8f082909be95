"""Unified training objective (UTO) of USER, arXiv 2301.06844: one log-sum-exp for all negatives.

With s = u . v for unit vectors, sharpness mu and threshold gamma::

    phi(N) = 1/mu log(1 + sum_{s in N} exp(mu (s - gamma)))       pos(s) = -log(1 + max(s, 0))

    L_b = mean over images of phi(their negatives in the batch) + the same over captions
          + mean over pairs of pos
    L_q = the same with the queues' momentum embeddings as negatives and the pairs' momentum
          embeddings as positives
    L   = lambda L_b + L_q

With one caption per image this is the paper's formula. An image with several captions in the batch
is encoded once; each of its captions makes a pair.

Losses take embeddings and do not depend on a model. All is computed in at least float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from user_itr.objective.contrastive import (
    ContrastiveObjective,
    Keys,
    Pairs,
    at_least_float32,
    batch_negatives,
    queue_negatives,
    row_products,
    similarities,
)


def negative_term(
    scores: Tensor, negatives: Tensor, sharpness: float = 90.0, threshold: float = 0.5
) -> Tensor:
    """phi: a smooth maximum of the negatives' excess over the threshold, 0 without negatives.

    Stable in every precision; the plain exponent overflows in float16 from a score of 0.623 on.

    Args:
        scores: (Q, N) similarities in [-1, 1].
        negatives: (Q, N) bool, True where a candidate is a negative of the query.
        sharpness: mu.
        threshold: gamma.

    Returns:
        (Q,) float32, or float64 for float64 scores.
    """
    scores = at_least_float32(scores)
    excess = (sharpness * (scores - threshold)).masked_fill(~negatives, -torch.inf)
    one = excess.new_zeros(len(excess), 1)
    return torch.logsumexp(torch.cat([one, excess], dim=1), dim=1) / sharpness


def positive_term(scores: Tensor) -> Tensor:
    """pos(s) = -log(1 + max(s, 0)), elementwise; no gradient below 0, as in the paper."""
    return -torch.log1p(at_least_float32(scores).clamp(min=0))


class UnifiedObjective(ContrastiveObjective):
    """lambda L_b + L_q.

    Args:
        sharpness: mu, 90 in the paper.
        threshold: gamma, 0.5 in the paper.
        batch_weight: lambda, 20 on Flickr30K and 1 on MSCOCO in the paper.
        queue_weight: weight of L_q, 1 in the paper; 0 leaves it out.
        queue_start: see `ContrastiveObjective`.
        mask_siblings: see `ContrastiveObjective`.
    """

    def __init__(
        self,
        sharpness: float = 90.0,
        threshold: float = 0.5,
        batch_weight: float = 1.0,
        queue_weight: float = 1.0,
        queue_start: int = 0,
        mask_siblings: bool = True,
    ) -> None:
        super().__init__(batch_weight, queue_weight, queue_start, mask_siblings)
        self.sharpness = sharpness
        self.threshold = threshold

    def batch_part(self, pairs: Pairs) -> Tensor:
        """L_b: negatives are the other images' captions, and the other images, of the batch."""
        scores = similarities(pairs.images, pairs.captions)
        negatives = batch_negatives(pairs)
        own = scores[pairs.caption_image, torch.arange(scores.shape[1], device=scores.device)]
        return (
            self._phi(scores, negatives)
            + self._phi(scores.t(), negatives.t())
            + positive_term(own).mean()
        )

    def queue_part(self, pairs: Pairs, keys: Keys) -> Tensor:
        """L_q: negatives are the queues' entries, positives the pairs' own keys."""
        among_captions, among_images = queue_negatives(pairs, keys)
        to_captions = similarities(pairs.images, keys.caption_queue[0])
        to_images = similarities(pairs.captions, keys.image_queue[0])
        images, own = pairs.images[pairs.caption_image], keys.images[pairs.caption_image]
        return (
            self._phi(to_captions, among_captions)
            + positive_term(row_products(images, keys.captions)).mean()
            + self._phi(to_images, among_images)
            + positive_term(row_products(pairs.captions, own)).mean()
        )

    def _phi(self, scores: Tensor, negatives: Tensor) -> Tensor:
        return negative_term(scores, negatives, self.sharpness, self.threshold).mean()
