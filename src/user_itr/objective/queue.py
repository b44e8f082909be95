"""A first-in first-out queue of embeddings, kept in the module's state so that it is never lost."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EmbeddingQueue(nn.Module):
    """The last M embeddings of one modality and the image each belongs to.

    Any batch size goes with any length: writes wrap modulo M, and of a batch longer than the queue
    the last M stay. Until M embeddings have come, only the filled part is used. Contents, owners,
    pointer and fill count are all buffers of the state dict.

    Args:
        length: M.
        width: D.

    Raises:
        ValueError: if `length` is negative.
    """

    embeddings: Tensor
    owners: Tensor
    pointer: Tensor
    filled: Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        if length < 0:
            raise ValueError(f"queue length must be at least 0, got {length}")
        self.length = length
        self.register_buffer("embeddings", torch.zeros(length, width))
        self.register_buffer("owners", torch.full((length,), -1, dtype=torch.int64))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def enqueue(self, embeddings: Tensor, owners: Tensor) -> None:
        """Add embeddings (B, D) of images `owners` (B,) int64, the oldest ones leave."""
        count = len(embeddings)
        keep = min(count, self.length)
        if keep == 0:
            return
        start = self.pointer + (count - keep)
        rows = (start + torch.arange(keep, device=self.owners.device)) % self.length
        self.embeddings[rows] = embeddings[count - keep :].to(self.embeddings.dtype)
        self.owners[rows] = owners[count - keep :]
        self.pointer.copy_((self.pointer + count) % self.length)
        self.filled.copy_((self.filled + count).clamp(max=self.length))

    def contents(self) -> tuple[Tensor, Tensor]:
        """The filled part: embeddings (F, D) and owners (F,), in no promised order."""
        filled = int(self.filled)
        return self.embeddings[:filled], self.owners[:filled]
