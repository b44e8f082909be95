"""Hinge triplet loss with the hardest negative (VSE++), or with the sum over all negatives.

For a pair of an image and its caption with score p, and negatives n in each direction::

    hardest: [margin - p + max_n s_n]+            summed: sum_n [margin - p + s_n]+

Faghri et al., "VSE++: Improving visual-semantic embeddings with hard negatives", BMVC 2018;
VSE-infinity (Chen et al., CVPR 2021) trains with it, its first epoch with all negatives. Here the
loss is a mean over pairs. Against queues the pair's own key is the positive.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from user_itr.objective.contrastive import PairwiseObjective, at_least_float32

Negatives = Literal["hardest", "sum"]


def hinge_term(
    positives: Tensor,
    query: Tensor,
    scores: Tensor,
    negatives: Tensor,
    margin: float = 0.2,
    kind: Negatives = "hardest",
) -> Tensor:
    """The hinge of every pair in one direction, 0 if its query has no negative.

    Args:
        positives: (P,) scores of the pairs.
        query: (P,) int64, the row of `scores` that holds a pair's negatives.
        scores: (Q, N) similarities.
        negatives: (Q, N) bool, True where a candidate is a negative of the query.
        margin: by which a positive should exceed a negative.
        kind: "hardest" or "sum".

    Returns:
        (P,) float32, or float64 for float64 scores.
    """
    scores, positives = at_least_float32(scores), at_least_float32(positives)
    scores = scores.masked_fill(~negatives, -torch.inf)
    if kind == "hardest":
        floor = scores.new_full((len(scores), 1), -torch.inf)  # if there are no candidates
        largest = torch.cat([scores, floor], dim=1).amax(dim=1)
        return (margin - positives + largest[query]).clamp(min=0)
    return (margin - positives.unsqueeze(1) + scores[query]).clamp(min=0).sum(dim=1)


class TripletObjective(PairwiseObjective):
    """The hinge of both directions, in the batch and against the queues.

    Args:
        margin: 0.2 in both papers.
        negatives: "hardest" or "sum".
        summed_epochs: first epochs with summed negatives, 1 in VSE-infinity: from random weights,
            training on only the hardest negative often collapses.
        batch_weight: weight of the batch's part.
        queue_weight: weight of the queues' part, 0 in both papers.
        queue_start: see `ContrastiveObjective`.
        mask_siblings: see `ContrastiveObjective`.
    """

    def __init__(
        self,
        margin: float = 0.2,
        negatives: Negatives = "hardest",
        summed_epochs: int = 0,
        batch_weight: float = 1.0,
        queue_weight: float = 0.0,
        queue_start: int = 0,
        mask_siblings: bool = True,
    ) -> None:
        super().__init__(batch_weight, queue_weight, queue_start, mask_siblings)
        self.margin = margin
        self.negatives = negatives
        self.summed_epochs = summed_epochs

    def pair_term(
        self, positives: Tensor, query: Tensor, scores: Tensor, negatives: Tensor
    ) -> Tensor:
        """The hinge of every pair in one direction."""
        kind = "sum" if self.epoch < self.summed_epochs else self.negatives
        return hinge_term(positives, query, scores, negatives, self.margin, kind)
