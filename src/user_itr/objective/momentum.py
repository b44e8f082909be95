"""Momentum contrast: slowly moving copies of both encoders and the two queues they fill.

USER, arXiv 2301.06844, after He et al., "Momentum contrast", CVPR 2020.
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn

from user_itr.model.dual_encoder import DualEncoder
from user_itr.objective.contrastive import Sentences
from user_itr.objective.queue import EmbeddingQueue


class MomentumContrast(nn.Module):
    """Momentum encoders and their dual queues.

    After every optimizer step each parameter follows theta_k = m theta_k + (1 - m) theta_q, in
    place and in one fused pass. Frozen parameters are shared with the query encoder, not copied.

    By the policy "ours" the momentum encoders always run in evaluation mode: no dropout, and
    BatchNorm normalises with its running statistics, so a key depends on its own item alone and no
    batch leaks into it. Those statistics are floating-point buffers and follow the query encoder's
    by the same rule, at the faster rate min(m, (1 + t) / (10 + t)) after t updates: they start at
    (0, 1), independent of the data, and at m = 0.999 would keep that start for thousands of steps.
    Integer buffers are copied.

    By the policy "published", that of the authors' code, image keys are computed as in training,
    with dropout and the statistics of their batch. Only these batches update the momentum encoder's
    running statistics. Text keys have no dropout.

    Args:
        model: the query encoders; copied here.
        width: D, the width of the joint space.
        queue_length: M of both queues; 0 for no queues.
        momentum: m, 0.999 in the paper.
        policy: how keys are computed.
        random_queues: see `EmbeddingQueue`.
        sentences: sentence numbers of an image, kept in the queues (`Sentences`); 0 keeps none.

    Raises:
        ValueError: if `momentum` is outside [0, 1].
    """

    updates: Tensor

    def __init__(
        self,
        model: DualEncoder,
        width: int,
        queue_length: int = 2048,
        momentum: float = 0.999,
        policy: Literal["ours", "published"] = "ours",
        random_queues: bool = False,
        sentences: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], got {momentum}")
        self.momentum = momentum
        self.policy = policy
        shared = {id(p): p for p in model.parameters() if not p.requires_grad}
        self.encoder: DualEncoder = copy.deepcopy(model, shared)
        self.encoder.requires_grad_(False)
        self.image_queue = EmbeddingQueue(queue_length, width, sentences, random_queues)
        self.caption_queue = EmbeddingQueue(
            queue_length, width, 1 if sentences else 0, random_queues
        )
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.train()

    def train(self, mode: bool = True) -> MomentumContrast:
        """Set the mode. Both encoders stay in evaluation mode, except for published image keys."""
        super().train(mode)
        self.encoder.eval()
        if self.policy == "published":
            self.encoder.image.train(mode)
        return self

    @torch.no_grad()
    def forward(
        self,
        regions: Tensor,
        region_mask: Tensor | None,
        tokens: Tensor,
        token_mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Momentum embeddings (B, D) and (T, D) of a batch, without gradient."""
        return self.encoder(regions, region_mask, tokens, token_mask)  # type: ignore[no-any-return]

    @torch.no_grad()
    def update(self, model: DualEncoder) -> None:
        """Move the momentum encoders towards `model`; call it once per optimizer step."""
        keys, queries = [], []
        for key, query in zip(self.encoder.parameters(), model.parameters(), strict=True):
            if query.requires_grad:
                keys.append(key.data)
                queries.append(query.data)
        if keys:
            torch._foreach_lerp_(keys, queries, 1.0 - self.momentum)
        if self.policy == "ours":
            self._follow_buffers(model)
        self.updates += 1

    def _follow_buffers(self, model: DualEncoder) -> None:
        updates = int(self.updates)
        statistics_rate = min(self.momentum, (1 + updates) / (10 + updates))
        for old, new in zip(self.encoder.buffers(), model.buffers(), strict=True):
            if old.is_floating_point():
                old.lerp_(new.to(old.dtype), 1.0 - statistics_rate)
            else:
                old.copy_(new)

    def enqueue(
        self,
        images: Tensor,
        image_owner: Tensor,
        captions: Tensor,
        caption_owner: Tensor,
        sentences: Sentences | None = None,
    ) -> None:
        """Append momentum embeddings (B, D) and (T, D) with their image ids to the two queues."""
        of_images = None if sentences is None else sentences.of_images
        of_captions = None if sentences is None else sentences.of_captions.unsqueeze(1)
        self.image_queue.enqueue(images, image_owner, of_images)
        self.caption_queue.enqueue(captions, caption_owner, of_captions)

    def queued_sentences(self) -> Sentences | None:
        """Sentence numbers of the queues' filled parts, or None if none are kept."""
        of_images = self.image_queue.sentence_numbers()
        of_captions = self.caption_queue.sentence_numbers()
        if of_images is None or of_captions is None:
            return None
        return Sentences(of_captions[:, 0], of_images)
