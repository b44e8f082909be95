"""InfoNCE: cross-entropy of a pair among its negatives, in the batch (CLIP) or a queue (MoCo).

For a pair with score p and negatives n of its query, at temperature tau::

    -log( exp(p / tau) / (exp(p / tau) + sum_n exp(s_n / tau)) )

van den Oord et al., "Representation learning with contrastive predictive coding", 2018; Radford et
al. (CLIP), ICML 2021; He et al. (MoCo), CVPR 2020. An image with several captions in the batch
makes several pairs; the sum of each contains only the captions of other images.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from user_itr.objective.contrastive import PairwiseObjective, at_least_float32

LARGEST_SCALE = 100.0
"""A learned 1 / tau is kept below this, as in CLIP."""


def cross_entropy_term(
    positives: Tensor, query: Tensor, scores: Tensor, negatives: Tensor
) -> Tensor:
    """The cross-entropy of every pair in one direction, 0 where its query has no negative.

    Args:
        positives: (P,) scores of the pairs, divided by the temperature.
        query: (P,) int64, the row of `scores` that holds a pair's negatives.
        scores: (Q, N) similarities, divided by the temperature.
        negatives: (Q, N) bool, True where a candidate is a negative of the query.

    Returns:
        (P,) float32, or float64 for float64 scores.
    """
    scores, positives = at_least_float32(scores), at_least_float32(positives)
    # A finite floor: logsumexp of a row of only -inf has no gradient.
    floor = scores.new_full((len(scores), 1), torch.finfo(torch.float32).min)
    scores = torch.cat([scores.masked_fill(~negatives, -torch.inf), floor], dim=1)
    return F.softplus(torch.logsumexp(scores, dim=1)[query] - positives)


class InfoNCEObjective(PairwiseObjective):
    """InfoNCE in both directions, in the batch and against the queues.

    Args:
        temperature: tau; its initial value if learned (0.07 in CLIP and MoCo).
        learned: whether log(1 / tau) is a parameter.
        batch_weight: weight of the batch's part.
        queue_weight: weight of the queues' part.
        queue_start: see `ContrastiveObjective`.
        mask_siblings: see `ContrastiveObjective`.
    """

    def __init__(
        self,
        temperature: float = 0.07,
        learned: bool = False,
        batch_weight: float = 1.0,
        queue_weight: float = 1.0,
        queue_start: int = 0,
        mask_siblings: bool = True,
    ) -> None:
        super().__init__(batch_weight, queue_weight, queue_start, mask_siblings)
        start = torch.tensor(math.log(1.0 / temperature))
        self.log_scale = nn.Parameter(start, requires_grad=learned)

    @property
    def scale(self) -> Tensor:
        """1 / tau, 0-d."""
        return self.log_scale.clamp(max=math.log(LARGEST_SCALE)).exp()

    def pair_term(
        self, positives: Tensor, query: Tensor, scores: Tensor, negatives: Tensor
    ) -> Tensor:
        """The cross-entropy of every pair in one direction."""
        scale = self.scale
        return cross_entropy_term(scale * positives, query, scale * scores, negatives)
