"""The baseline of benchmarks/cross_attention.py against a loop over pairs and words."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from cross_attention import cross_attention, made_up_captions, scan_scores


def one_pair(regions: Tensor, words: Tensor, pooling: str) -> float:
    """SCAN's text-to-image score as the paper writes it: regions (K, D), words (n, D)."""
    similar = [[float(v @ w) for w in words] for v in regions]
    clipped = [[s if s > 0 else 0.1 * s for s in row] for row in similar]
    scaled = [[s / math.sqrt(sum(t * t for t in row)) for s in row] for row in clipped]
    cosines = []
    for j, word in enumerate(words):
        exponents = [math.exp(9 * row[j]) for row in scaled]
        attended = sum(
            (e / sum(exponents) * v for e, v in zip(exponents, regions, strict=True)),
            start=torch.zeros_like(word),
        )
        cosines.append(float(attended @ word / (attended.norm() * word.norm())))
    if pooling == "mean":
        return sum(cosines) / len(cosines)
    return math.log(sum(math.exp(6 * c) for c in cosines)) / 6


def inputs(images: int, lengths: list[int], seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    regions = F.normalize(torch.randn(images, 5, 7, generator=generator), dim=-1)
    words = F.normalize(torch.randn(len(lengths), max(lengths), 7, generator=generator), dim=-1)
    return regions, words, torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)


@pytest.mark.parametrize("pooling", ["mean", "lse"])
@pytest.mark.parametrize("gram", [False, True])
def test_scores_are_those_of_single_pairs(pooling: str, gram: bool) -> None:
    lengths = [4, 1, 6]
    regions, words, mask = inputs(3, lengths)
    words[~mask] = 3.0  # whatever stands in the padding
    products = regions @ regions.transpose(1, 2) if gram else None
    scores = scan_scores(regions, words, mask, pooling, products)
    expected = [
        [one_pair(image, caption[:n], pooling) for caption, n in zip(words, lengths, strict=True)]
        for image in regions
    ]
    torch.testing.assert_close(scores, torch.tensor(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("gram", [False, True])
def test_blocks_cover_every_pair(gram: bool) -> None:
    """Numbers of images and captions that the blocks do not divide."""
    captions = made_up_captions(23, tokens=8, seed=1)
    generator = torch.Generator().manual_seed(2)
    regions = F.normalize(torch.randn(43, 5, 7, generator=generator), dim=-1)
    words = F.normalize(torch.randn(len(captions.ids), 7, generator=generator), dim=-1)
    scores = cross_attention(regions, words, captions, 23, gram)
    order = np.argsort(captions.lengths, kind="stable")
    for image, column in ((0, 0), (42, 22), (20, 9), (19, 10), (40, 20)):
        start, stop = captions.offsets[order[column]], captions.offsets[order[column] + 1]
        expected = one_pair(regions[image], words[start:stop], "mean")
        assert float(scores[image, column]) == pytest.approx(expected, abs=1e-5)


def test_a_part_of_the_captions_spans_all_lengths() -> None:
    captions = made_up_captions(400, tokens=14, seed=1)
    assert captions.lengths.mean() == pytest.approx(14, abs=0.5)
    assert (captions.ids[captions.offsets[:-1]] == 101).all()
    assert (captions.ids[captions.offsets[1:] - 1] == 102).all()
    words, regions = torch.randn(len(captions.ids), 4), torch.randn(2, 3, 4)
    part = cross_attention(regions, words, captions, 4, gram=False)
    whole = cross_attention(regions, words, captions, 400, gram=False)
    chosen = [50, 150, 250, 350]
    torch.testing.assert_close(part, whole[:, chosen], atol=1e-5, rtol=1e-5)
