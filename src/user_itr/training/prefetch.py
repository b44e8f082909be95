"""Batches prepared in a thread while a GPU works on the previous one."""

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
"""Batches that are ready or being made while one is used."""

GPU_GROUP = 512
"""Captions per group on a GPU: more groups would save padding but cost more in kernel starts."""


def batches_for(
    device: torch.device, batches: Generator[Batch, None, None]
) -> Generator[Batch, None, None]:
    """Batches in the form that is fastest for a device; their contents are the same.

    For a GPU they are made ahead, in pinned memory, their captions in few groups.
    """
    if device.type != "cuda":
        return batches
    return prefetched(batches, lambda batch: batch.regrouped(GPU_GROUP).pinned())


def prefetched(batches: Iterator[T], prepare: Callable[[T], U]) -> Generator[U, None, None]:
    """Yield `prepare` of each batch in order, computed ahead in one thread.

    A batch depends only on seed and position (`BatchSource`), so making it in a thread does not
    change it. An exception in the thread is raised in place of its batch; closing the generator
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
