"""One training step as a module: encode a batch, encode its keys, compute the objective."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from user_itr.model.dual_encoder import DualEncoder
from user_itr.objective.contrastive import ContrastiveObjective, Keys, Pairs, Sentences
from user_itr.objective.momentum import MomentumContrast
from user_itr.training.batches import Batch


@dataclass
class NewKeys:
    """Momentum embeddings of a batch and the images they belong to, on their way to the queues."""

    images: Tensor
    image_owner: Tensor
    captions: Tensor
    caption_owner: Tensor
    sentences: Sentences | None = None


class TrainingStep(nn.Module):
    """Query encoders, momentum contrast and objective in one forward pass.

    Args:
        model: query encoders.
        contrast: momentum encoders and queues.
        objective: what to minimise.
    """

    def __init__(
        self, model: DualEncoder, contrast: MomentumContrast, objective: ContrastiveObjective
    ) -> None:
        super().__init__()
        self.model = model
        self.contrast = contrast
        self.objective = objective

    def forward(self, batch: Batch) -> tuple[dict[str, Tensor], NewKeys | None]:
        """Loss of a batch, and the keys to enqueue once its gradient is taken.

        Keys are computed only for an objective that uses them.
        """
        images, captions = self._encode(self.model, batch)
        pairs = Pairs(images, captions, batch.caption_image, batch.image_owner, batch.sentences)
        if not self.objective.uses_momentum:
            return self.objective(pairs), None
        with torch.no_grad():
            images, captions = self._encode(self.contrast.encoder, batch)
        queues = self.contrast.image_queue.contents(), self.contrast.caption_queue.contents()
        keys = Keys(images, captions, *queues, self.contrast.queued_sentences())
        new = NewKeys(images, pairs.image_owner, captions, pairs.caption_owner, batch.sentences)
        return self.objective(pairs, keys), new

    def _encode(self, model: DualEncoder, batch: Batch) -> tuple[Tensor, Tensor]:
        images = model.image(batch.regions, guide=batch.guides)
        captions = model.text.encode_groups(batch.tokens, batch.masks)
        return images, captions if batch.caption_text is None else captions[batch.caption_text]

    def after_backward(self, keys: NewKeys | None) -> None:
        """Put a batch's keys into the queues; its backward pass must be over."""
        if keys is not None:
            self.contrast.enqueue(
                keys.images, keys.image_owner, keys.captions, keys.caption_owner, keys.sentences
            )

    def after_update(self) -> None:
        """Update the momentum encoders; call it once per optimizer step."""
        self.contrast.update(self.model)
