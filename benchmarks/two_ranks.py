"""Step time of one process with two threads against two ranks with one thread each.

    python benchmarks/two_ranks.py [--rounds 2] [--steps 4] [--set section.key=value ...]

The model, the batch of 64 images with 320 captions and the precision are the preset `flickr8k`'s,
on made-up regions of 36 x 2048 cut to 36 x 512. Both sides compute the same batches and the same
loss: ranks gather negatives and share BatchNorm's statistics, by gloo on this machine. Rounds
alternate; every run is made of fresh processes, and its first steps do not count.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from synthetic_scan import write_scan_folder
from user_itr.config.loading import load_settings
from user_itr.config.settings import Settings
from user_itr.evaluation.metrics import CrossModalMetrics
from user_itr.training.fabric import create_fabric
from user_itr.training.interruption import Interrupted
from user_itr.training.launching import rank_environments
from user_itr.training.preparation import prepare_in_turn
from user_itr.training.ranks import Ranks
from user_itr.training.run_folder import RunFolder
from user_itr.training.trainer import Trainer

WARM_UP = 1
CORES = 2
OVERRIDES = (
    "features.backbone=precomputed",
    "features.grid=null",
    "features.mirror=false",
    "features.crop=1",
    "features.guide=null",
    "model.image.enhancement=self",
    "training.accelerator=cpu",
)


class Clock:
    """Seconds of each step; presses Ctrl-C after the last one."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self.started = time.perf_counter()

    def step(self, epoch: int, batch: int, batches: int, values: dict[str, float]) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self.started)
        self.losses.append(values["loss"])
        self.started = now
        if len(self.seconds) == self.steps:
            signal.raise_signal(signal.SIGINT)

    def evaluated(self, epoch: int, metrics: CrossModalMetrics, best: bool) -> None:
        raise AssertionError("the data is too small for so many steps")


@contextmanager
def silent(title: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda done, total: None


def train(settings: Settings, folder: Path, steps: int, threads: int, result: Path) -> None:
    """A rank's part of a run, or all of it."""
    torch.set_num_threads(threads)
    ranks = Ranks(create_fabric(settings.training, []))
    run = RunFolder(folder)
    if ranks.first:
        run.create(settings)
    clock = Clock(steps)
    trainer = Trainer(settings, prepare_in_turn(ranks, settings, silent), run, clock, ranks=ranks)
    clock.started = time.perf_counter()
    try:
        trainer.fit()
    except Interrupted:
        if ranks.first:
            precision = str(trainer.fabric.strategy.precision.precision)
            result.write_text(json.dumps([clock.seconds[WARM_UP:], clock.losses, precision]))
    ranks.leave()


def in_processes(work: Callable[[], None], environments: list[dict[str, str]]) -> None:
    """Fork a process for each environment and wait for all."""
    children = []
    for environment in environments:
        child = os.fork()
        if child == 0:
            try:
                os.environ.update(environment)
                work()
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    codes = [os.waitpid(child, 0)[1] for child in children]
    if any(codes):
        raise SystemExit("a process failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    steps = WARM_UP + arguments.steps
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        os.environ["XDG_CACHE_HOME"] = str(place / "cache")
        settings = load_settings(
            "flickr8k", [*OVERRIDES, *arguments.set], data={"path": str(place / "data")}
        )
        batch = settings.training.batch_size
        write_scan_folder(place / "data", {"train": batch * (steps + 1), "dev": 10})
        sides = {
            f"one process, {CORES} threads": (CORES, [{}]),
            f"{CORES} ranks, a thread each": (1, None),
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        losses: dict[str, list[float]] = {}
        for number in range(arguments.rounds):
            for side, (name, (threads, environments)) in enumerate(sides.items()):
                result = place / f"{number}-{side}.json"
                run = place / f"run-{number}-{side}"
                in_processes(
                    lambda run=run, threads=threads, result=result: train(  # type: ignore[misc]
                        settings, run, steps, threads, result
                    ),
                    environments or rank_environments(CORES),
                )
                times, losses[name], precision = json.loads(result.read_text())
                seconds[name] += times
    print(
        f"batch {batch} images, {batch * settings.training.captions_per_image} captions, "
        f"{precision}, torch {torch.__version__}, {arguments.rounds} rounds of "
        f"{arguments.steps} steps"
    )
    best = {name: min(times) for name, times in seconds.items()}
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    for name in sides:
        print(
            f"{name:24} best {1000 * best[name]:6.0f} ms, median {1000 * middle[name]:6.0f} ms a "
            f"step; first losses {', '.join(f'{loss:.4f}' for loss in losses[name][:3])}"
        )
    one, two = sides
    print(
        f"ranks take {best[two] / best[one]:.2f} of the time by the best step, "
        f"{middle[two] / middle[one]:.2f} by the median"
    )


if __name__ == "__main__":
    main()
