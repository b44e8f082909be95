"""Tensors among the inputs: told apart without importing torch, multiplied where they are.

Nothing here imports torch unless somebody gave a tensor, so that arrays are evaluated without it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from user_itr.errors import DataError

if TYPE_CHECKING:
    import torch


def is_tensor(values: object) -> bool:
    """Whether `values` is a torch tensor; nobody has one before torch is imported."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)


def float_array(values: Any, name: str) -> np.ndarray:
    """A tensor of a float type as an array; one on the CPU is not copied, bfloat16 is float32.

    Raises:
        DataError: if it is of another type.
    """
    if not values.is_floating_point():
        raise DataError(f"{name} are {values.dtype}; give embeddings of a float type.")
    return np.ascontiguousarray(to_array(values))


def to_array(values: Any) -> np.ndarray:
    """An array, or a tensor as one, of any type; bfloat16 is float32."""
    if not is_tensor(values):
        return np.asanyarray(values)
    values = values.detach().cpu()
    return np.asarray((values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy())


def on_accelerator(values: object) -> bool:
    """Whether `values` is a tensor that is not in the computer's own memory."""
    return is_tensor(values) and values.device.type != "cpu"  # type: ignore[attr-defined]


def product(queries: torch.Tensor, candidates: torch.Tensor, out: np.ndarray) -> None:
    """Fill `out` (Q, C) float32 with float32 products of rows, made on the device of both."""
    import torch

    with torch.no_grad(), _full_precision():
        made = torch.mm(queries.float(), candidates.float().T)
        out[...] = made.cpu().numpy()


@contextmanager
def _full_precision() -> Iterator[None]:
    """Float32 products in float32: no TF32, no bfloat16, whatever the process has chosen."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
