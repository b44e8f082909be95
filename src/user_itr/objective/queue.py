"""A first-in first-out queue of embeddings, saved in the module's state dict."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class EmbeddingQueue(nn.Module):
    """The last M embeddings of one modality and the image each belongs to.

    Any batch size works with any length: writes wrap modulo M, and the last M of a longer batch
    stay. Until M embeddings have been added, only the filled part is used. Contents, owners,
    pointer and fill count are all buffers of the state dict.

    Args:
        length: M.
        width: D.
        sentences: K, how many sentence numbers each embedding has; 0 keeps none.
        random: start full of vectors whose components are uniform in (0, 1) before they get unit
            length, as in the published code of USER. Their cosines are near 0.75: a narrow cone.
            They belong to no image (owner -1), so they are negatives of all.

    Raises:
        ValueError: if `length` is negative.
    """

    embeddings: Tensor
    owners: Tensor
    pointer: Tensor
    filled: Tensor

    sentences: Tensor | None

    def __init__(self, length: int, width: int, sentences: int = 0, random: bool = False) -> None:
        super().__init__()
        if length < 0:
            raise ValueError(f"queue length must be at least 0, got {length}")
        self.length = length
        start = F.normalize(torch.rand(length, width)) if random else torch.zeros(length, width)
        self.register_buffer("embeddings", start)
        self.register_buffer("owners", torch.full((length,), -1, dtype=torch.int64))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.register_buffer("filled", torch.tensor(length if random else 0))
        numbers = torch.full((length, sentences), -1) if sentences else None
        self.register_buffer("sentences", numbers)

    @torch.no_grad()
    def enqueue(self, embeddings: Tensor, owners: Tensor, sentences: Tensor | None = None) -> None:
        """Add embeddings (B, D) of images `owners` (B,) int64; the oldest ones leave.

        A queue that keeps sentence numbers needs them too: (B, K) int64.
        """
        count = len(embeddings)
        keep = min(count, self.length)
        if keep == 0:
            return
        start = self.pointer + (count - keep)
        rows = (start + torch.arange(keep, device=self.owners.device)) % self.length
        self.embeddings[rows] = embeddings[count - keep :].to(self.embeddings.dtype)
        self.owners[rows] = owners[count - keep :]
        if self.sentences is not None and sentences is not None:
            self.sentences[rows] = sentences[count - keep :]
        self.pointer.copy_((self.pointer + count) % self.length)
        self.filled.copy_((self.filled + count).clamp(max=self.length))

    def contents(self) -> tuple[Tensor, Tensor]:
        """The filled part: embeddings (F, D) and owners (F,), in any order."""
        filled = int(self.filled)
        return self.embeddings[:filled], self.owners[:filled]

    def sentence_numbers(self) -> Tensor | None:
        """Sentence numbers (F, K) int64 of the filled part, or None if none are kept."""
        return None if self.sentences is None else self.sentences[: int(self.filled)]
