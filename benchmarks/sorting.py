"""Time GPO's sort: the network of `user_itr.model.sorting` against `torch.sort`, in one run.

    python benchmarks/sorting.py

Both sides sort the same batches along the same dimension, forwards and backwards, turn by turn.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from user_itr.model.sorting import sort_descending

SHAPES = {
    "captions of 14 tokens": (107, 14, 1024),
    "grid of 16 regions": (64, 16, 1024),
    "36 regions": (128, 36, 1024),
}
ROUNDS = 9


def library_sort(x: Tensor) -> Tensor:
    return x.sort(dim=1, descending=True).values


def seconds(sort: Callable[[Tensor], Tensor], x: Tensor, gradient: Tensor | None) -> float:
    leaf = x.clone().requires_grad_(gradient is not None)
    start = time.perf_counter()
    ordered = sort(leaf)
    if gradient is not None:
        ordered.backward(gradient)
    return time.perf_counter() - start


def main() -> None:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; ms, best and median")
    for name, shape in SHAPES.items():
        for dtype in (torch.bfloat16, torch.float32):
            x = torch.randn(shape).to(dtype)
            for kind, gradient in (("forward", None), ("both ways", torch.randn_like(x))):
                times: dict[str, list[float]] = {"library": [], "network": []}
                for _ in range(ROUNDS):
                    times["library"].append(seconds(library_sort, x, gradient))
                    times["network"].append(seconds(sort_descending, x, gradient))
                library, network = (
                    (1e3 * min(t), 1e3 * statistics.median(t)) for t in times.values()
                )
                print(
                    f"{name}, {str(dtype).removeprefix('torch.')}, {kind}: torch.sort "
                    f"{library[0]:.1f} {library[1]:.1f}, network {network[0]:.1f} "
                    f"{network[1]:.1f}; ratio {library[0] / network[0]:.1f} "
                    f"{library[1] / network[1]:.1f}"
                )


if __name__ == "__main__":
    main()
