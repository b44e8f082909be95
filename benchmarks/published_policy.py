"""Train by turns as the authors' code does and by our own policy, from equal weights and pairs.

    python benchmarks/published_policy.py --layers 2 --batch 32 --steps 10
    python benchmarks/published_policy.py --preset flickr8k --data flickr8k --steps 20

Prints the losses and milliseconds of each step of both, their medians, and the peak memory of each
in a process of its own. "published" has image keys with dropout and batch statistics, queues that
begin full of random vectors and SGE's wider first weights; "ours" has keys by running statistics,
queues that fill, and PyTorch's first weights. Each has its own first weights in SGE, all else is
equal. Without --data, files are made up in the shapes of SCAN's and of bert-base-uncased, of
which --layers may leave out the upper ones.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from synthetic_scan import write_bert_base, write_scan_folder
from user_itr.config.loading import load_settings
from user_itr.config.settings import Settings
from user_itr.evaluation.metrics import CrossModalMetrics
from user_itr.training.batches import Batch
from user_itr.training.preparation import prepare
from user_itr.training.run_folder import RunFolder
from user_itr.training.trainer import Trainer

POLICIES = {
    "published": (
        "momentum.policy=published",
        "momentum.queue_begins=random",
        "model.image.guide_init=xavier",
    ),
    "ours": (
        "momentum.policy=ours",
        "momentum.queue_begins=empty",
        "model.image.guide_init=pytorch",
    ),
}


class Quiet:
    """A reporter that tells nothing."""

    def step(self, epoch: int, batch: int, batches: int, values: dict[str, float]) -> None: ...

    def evaluated(self, epoch: int, metrics: CrossModalMetrics, best: bool) -> None: ...


@contextmanager
def silent(title: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda done, total: None


def settings_of(arguments: argparse.Namespace, policy: str, place: Path) -> Settings:
    overrides = [*POLICIES[policy], *arguments.set]
    if arguments.batch:
        overrides.append(f"training.batch_size={arguments.batch}")
    fixed = {"data": {"path": str(arguments.data or place / "data")}}
    if arguments.features:
        fixed["features"] = {"store": str(arguments.features)}
    if arguments.data is None:
        fixed["model"] = {"text.encoder": str(place / "bert")}
    return load_settings(arguments.preset, overrides, **fixed)


def write_inputs(arguments: argparse.Namespace, place: Path) -> None:
    if arguments.data is None:
        batch = settings_of(arguments, "ours", place).training.batch_size
        images = max(8, -(-batch * arguments.steps // 5))
        write_scan_folder(place / "data", {"train": images, "dev": 8})
        write_bert_base(place / "bert", arguments.layers)


def start(
    arguments: argparse.Namespace, policy: str, place: Path
) -> tuple[Trainer, Iterator[Batch]]:
    settings = settings_of(arguments, policy, place)
    prepared = prepare(settings, silent)
    trainer = Trainer(settings, prepared, RunFolder(place / policy), Quiet())
    trainer.step.train()
    return trainer, batches_of(trainer)


def batches_of(trainer: Trainer) -> Iterator[Batch]:
    for epoch in range(trainer.settings.training.epochs):
        yield from trainer.prepared.batches.epoch(epoch)


def step(
    trainer: Trainer, batches: Iterator[Batch], clock: Callable[[], float] = time.perf_counter
) -> tuple[float, dict[str, float]]:
    batch = next(batches)
    started = clock()
    losses, _ = trainer.train_batch(batch)
    if trainer.fabric.device.type == "cuda":
        torch.cuda.synchronize()
    seconds = clock() - started
    return seconds, {name: float(loss.detach()) for name, loss in losses.items()}


def compare(arguments: argparse.Namespace, place: Path) -> None:
    sides = {policy: start(arguments, policy, place) for policy in POLICIES}
    trainer = sides["ours"][0]
    print(
        f"{arguments.preset}: batch {trainer.settings.training.batch_size}, "
        f"{trainer.settings.training.precision} on {trainer.fabric.device}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}",
        flush=True,
    )
    taken: dict[str, list[float]] = {policy: [] for policy in POLICIES}
    for number in range(arguments.steps):
        line = f"step {number + 1}:"
        for policy in list(POLICIES)[:: 1 if number % 2 else -1]:  # who is first changes
            clock = time.process_time if arguments.processor_time else time.perf_counter
            seconds, losses = step(*sides[policy], clock)
            taken[policy].append(seconds)
            parts = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
            line += f"  {policy} {1000 * seconds:.0f} ms, {parts};"
        print(line.rstrip(";"), flush=True)
    for policy, seconds in taken.items():
        print(f"{policy}: median {1000 * statistics.median(seconds):.0f} ms a step")


def memory(arguments: argparse.Namespace, policy: str, place: Path) -> None:
    trainer, batches = start(arguments, policy, place)
    for _ in range(min(arguments.steps, 3)):
        step(trainer, batches)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # Linux counts in KiB
    print(f"{policy}: peak memory {peak:.0f} MiB", end="")
    if torch.cuda.is_available():
        print(f", on the GPU {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB", end="")
    print()


def main(arguments: argparse.Namespace) -> None:
    if arguments.only:
        memory(arguments, arguments.only, arguments.place)
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_inputs(arguments, place)
        compare(arguments, place)
        for policy in POLICIES:
            again = [sys.executable, *sys.argv, "--only", policy, "--place", str(place)]
            subprocess.run(again, check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="flickr30k")
    parser.add_argument("--data", type=Path, help="captioned set; made up by default")
    parser.add_argument("--features", type=Path, help="feature store of the set")
    parser.add_argument("--layers", type=int, default=12, help="of the made-up BERT")
    parser.add_argument("--batch", type=int, help="images a batch; the preset's by default")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument(
        "--processor-time", action="store_true", help="not of the clock, beside other work"
    )
    parser.add_argument("--set", action="append", default=[], help="setting, as of user-itr train")
    parser.add_argument("--only", choices=POLICIES, help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    main(parser.parse_args())
