"""The training step of `gpu_training.py`: its variants, timed in turns, and its profile."""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import torch

from step_limits import count_step, product_rate
from training_step import NO_CHANCE, silent
from user_itr.config.loading import load_settings
from user_itr.config.settings import Settings
from user_itr.evaluation.metrics import CrossModalMetrics
from user_itr.model.dual_encoder import DualEncoder
from user_itr.model.token_encoders import TransformerTokens
from user_itr.training.batches import BUCKET, Batch
from user_itr.training.prefetch import GPU_GROUP
from user_itr.training.preparation import Preparation, prepare
from user_itr.training.run_folder import RunFolder
from user_itr.training.trainer import Trainer

GPU = torch.cuda.is_available()
CLOCK = time.perf_counter


@dataclass(frozen=True)
class Variant:
    """A way to compute the same step."""

    name: str
    precision: str
    group: int = GPU_GROUP
    tf32: bool = False
    compiled: bool = False


VARIANTS = (
    Variant("float32, groups of 64", "32-true", BUCKET),
    Variant("float32", "32-true"),
    Variant("TF32", "32-true", tf32=True),
    Variant("bf16, groups of 64", "bf16-mixed", BUCKET),
    Variant("bf16", "bf16-mixed"),
    Variant("float32, compiled", "32-true", compiled=True),
    Variant("bf16, compiled", "bf16-mixed", compiled=True),
    Variant("bf16, groups of 64, compiled", "bf16-mixed", BUCKET, compiled=True),
)


def wait() -> None:
    if GPU:
        torch.cuda.synchronize()


def allocated() -> float:
    return torch.cuda.memory_allocated() / 2**20 if GPU else 0.0


class Nobody:
    """A reporter that says nothing."""

    def step(self, epoch: int, batch: int, batches: int, values: dict[str, float]) -> None: ...

    def evaluated(self, epoch: int, metrics: CrossModalMetrics, best: bool) -> None: ...


class Side:
    """One variant: a trainer of its own, from the common weights, and what was measured of it."""

    def __init__(
        self, variant: Variant, settings: Settings, prepared: Preparation, place: Path
    ) -> None:
        self.variant = variant
        before = allocated()
        changed = settings.training.model_copy(update={"precision": variant.precision})
        model = replace(prepared.model, encoder=copy.deepcopy(prepared.model.encoder))
        own = settings.model_copy(update={"training": changed})
        folder = RunFolder(place / variant.name)
        folder.create(own)
        self.trainer = Trainer(own, replace(prepared, model=model), folder, Nobody())
        self.trainer.step.train()
        if variant.compiled:
            compile_networks(self.trainer.step.model)
            compile_networks(self.trainer.step.contrast.encoder)
        self.kept = allocated() - before
        self.peak = 0.0
        self.first: float | None = None
        self.seconds: list[float] = []
        self.losses: list[float] = []

    def turn(self, batches: list[Batch]) -> None:
        """Some steps; the first is not counted."""
        torch.backends.cuda.matmul.allow_tf32 = self.variant.tf32
        for number, batch in enumerate(batches):
            ready = batch.regrouped(self.variant.group)
            ready = ready.pinned() if GPU else ready
            before = allocated()
            if GPU:
                torch.cuda.reset_peak_memory_stats()
            wait()
            started = CLOCK()
            losses, _ = self.trainer.train_batch(ready)
            wait()
            seconds = CLOCK() - started
            if GPU:
                peak = torch.cuda.max_memory_allocated() / 2**20 - before
                self.kept += allocated() - before  # AdamW's moments, in the first step
                self.peak = max(self.peak, self.kept + peak)
            self.losses.append(float(losses["loss"].detach()))
            if self.first is None:
                self.first = seconds
            elif number:
                self.seconds.append(seconds)
            place = self.trainer.place
            place.batch %= self.trainer.prepared.batches.batches_per_epoch
        torch.backends.cuda.matmul.allow_tf32 = False


def compile_networks(encoder: DualEncoder) -> None:
    """Have the image branch and the transformer compiled when they are first run.

    Sizes are symbols from the start, since captions have many lengths. GPO stays as it is.
    """
    modules = [encoder.image.projection, encoder.image.guide, encoder.image.global_guide]
    tokens = encoder.text.tokens
    assert isinstance(tokens, TransformerTokens)
    for module in [*modules, tokens.base, *tokens.layers]:
        if module is not None:
            module.compile(dynamic=True)


def endless(prepared: Preparation) -> Iterator[Batch]:
    """Batches of one epoch after the other, without an epoch's smaller last one."""
    full = len(prepared.train.images) // prepared.batches.batch_size
    epochs = (islice(prepared.batches.epoch(number), full) for number in range(1000))
    return chain.from_iterable(epochs)


def step(options: argparse.Namespace) -> None:
    """Time all variants in turns."""
    settings = load(options, list(NO_CHANCE))
    prepared = prepare(settings, silent)
    started = CLOCK()
    batches = list(islice(endless(prepared), options.steps))
    data = (CLOCK() - started) / len(batches)
    pairs = len(batches[0].caption_image)
    print(
        f"{settings.training.batch_size} images, {pairs} captions a step; {options.steps} steps "
        f"each in turns of {options.turn}; reading a batch takes {1e3 * data:.1f} ms",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        sides = [
            Side(variant, settings, prepared, Path(folder))
            for variant in VARIANTS
            if not options.only or variant.name in options.only
        ]
        for start in range(0, options.steps, options.turn):
            for side in sides:
                side.turn(batches[start : start + options.turn])
        eager = next(side.trainer for side in sides if not side.variant.compiled)
        device = eager.fabric.device
        eager.step.train()
        total, objective, _ = count_step(eager, batches[0].regrouped(GPU_GROUP).to(device))
    print(
        f"{total / 1e9:.0f} G operations in matrix products, {objective / 1e9:.1f} G of them the "
        f"objective's, with captions in groups of {GPU_GROUP}"
    )
    reference = sides[0]
    print(f"{'':30}{'first s':>9}{'best ms':>9}{'median':>9}{'pairs/s':>9}{'ratio':>7}{'MiB':>7}")
    for side in sides:
        best, middle = min(side.seconds), statistics.median(side.seconds)
        ratio = statistics.median(reference.seconds) / middle
        print(
            f"{side.variant.name:30}{side.first or 0:9.1f}{1e3 * best:9.2f}{1e3 * middle:9.2f}"
            f"{pairs / middle:9.0f}{ratio:7.2f}{side.peak:7.0f}",
            flush=True,
        )
    shown = sorted({n for n in (0, 9, 19, 29, options.steps - 1) if n < options.steps})
    print("loss at step " + ", ".join(str(n + 1) for n in shown) + ", largest relative difference")
    for side in sides:
        values = ", ".join(f"{side.losses[n]:.5f}" for n in shown)
        apart = [abs(a - b) / abs(b) for a, b in zip(side.losses, reference.losses, strict=True)]
        worst = max(range(len(apart)), key=apart.__getitem__)
        print(
            f"{side.variant.name:30}{values}, {apart[worst]:.1e} at step {worst + 1}, where "
            f"{reference.variant.name} has {reference.losses[worst]:.5f}"
        )
    if GPU:
        limits(sides, total, objective)


def limits(sides: list[Side], total: float, objective: float) -> None:
    """Each side's median over the least time of its matrix products."""
    plain, fast, short = rates()
    for side in sides:
        variant = side.variant
        rate = short if variant.precision == "bf16-mixed" else fast if variant.tf32 else plain
        least = (total - objective) / rate + objective / (fast if variant.tf32 else plain)
        middle = statistics.median(side.seconds)
        print(
            f"{variant.name:30}products {1e3 * least:6.2f} ms, the step {middle / least:.1f} times "
            "that"
        )


def rates() -> tuple[float, float, float]:
    """Operations a second of float32, TF32 and bfloat16 products."""
    plain = product_rate(torch.float32, CLOCK, 8192, "cuda")
    torch.backends.cuda.matmul.allow_tf32 = True
    fast = product_rate(torch.float32, CLOCK, 8192, "cuda")
    torch.backends.cuda.matmul.allow_tf32 = False
    return plain, fast, product_rate(torch.bfloat16, CLOCK, 8192, "cuda")


def profile(options: argparse.Namespace) -> None:
    """Where the time of a bfloat16 step goes."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    settings = load(options, list(NO_CHANCE))
    prepared = prepare(settings, silent)
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if GPU else [])
    batches = list(islice(endless(prepared), 15))
    with tempfile.TemporaryDirectory() as folder:
        for variant in VARIANTS:
            if variant.name not in (options.only or ["bf16, groups of 64", "bf16"]):
                continue
            side = Side(variant, settings, prepared, Path(folder))
            side.turn(batches[:10])
            ready = [b.regrouped(variant.group) for b in batches[10:]]
            with profiler(activities=activities, acc_events=True) as measured:
                started = CLOCK()
                for batch in ready:
                    side.trainer.train_batch(batch)
                wait()
                seconds = CLOCK() - started
            events = measured.events() or []
            kernels = [e for e in events if e.device_type == DeviceType.CUDA]
            busy = sum(e.self_device_time_total for e in kernels)
            waits = sum("Synchronize" in e.name for e in events)
            steps = len(ready)
            print(
                f"{variant.name}: {1e3 * seconds / steps:.2f} ms a step with the profiler, "
                f"{len(kernels) / steps:.0f} kernels and copies that take {busy / 1e3 / steps:.2f} "
                f"ms, {waits / steps:.0f} waits for the GPU",
                flush=True,
            )
            key = "self_device_time_total" if GPU else "self_cpu_time_total"
            averages = measured.key_averages()
            print(averages.table(sort_by=key, row_limit=14, max_name_column_width=50))
            if GPU:
                print(
                    averages.table(
                        sort_by="self_cpu_time_total", row_limit=14, max_name_column_width=50
                    )
                )


def load(options: argparse.Namespace, changes: list[str]) -> Settings:
    images = [f"training.batch_size={options.images}"] if options.images else []
    return load_settings(
        options.preset,
        [*changes, *images, *options.set],
        data={"path": str(options.data)},
        features={"store": str(options.features)},
    )
