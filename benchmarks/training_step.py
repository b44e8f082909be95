"""Time a training step of preset `flickr8k` against the method written plainly in float32.

    python benchmarks/training_step.py --data flickr8k --features flickr8k-lite2
    python benchmarks/training_step.py --data flickr8k --features flickr8k-lite2 memory

Both sides start from the same weights and see the same pairs in the same order, the same mirrored
and cropped views, without dropout. Ours is `Trainer.fit`; plain is `plain_user.py`, run in turns
with it, some steps each. `compare` (the default) prints pairs a second, milliseconds a step by part
and both losses; `memory` the peak of each side in a process of its own; `limits` compares ours with
what the processor can multiply and move. `--set` changes our side, and plain's where plain has the
setting.
Any captioned set with images will do; missing features are extracted first.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from parts import Parts
from plain_user import PlainData, PlainImageEncoder, PlainTextEncoder, PlainTraining, PlainUSER
from ranking import peak_mib
from same_batches import PairReader
from step_limits import print_limits
from user_itr.config.loading import load_settings
from user_itr.config.settings import Settings
from user_itr.evaluation.metrics import CrossModalMetrics
from user_itr.model.pretrained_text import pretrained_path
from user_itr.training.interruption import Interrupted
from user_itr.training.preparation import Preparation, prepare
from user_itr.training.run_folder import RunFolder
from user_itr.training.trainer import Trainer

NO_CHANCE = (
    "model.image.guide_dropout=0",
    "model.image.projection_dropout=0",
    "model.text.dropout=0",
    "model.text.layer_dropout=0",
    "model.text.mask_probability=0",
)


@contextmanager
def silent(title: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda done, total: None


Clock = Callable[[], float]
"""Tells seconds."""


class Plain:
    """The plain side: its steps, their seconds, losses and parts."""

    def __init__(self, settings: Settings, prepared: Preparation, clock: Clock) -> None:
        compactor = prepared.model.compactor
        assert compactor is not None
        assert compactor.grid is not None
        encoder, guides = prepared.model.encoder, prepared.train.guides
        assert guides is not None
        text = settings.model.text
        assert isinstance(text.trainable_layers, int)
        width = settings.model.embedding
        model = PlainUSER(
            PlainImageEncoder(compactor.width, guides.shape[1], width),
            PlainTextEncoder(pretrained_path(text.encoder), width, text.trainable_layers),
        )
        model.image.load_state_dict(encoder.image.state_dict())
        model.text.linear.load_state_dict(encoder.text.linear.state_dict())
        model.text.pooling.load_state_dict(encoder.text.pooling.state_dict())
        steps = prepared.batches.batches_per_epoch * settings.training.epochs
        self.clock = clock
        self.training = PlainTraining(model, settings, steps)
        self.data = PlainData(compactor.grid, compactor.mean, compactor.projection)
        self.reader = PairReader(settings, prepared)
        self.batches = self.reader.batches()
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self.parts = parts = Parts(clock)
        for encoders, kind in ((model, ""), (self.training.momentum_model, "momentum ")):
            parts.wrap(encoders.image, "forward", f"{kind}image encoder")
            parts.wrap(encoders.text, "forward", f"{kind}text encoder")

    def step(self) -> None:
        pairs = next(self.batches)
        training, part = self.training, self.parts.part
        started = self.clock()
        with part("data"):
            batch = self.data.collate([self.reader.item(pair) for pair in pairs])
        queries = training.encode(batch)
        keys = training.encode_keys(batch)
        with part("objective"):
            loss = training.loss(batch, queries, keys)
        with part("backward"):
            loss.backward()
        with part("queues"):
            training.enqueue(batch, keys)
        with part("optimizer"):
            training.optimize()
        with part("momentum update"):
            training.update_momentum()
        self.losses.append(loss.item())
        self.seconds.append(self.clock() - started)


class Ours:
    """Our side: a `Trainer` that is told to stop after some steps, and what it did.

    Args:
        settings: of the run.
        prepared: its data and model.
        place: for the run's folder.
        steps: to do.
        clock: tells seconds.
        between: called after each step, off the clock.
    """

    def __init__(
        self,
        settings: Settings,
        prepared: Preparation,
        place: Path,
        steps: int,
        clock: Clock,
        between: Callable[[int], None] = lambda done: None,
    ) -> None:
        self.clock = clock
        self.steps = steps
        self.between = between
        self.seconds: list[float] = []
        self.losses: list[float] = []
        folder = RunFolder(place)
        folder.create(settings)
        self.trainer = Trainer(settings, prepared, folder, self)
        self.parts = parts = Parts(clock)
        step = self.trainer.step
        parts.wrap_iterator(prepared.batches, "epoch", "data")
        for encoders, kind in ((step.model, ""), (step.contrast.encoder, "momentum ")):
            parts.wrap(encoders.image, "forward", f"{kind}image encoder")
            parts.wrap(encoders.text, "encode_groups", f"{kind}text encoder")
        parts.wrap(step.objective, "forward", "objective")
        parts.wrap(self.trainer.fabric, "backward", "backward")
        parts.wrap(step, "after_backward", "queues")
        parts.wrap(self.trainer.fabric, "clip_gradients", "optimizer")
        parts.wrap(self.trainer.fabric.strategy, "optimizer_step", "optimizer")
        parts.wrap(step, "after_update", "momentum update")

    def run(self) -> None:
        self.started = self.clock()
        try:
            self.trainer.fit()
        except Interrupted:
            return
        raise SystemExit(f"the run has fewer than {self.steps} steps; give fewer with --steps")

    def step(self, epoch: int, batch: int, batches: int, values: dict[str, float]) -> None:
        self.seconds.append(self.clock() - self.started)
        self.losses.append(values["loss"])
        self.between(len(self.losses))
        if len(self.losses) == self.steps:
            signal.raise_signal(signal.SIGINT)
        self.started = self.clock()

    def evaluated(self, epoch: int, metrics: CrossModalMetrics, best: bool) -> None:
        self.started = self.clock()


def compare(options: argparse.Namespace, settings: Settings, place: Path) -> None:
    """Both sides in turns: throughput, parts, losses."""
    prepared = prepare(settings, silent)
    plain = Plain(settings, prepared, options.clock)

    def turn(done: int) -> None:
        if done % options.turn == 0:
            for _ in range(options.turn):
                plain.step()
            print(
                f"  {done} steps of each: plain {plain.seconds[-1]:.3f} s, ours "
                f"{ours.seconds[-1]:.3f} s, losses {plain.losses[-1]:.5f} {ours.losses[-1]:.5f}",
                flush=True,
            )

    ours = Ours(settings, prepared, place / "run", options.steps, options.clock, turn)
    ours.run()
    batch = next(plain.batches)
    pairs = len(batch)
    captions = prepared.train.captions
    lengths = captions.lengths[[caption for _, caption, *_ in batch]]
    print(
        f"{pairs} pairs a step ({settings.training.batch_size} images, "
        f"{settings.training.captions_per_image} captions each, "
        f"{lengths.mean():.1f} tokens a caption, longest {lengths.max()}), precision "
        f"{ours.trainer.fabric.strategy.precision.precision} against float32, {options.steps} "
        f"steps in turns of {options.turn}; the first of each turn is not counted"
    )
    counted = [n for n in range(options.steps) if n % options.turn]
    sides = {"plain": plain, "ours": ours}
    seconds = {name: [side.seconds[n] for n in counted] for name, side in sides.items()}
    best = {name: min(each) for name, each in seconds.items()}
    middle = {name: statistics.median(each) for name, each in seconds.items()}
    for name in sides:
        print(
            f"{name}: {best[name]:.3f} s a step at best, median {middle[name]:.3f} s; "
            f"{pairs / best[name]:.0f} and {pairs / middle[name]:.0f} pairs a second"
        )
    print(
        f"plain / ours: best {best['plain'] / best['ours']:.2f}, "
        f"median {middle['plain'] / middle['ours']:.2f}"
    )
    print_parts(plain, ours)
    print_losses(plain.losses, ours.losses)


def print_parts(plain: Plain, ours: Ours) -> None:
    """Mean milliseconds of each part of a step, of all steps."""
    print(f"{'ms a step, mean':<24}{'plain':>8}{'ours':>8}")
    sides = (plain, ours)
    rest = [sum(side.seconds) - sum(side.parts.seconds.values()) for side in sides]
    for name in plain.parts.seconds:
        values = [1e3 * s.parts.seconds[name] / len(s.seconds) for s in sides]
        print(f"{name:<24}{values[0]:>8.1f}{values[1]:>8.1f}")
    values = [1e3 * r / len(s.seconds) for r, s in zip(rest, sides, strict=True)]
    print(f"{'the rest':<24}{values[0]:>8.1f}{values[1]:>8.1f}")


def print_losses(plain: Sequence[float], ours: Sequence[float]) -> None:
    relative = [abs(a - b) / abs(a) for a, b in zip(plain, ours, strict=True)]
    print("loss at step: " + ", ".join(f"{n}" for n in shown(len(plain))))
    for name, losses in (("plain", plain), ("ours", ours)):
        print(f"{name}: " + ", ".join(f"{losses[n - 1]:.5f}" for n in shown(len(losses))))
    print(f"relative difference: at most {max(relative):.1e}, first step {relative[0]:.1e}")


def shown(steps: int) -> list[int]:
    return sorted({1, 2, *range(5, steps, 5), steps})


def limits(options: argparse.Namespace, settings: Settings, place: Path) -> None:
    """Ours alone, and the least time that its work can take."""
    prepared = prepare(settings, silent)
    batch = next(prepared.batches.epoch(0))
    ours = Ours(settings, prepared, place / "run", options.steps, options.clock)
    ours.run()
    print_limits(ours.trainer, batch, ours.seconds[options.turn :], options.clock)


def load(options: argparse.Namespace, changes: Sequence[str]) -> Settings:
    return load_settings(
        "flickr8k",
        [*changes, *options.set],
        data={"path": str(options.data)},
        features={"store": str(options.features) if options.features else None},
    )


def memory_of(options: argparse.Namespace, settings: Settings, place: Path) -> None:
    """One side alone: its peak from before it is built until its last step."""
    prepared = prepare(settings, silent)
    before = peak_mib(reset=True)
    if options.side == "plain":
        plain = Plain(settings, prepared, options.clock)
        for _ in range(options.steps):
            plain.step()
    else:
        Ours(settings, prepared, place / "run", options.steps, options.clock).run()
    print(f"{options.side}: {peak_mib():.0f} MiB, {peak_mib() - before:.0f} MiB beyond its start")


def memory(options: argparse.Namespace) -> None:
    """Each side in a process of its own, with the system's allocator."""
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    for side in ("plain", "ours"):
        command = [sys.executable, *sys.argv, "--side", side]
        subprocess.run(command, check=True, env=environment)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["compare", "memory", "limits"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--features", type=Path, help="feature store, as of user-itr train")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--turn", type=int, default=5, help="steps of one side before the other's")
    parser.add_argument("--set", action="append", default=[], help="setting, as of user-itr train")
    parser.add_argument("--threads", type=int, help="of torch; by default one a core")
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="count seconds of processor time: with one thread, on a machine that others use too",
    )
    parser.add_argument("--side", choices=["plain", "ours"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.what == "memory" and options.side is None:
        memory(options)
        return
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    options.clock = time.process_time if options.processor_time else time.perf_counter
    settings = load(options, NO_CHANCE)
    print(
        f"torch {torch.__version__}, threads: {torch.get_num_threads()}, seconds of "
        f"{'processor' if options.processor_time else 'wall-clock'} time",
        flush=True,
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if options.what == "memory":
            memory_of(options, settings, place)
        elif options.what == "limits":
            limits(options, settings, place)
        else:
            compare(options, settings, place)


if __name__ == "__main__":
    main()
