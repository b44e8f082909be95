"""Sorting many short sets along one dimension, by a network of elementwise maxima and minima.

GPO sorts every feature of an image's regions or a caption's tokens: hundreds of thousands of sets
of ten to forty numbers per batch. A general sort of such short rows mostly does bookkeeping. A
sorting network (Batcher, "Sorting networks and their applications", 1968) compares whole slices of
the tensor instead, with vector instructions; `benchmarks/sorting.py` measures the ratio.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

LONGEST = 64
"""Longer sets go to `torch.sort`, as does everything that is not on the CPU."""

_BITS = {
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}


def sort_descending(x: Tensor) -> Tensor:
    """Sort along the second dimension, largest first, as `torch.sort` does, values only.

    Args:
        x: (B, N, D), without NaN.

    Returns:
        (B, N, D). Each value's gradient goes back to its place in `x`.
    """
    if x.device.type == "cpu" and 1 < x.shape[1] <= LONGEST:
        ordered: Tensor = _NetworkSort.apply(x)  # type: ignore[no-untyped-call]
        return ordered
    return x.sort(dim=1, descending=True).values


@lru_cache(maxsize=LONGEST)
def comparators(count: int) -> tuple[tuple[int, int], ...]:
    """Batcher's odd-even merge network of `count` inputs: pairs (i, j), i < j, in order."""
    pairs = []
    merged = 1
    while merged < count:
        step = merged
        while step >= 1:
            for start in range(step % merged, count - step, 2 * step):
                for i in range(start, min(start + step, count - step)):
                    if i // (2 * merged) == (i + step) // (2 * merged):
                        pairs.append((i, i + step))
            step //= 2
        merged *= 2
    return tuple(pairs)


class _NetworkSort(torch.autograd.Function):
    """Remembers which comparators swapped their inputs, and undoes the swaps backwards.

    Both work on the numbers' bits, because elementwise selection of short floats is slow: a shifted
    sign is a mask of ones where left < right, and two exclusive ors under a mask are a swap.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        pairs, bits = comparators(x.shape[1]), _BITS[x.dtype]
        slots = x.new_empty(x.shape[1] + 1, x.shape[0], x.shape[2])
        slots[:-1] = x.transpose(0, 1)
        *rows, spare = slots.unbind(0)
        wanted = ctx.needs_input_grad[0]
        swaps = x.new_empty(len(pairs) if wanted else 0, *rows[0].shape)
        for (i, j), swap in zip_longest(pairs, swaps.unbind(0)):
            left, right = rows[i], rows[j]
            if wanted:
                torch.sub(left, right, out=swap)
                swap.view(bits).bitwise_right_shift_(8 * x.itemsize - 1)
            torch.maximum(left, right, out=spare)
            torch.minimum(left, right, out=right)
            rows[i], spare = spare, left
        ctx.save_for_backward(swaps.view(bits))
        return torch.stack(rows, dim=1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (swaps,) = ctx.saved_tensors
        moved = swaps.new_empty(swaps.shape[1:])
        slots = gradient.transpose(0, 1).contiguous().view(swaps.dtype)
        rows = slots.unbind(0)
        for (i, j), swap in zip(
            reversed(comparators(len(rows))), reversed(swaps.unbind(0)), strict=True
        ):
            torch.bitwise_xor(rows[i], rows[j], out=moved)
            moved &= swap
            rows[i].bitwise_xor_(moved)
            rows[j].bitwise_xor_(moved)
        return slots.view(gradient.dtype).transpose(0, 1)
