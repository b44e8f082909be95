"""A long run of a tiny model: memory, threads and open files over its steps.

    python tests/stress/long_training.py --steps 2000
    python tests/stress/long_training.py --steps 2000 --trace

Loggers, evaluations and checkpoints are those of `user-itr train`.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "training"))
from processes import field, open_files, resident
from tiny_runs import silent, tiny_settings, write_scan_set

from user_itr.evaluation.metrics import CrossModalMetrics
from user_itr.training.fabric import default_loggers
from user_itr.training.preparation import prepare
from user_itr.training.run_folder import RunFolder
from user_itr.training.trainer import Trainer


class Every:
    """A reporter that calls a function each so many steps."""

    def __init__(self, steps: int, call: Callable[[int], None]) -> None:
        self.steps, self.call, self.done = steps, call, 0

    def step(self, epoch: int, batch: int, batches: int, values: dict[str, float]) -> None:
        self.done += 1
        if self.done % self.steps == 0:
            self.call(self.done)

    def evaluated(self, epoch: int, metrics: CrossModalMetrics, best: bool) -> None:
        pass


def train(root: Path, steps: int, every: int, call: Callable[[int], None]) -> None:
    """Train 54 steps an epoch, a checkpoint each ten or so, and call every so many steps."""
    data = write_scan_set(root / "set", train=144, dev=12)
    settings = tiny_settings(
        data, f"training.epochs={-(-steps // 54)}", "training.checkpoint_minutes=0.02"
    )
    folder = RunFolder(root / "run")
    folder.create(settings)
    loggers = default_loggers(folder.path)
    Trainer(settings, prepare(settings, silent), folder, Every(every, call), loggers).fit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument(
        "--trace", action="store_true", help="Python's allocations, which swells it"
    )
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    me = os.getpid()
    snapshots: list[tracemalloc.Snapshot] = []
    own = tracemalloc.Filter(False, tracemalloc.__file__)
    begun = time.monotonic()
    print(f"{'steps':>6} {'seconds':>8} {'MiB':>6} {'files':>6} {'threads':>8} {'Python KiB':>11}")

    def show(step: int) -> None:
        gc.collect()
        growth = 0.0
        if options.trace and step >= options.steps // 10:  # the first tenth warms up
            snapshots.append(tracemalloc.take_snapshot().filter_traces([own]))
            differences = snapshots[-1].compare_to(snapshots[0], "lineno")
            growth = sum(d.size_diff for d in differences) / 1024
            del snapshots[1:-1]
        print(
            f"{step:6,} {time.monotonic() - begun:8.1f} {resident(me):6.0f} "
            f"{len(open_files(me)):6} {field(me, 'Threads'):8} {growth:11.0f}",
            flush=True,
        )

    if options.trace:
        tracemalloc.start()
    with tempfile.TemporaryDirectory() as temporary:
        train(Path(temporary), options.steps, options.steps // 20, show)
    for difference in snapshots[-1].compare_to(snapshots[0], "lineno")[:5] if snapshots else []:
        print(" ", difference)


if __name__ == "__main__":
    main()
