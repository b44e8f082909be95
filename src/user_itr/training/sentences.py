"""Sentences that several images of a split share, word for word."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from user_itr.data.captions import CaptionedImages
from user_itr.model.tokenizer import TokenizedCaptions
from user_itr.objective.contrastive import Sentences


@dataclass(frozen=True)
class SharedSentences:
    """Numbers of the shared sentences. Captions of equal token ids are one sentence.

    Args:
        of_captions: (M,) int64, -1 for a sentence of only one image.
        of_images: (N, K) int64, each image's shared sentences, padded with -2.
    """

    of_captions: np.ndarray
    of_images: np.ndarray

    @classmethod
    def among(cls, images: CaptionedImages, captions: TokenizedCaptions) -> SharedSentences | None:
        """Find them; None if no two images have a sentence in common."""
        _, text = captions.distinct()
        pairs = np.unique(np.stack([text, images.caption_image], axis=1), axis=0)
        count = np.bincount(pairs[:, 0], minlength=len(text))
        shared = count > 1
        if not shared.any():
            return None
        pairs = pairs[shared[pairs[:, 0]]]
        pairs = pairs[np.argsort(pairs[:, 1], kind="stable")]
        each = np.bincount(pairs[:, 1], minlength=len(images))
        place = np.arange(len(pairs)) - np.repeat(np.cumsum(each) - each, each)
        of_images = np.full((len(images), int(each.max())), -2, dtype=np.int64)
        of_images[pairs[:, 1], place] = pairs[:, 0]
        return cls(np.where(shared[text], text, -1), of_images)

    def of(self, captions: np.ndarray, images: np.ndarray) -> Sentences:
        """Those of a batch: captions (T,) and images (B,) int64, rows of the split."""
        return Sentences(
            torch.from_numpy(self.of_captions[captions]), torch.from_numpy(self.of_images[images])
        )
