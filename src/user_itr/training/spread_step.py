"""One training step on a batch that is split among ranks; loss and keys are the whole batch's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from user_itr.model.dual_encoder import DualEncoder
from user_itr.model.spread_norm import BatchSpread, spread_batch_norm
from user_itr.objective.contrastive import ContrastiveObjective, Keys, Pairs
from user_itr.objective.momentum import MomentumContrast
from user_itr.training.batches import Batch
from user_itr.training.shares import Layout
from user_itr.training.step import NewKeys, TrainingStep


class SpreadStep(TrainingStep):
    """`TrainingStep` for a rank's share of a batch, described by `Batch.layout`.

    BatchNorm sees the rows of all ranks. With gathered negatives every rank computes the whole
    batch's loss from all embeddings, so losses and gradients are those of one process. Otherwise
    each rank computes the loss of its share with its share's negatives, and the batch's loss is
    their mean, weighted by images. In both cases the queues get all keys in the order of the whole
    batch, so they are equal on all ranks.

    Args:
        model: query encoders.
        contrast: momentum encoders and queues.
        objective: what to minimise.
        group: the processes.
        gather_negatives: whether negatives come from the whole batch.
    """

    def __init__(
        self,
        model: DualEncoder,
        contrast: MomentumContrast,
        objective: ContrastiveObjective,
        group: Any,
        gather_negatives: bool = True,
    ) -> None:
        super().__init__(model, contrast, objective)
        self.group = group
        self.gather_negatives = gather_negatives
        self.spread = BatchSpread(group)
        spread_batch_norm(model, self.spread)
        spread_batch_norm(contrast.encoder, self.spread)  # in training mode by one of its policies

    def forward(self, batch: Batch) -> tuple[dict[str, Tensor], NewKeys | None]:
        """Loss of the whole batch, the same on all ranks, and all its keys."""
        layout = batch.layout
        assert layout is not None
        self.spread.counted = layout.has_images
        images, captions = self._encode(self.model, batch)
        if self.gather_negatives:
            images, captions = layout.gather(images, captions, self.group)
            pairs = Pairs(
                images, captions, layout.caption_image, layout.image_owner, layout.sentences
            )
        else:
            pairs = Pairs(images, captions, batch.caption_image, batch.image_owner, batch.sentences)
        if not self.objective.uses_momentum:
            return self._of_batch(self.objective(pairs), layout), None
        queues = self.contrast.image_queue.contents(), self.contrast.caption_queue.contents()
        with torch.no_grad():
            own = self._encode(self.contrast.encoder, batch)
            whole = layout.gather(*own, self.group)
        keys = Keys(
            *(whole if self.gather_negatives else own), *queues, self.contrast.queued_sentences()
        )
        losses = self._of_batch(self.objective(pairs, keys), layout)
        owners = layout.image_owner
        return losses, NewKeys(
            whole[0], owners, whole[1], owners[layout.caption_image], layout.sentences
        )

    def _of_batch(self, losses: dict[str, Tensor], layout: Layout) -> dict[str, Tensor]:
        if self.gather_negatives:
            return losses
        means = layout.mean(torch.stack(list(losses.values())), self.group).unbind()
        loss, *parts = means
        return dict(zip(losses, [loss, *(part.detach() for part in parts)], strict=True))
