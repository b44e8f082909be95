"""Random pairs and keys for tests of objectives, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from user_itr.objective.contrastive import Keys, Pairs


def unit(count: int, width: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, width, generator=generator, dtype=dtype), dim=-1)


def random_inputs(
    counts: Sequence[int], owners: Sequence[int], queues: tuple[int, int], width: int, seed: int
) -> tuple[Pairs, Keys]:
    """Image i brings counts[i] captions and is called owners[i]."""
    rng = np.random.default_rng(seed)
    caption_image = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    total = len(caption_image)
    image_queue, caption_queue = (
        (unit(n, width, seed + k), torch.from_numpy(rng.integers(0, max(owners) + 2, n)))
        for k, n in enumerate(queues)
    )
    pairs = Pairs(
        unit(len(counts), width, seed + 2),
        unit(total, width, seed + 3),
        torch.from_numpy(caption_image),
        torch.tensor(list(owners)),
    )
    keys = Keys(
        unit(len(counts), width, seed + 4),
        unit(total, width, seed + 5),
        image_queue,
        caption_queue,
    )
    return pairs, keys


def in_float32(pairs: Pairs, keys: Keys) -> tuple[Pairs, Keys]:
    image_queue, caption_queue = (
        (queue.float(), owners) for queue, owners in (keys.image_queue, keys.caption_queue)
    )
    return (
        replace(pairs, images=pairs.images.float(), captions=pairs.captions.float()),
        Keys(keys.images.float(), keys.captions.float(), image_queue, caption_queue),
    )


def dot(left: Tensor, right: Tensor) -> float:
    return sum(x * y for x, y in zip(left.tolist(), right.tolist(), strict=True))


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
