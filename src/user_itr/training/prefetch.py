"""Batches made ready in a thread while a GPU works on the one before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from user_itr.training.batches import Batch

T = TypeVar("T")
U = TypeVar("U")

AHEAD = 2
"""Batches that are ready or in the making while one is used."""

GPU_GROUP = 512
"""Captions that a GPU takes at once: more groups would save padding and cost more, in kernels."""


def batches_for(
    device: torch.device, batches: Generator[Batch, None, None]
) -> Generator[Batch, None, None]:
    """Batches as a device takes them best; what they hold is the same.

    For a GPU they are made ahead, in pinned memory, their captions in few groups.
    """
    if device.type != "cuda":
        return batches
    return prefetched(batches, lambda batch: batch.regrouped(GPU_GROUP).pinned())


def prefetched(batches: Iterator[T], prepare: Callable[[T], U]) -> Generator[U, None, None]:
    """What `prepare` makes of each batch, in order, made ahead in one thread.

    A batch is defined by seed and place alone (`BatchSource`), so who makes it changes nothing.
    Whatever the thread raises is raised where its batch would have come; closing the generator
    ends the thread.

    Args:
        batches: used in the thread alone.
        prepare: called in the thread.
    """

    def make() -> tuple[U] | None:
        for batch in batches:
            return (prepare(batch),)
        return None

    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        pending = deque(pool.submit(make) for _ in range(AHEAD))
        try:
            while (made := pending.popleft().result()) is not None:
                pending.append(pool.submit(make))
                yield made[0]
        finally:
            for future in pending:
                future.cancel()
