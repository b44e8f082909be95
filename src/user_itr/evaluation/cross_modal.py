"""Ranks of both directions, for whoever needs them query by query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from user_itr.evaluation.ranks import Embeddings, TieRule, retrieval_ranks


@dataclass(frozen=True, slots=True)
class CrossModalRanks:
    """Rank of the best-placed right candidate of every query, 1 is best.

    Args:
        i2t: (N',) int64, one an image that has captions, in the order of images.
        t2i: (M,) int64, one a caption.
    """

    i2t: np.ndarray
    t2i: np.ndarray


def cross_modal_ranks(
    images: Embeddings,
    captions: Embeddings,
    caption_image: np.ndarray,
    *,
    ties: TieRule = "pessimistic",
) -> CrossModalRanks:
    """Rank both directions; an image without captions is no query and stays a candidate.

    Args:
        images: (N, D), one row an image, any float type.
        captions: (M, D), one row a caption.
        caption_image: (M,) int, the row of `images` that each caption describes.
        ties: see `retrieval_ranks`.

    Raises:
        DataError: if the embeddings cannot be scored, or `caption_image` does not fit them.
    """
    each = np.arange(len(captions) + 1, dtype=np.int64)
    t2i = retrieval_ranks(
        captions, images, (each, caption_image), ties=ties, sides=("captions", "images")
    )
    described, counts = np.unique(caption_image, return_counts=True)
    i2t = retrieval_ranks(
        images[described],
        captions,
        (np.append(0, np.cumsum(counts)), np.argsort(caption_image, kind="stable")),
        ties=ties,
        sides=("images", "captions"),
    )
    return CrossModalRanks(i2t, t2i)
