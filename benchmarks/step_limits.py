"""What one training step computes and moves, and how fast this machine multiplies and copies."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from user_itr.objective.contrastive import ContrastiveObjective, Keys, Pairs
from user_itr.training.batches import Batch
from user_itr.training.trainer import Trainer

PRODUCTS = ("aten.mm.", "aten.addmm.", "aten.bmm.", "aten.baddbmm.")
ROUNDS = 7


class Traffic(TorchDispatchMode):
    """Bytes that operations other than matrix products read and write; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        returned = func._schema.returns
        alias = returned[0].alias_info if returned else None
        is_view = alias is not None and not alias.is_write
        if not is_view and not str(func).startswith(PRODUCTS) and "empty" not in str(func):
            for leaf in tree_leaves((args, kwargs, result)):
                if isinstance(leaf, Tensor):
                    self.bytes += leaf.numel() * leaf.itemsize
        return result


def count_step(trainer: Trainer, batch: Batch) -> tuple[float, float, float]:
    """One step's forward and backward pass.

    Returns:
        Operations of its matrix products, those of the objective among them (float32), and bytes
        that everything else reads and writes. A multiplication and an addition are two operations.
    """
    step = trainer.step.train()
    with FlopCounterMode(display=False) as flops, Traffic() as traffic:
        with trainer.fabric.autocast():
            losses, _ = step(batch)
        losses["loss"].backward()
    trainer.optimizer.zero_grad()
    images, captions = len(batch.regions), len(batch.caption_image)
    queues = step.contrast.image_queue.contents(), step.contrast.caption_queue.contents()
    width = queues[0][0].shape[1]
    objective = _objective_operations(step.objective, batch, images, captions, width, queues)
    return float(flops.get_total_flops()), objective, float(traffic.bytes)


def _objective_operations(
    objective: ContrastiveObjective,
    batch: Batch,
    images: int,
    captions: int,
    width: int,
    queues: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]],
) -> float:
    device = queues[0][0].device
    sides = [torch.randn(n, width, device=device, requires_grad=True) for n in (images, captions)]
    pairs = Pairs(sides[0], sides[1], batch.caption_image, batch.image_owner)
    keys = Keys(sides[0].detach(), sides[1].detach(), *queues)
    with FlopCounterMode(display=False) as flops:
        objective(pairs, keys)["loss"].backward()
    return float(flops.get_total_flops())


def product_rate(
    dtype: torch.dtype, clock: Callable[[], float], size: int = 2048, device: str = "cpu"
) -> float:
    """Operations a second of a square matrix product, the best of some."""
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty(size, size, dtype=dtype, device=device)
    return 2 * size**3 / _best(lambda: torch.mm(left, right, out=out), clock, device)


def copy_rate(clock: Callable[[], float], mebibytes: int = 256, device: str = "cpu") -> float:
    """Bytes read and written a second by a copy of a block that no cache near a core holds."""
    source = torch.randn(mebibytes * 2**18, device=device)
    target = torch.zeros_like(source)
    return 2 * source.nbytes / _best(lambda: target.copy_(source), clock, device)


def _best(work: Callable[[], object], clock: Callable[[], float], device: str) -> float:
    """Least seconds of some calls; on a GPU of ten calls in a row, and the first do not count."""
    repeats = 10 if device == "cuda" else 1
    seconds = []
    for _ in range(ROUNDS):
        started = clock()
        for _ in range(repeats):
            work()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append((clock() - started) / repeats)
    return min(seconds)


def print_limits(
    trainer: Trainer, batch: Batch, seconds: list[float], clock: Callable[[], float]
) -> None:
    """Compare measured seconds a step with the least that the counted work can take."""
    total, objective, moved = count_step(trainer, batch)
    mixed = trainer.fabric.strategy.precision.precision == "bf16-mixed"
    dtype = torch.bfloat16 if mixed else torch.float32
    rates = {d: product_rate(d, clock) for d in {dtype, torch.float32}}
    bandwidth = copy_rate(clock)
    trained = sum(p.numel() for p in trainer.step.model.parameters() if p.requires_grad)
    # AdamW reads weight, gradient and two moments and writes all but the gradient; clipping reads
    # gradients twice and writes them; the momentum update reads both weights and writes one.
    weights = 4 * trained * (7 + 3 + 3)
    rows = [
        (f"products of the encoders, {(total - objective) / 1e9:.1f} G operations, "
         f"{str(dtype).removeprefix('torch.')} at {rates[dtype] / 1e9:.0f} G a second",
         (total - objective) / rates[dtype]),
        (f"products of the objective, {objective / 1e9:.1f} G, float32 at "
         f"{rates[torch.float32] / 1e9:.0f} G a second", objective / rates[torch.float32]),
        (f"{trained / 1e6:.1f} million weights, gradients, moments and momentum weights: "
         f"{weights / 1e6:.0f} MB at {bandwidth / 1e9:.1f} GB a second", weights / bandwidth),
        (f"everything elementwise: {moved / 1e9:.2f} GB read and written, as if none of it were "
         "in a cache", moved / bandwidth),
    ]  # fmt: skip
    for text, least in rows:
        print(f"{1e3 * least:7.1f} ms  {text}")
    middle = statistics.median(seconds)
    arithmetic = rows[0][1] + rows[1][1]
    print(
        f"step: median {1e3 * middle:.1f} ms, {middle / arithmetic:.2f} times its matrix products, "
        f"{middle / sum(least for _, least in rows):.2f} times all four"
    )
