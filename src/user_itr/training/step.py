"""One training step as a module: encode a batch, encode its keys, compute the objective."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from user_itr.model.dual_encoder import DualEncoder
from user_itr.model.text_encoder import TextEncoder
from user_itr.objective.momentum import MomentumContrast
from user_itr.objective.uto import UnifiedObjective
from user_itr.training.batches import Batch


@dataclass
class Keys:
    """Momentum embeddings of a batch and the images they belong to, on their way to the queues."""

    images: Tensor
    image_owner: Tensor
    captions: Tensor
    caption_owner: Tensor


class TrainingStep(nn.Module):
    """Query encoders, momentum contrast and objective in one forward pass.

    Args:
        model: query encoders.
        contrast: momentum encoders and queues.
        objective: UTO.
    """

    def __init__(
        self, model: DualEncoder, contrast: MomentumContrast, objective: UnifiedObjective
    ) -> None:
        super().__init__()
        self.model = model
        self.contrast = contrast
        self.objective = objective

    def forward(self, batch: Batch) -> tuple[dict[str, Tensor], Keys]:
        """Loss of a batch, and the keys to enqueue once its gradient is taken."""
        images = self.model.image(batch.regions)
        captions = encode_groups(self.model.text, batch)
        with torch.no_grad():
            momentum_images = self.contrast.encoder.image(batch.regions)
            momentum_captions = encode_groups(self.contrast.encoder.text, batch)
        losses = self.objective(
            images,
            captions,
            batch.caption_image,
            batch.image_owner,
            momentum_images,
            momentum_captions,
            self.contrast.image_queue.contents(),
            self.contrast.caption_queue.contents(),
        )
        keys = Keys(
            momentum_images,
            batch.image_owner,
            momentum_captions,
            batch.image_owner[batch.caption_image],
        )
        return losses, keys

    def after_backward(self, keys: Keys) -> None:
        """Put a batch's keys into the queues; its backward pass must be over."""
        self.contrast.enqueue(keys.images, keys.image_owner, keys.captions, keys.caption_owner)

    def after_update(self) -> None:
        """Move the momentum encoders, once an optimizer step."""
        self.contrast.update(self.model)


def encode_groups(encoder: TextEncoder, batch: Batch) -> Tensor:
    """Embed a batch's captions group by group: (T, D) in the order of `caption_image`."""
    return torch.cat([encoder(t, m) for t, m in zip(batch.tokens, batch.masks, strict=True)])
