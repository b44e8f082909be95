"""What a GPU makes of preset `flickr8k-gpu`, its text encoder trained in full.

    python benchmarks/gpu_training.py ceilings
    python benchmarks/gpu_training.py extract --data flickr8k --features store
    python benchmarks/gpu_training.py step --data flickr8k --features store --images 64
    python benchmarks/gpu_training.py profile --data flickr8k --features store --images 64
    python benchmarks/gpu_training.py run --data flickr8k --features store

`ceilings` prints how fast the GPU multiplies and copies; `extract` fills feature stores; `step`
times the training step in float32, TF32 and bfloat16, eager and compiled, in turns, from equal
weights and without dropout, and compares losses; `profile` says where its time goes; `run` trains
to the end, and samples nvidia-smi meanwhile. All but `ceilings` run without a GPU too, to try them.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from gpu_step import CLOCK, GPU, load, profile, rates, step
from step_limits import copy_rate
from training_step import silent
from user_itr.evaluation.metrics import CrossModalMetrics
from user_itr.training.preparation import prepare
from user_itr.training.run_folder import RunFolder
from user_itr.training.trainer import Trainer


def ceilings(options: argparse.Namespace) -> None:
    """How fast the GPU multiplies and copies."""
    names = ("float32", "TF32", "bfloat16")
    for name, rate in zip(names, rates(), strict=True):
        print(f"{name:9} product of 8192 x 8192: {rate / 1e12:6.1f} T operations a second")
    print(
        f"copy of 4 GiB: {copy_rate(CLOCK, 4096, 'cuda') / 1e12:.2f} TB read and written a second"
    )


class Sampler:
    """What nvidia-smi says every 0.2 s: percent of the time that a kernel ran, MiB in use."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, float, float]] = []
        self.process: subprocess.Popen[str] | None = None
        if shutil.which("nvidia-smi"):
            query = "--query-gpu=utilization.gpu,memory.used"
            form = "--format=csv,noheader,nounits"
            self.process = subprocess.Popen(
                ["nvidia-smi", query, form, "-lms", "200"], stdout=subprocess.PIPE, text=True
            )
            threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            percent, used = line.split(",")
            self.samples.append((CLOCK(), float(percent), float(used)))

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()

    def between(self, spans: list[tuple[float, float]]) -> list[float]:
        """Percents of samples inside some spans of time."""
        return [p for t, p, _ in self.samples if any(a <= t <= b for a, b in spans)]


@dataclass
class Watch:
    """Notes when each epoch's first and last step were over."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    best: CrossModalMetrics | None = None
    started: float = 0.0

    def step(self, epoch: int, batch: int, batches: int, values: dict[str, float]) -> None:
        if batch == 1:
            self.started = CLOCK()
        if batch == batches:
            self.spans.append((self.started, CLOCK()))

    def evaluated(self, epoch: int, metrics: CrossModalMetrics, best: bool) -> None:
        print(f"epoch {epoch + 1}: dev rsum {metrics.rsum:.1f}", flush=True)
        if best:
            self.best = metrics


def run(options: argparse.Namespace) -> None:
    """Train to the end, and say how long it took, how busy the GPU was, and how good it is."""
    began = CLOCK()
    settings = load(options, [])
    prepared = prepare(settings, silent)
    with tempfile.TemporaryDirectory() as temporary:
        folder = RunFolder(options.out or Path(temporary) / "run")
        watch = Watch()
        trainer = Trainer(settings, prepared, folder, watch)
        folder.create(settings)
        sampler = Sampler()
        started = CLOCK()
        trainer.fit()
        wall = CLOCK() - started
        sampler.stop()
    pairs = len(prepared.train.images.captions) * trainer.place.epoch
    seconds = trainer.place.seconds
    print(f"settings: {' '.join(options.set)}")
    print(
        f"precision {trainer.fabric.strategy.precision.precision}, {trainer.place.epoch} epochs of "
        f"{prepared.batches.batches_per_epoch} steps; {started - began:.1f} s to prepare, "
        f"{wall:.1f} s to train, {seconds:.1f} of them in steps, the rest in evaluation and "
        f"checkpoints; {pairs / seconds:.0f} pairs a second in steps"
    )
    if GPU:
        print(f"most memory in tensors: {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB")
    busy = sampler.between(watch.spans)
    if busy:
        print(
            f"nvidia-smi: {statistics.mean(busy):.0f} % utilisation in steps on the mean, median "
            f"{statistics.median(busy):.0f} %, of {len(busy)} samples; most memory "
            f"{max(used for _, _, used in sampler.samples):.0f} MiB"
        )
    best = watch.best
    assert best is not None
    recalls = [
        " / ".join(f"{value:.1f}" for value in direction.recall.values())
        for direction in (best.i2t, best.t2i)
    ]
    print(f"best: image to text {recalls[0]}, text to image {recalls[1]}, rsum {best.rsum:.1f}")


def extract(options: argparse.Namespace) -> None:
    """Fill a store, its guide and the mirrored one, and say how fast."""
    from user_itr.data.readers import load_captions
    from user_itr.features.backbones.registry import create_backbone
    from user_itr.features.extraction import extract_features
    from user_itr.features.guides.registry import create_guide, guide_folder
    from user_itr.features.runtime import for_extraction
    from user_itr.features.sources import find_source_images
    from user_itr.features.viewed import ViewedBackbone
    from user_itr.features.views import View

    settings = load(options, [])
    name, guide = settings.features.backbone, settings.features.guide
    assert guide is not None
    everything, _ = find_source_images(options.data)
    train = load_captions(options.data, "train")
    assert train.image_paths is not None
    mirror = View("mirror")
    mirrored = list(zip(train.image_ids, train.image_paths, strict=True))
    store: Path = options.features
    requests: list[tuple[str, Callable[[], object], list[tuple[str, Path]], Path]] = [
        (name, lambda: create_backbone(name), list(everything), store),
        (guide, lambda: create_guide(guide), list(everything), guide_folder(store, guide)),
        (
            "mirrored",
            lambda: ViewedBackbone(create_backbone(name), mirror),
            mirrored,
            store / mirror.name,
        ),
    ]
    for title, create, images, folder in requests:
        network = for_extraction(create())  # type: ignore[arg-type]
        network.encode(network.load(images[0][1])[None].repeat(options.batch, axis=0))
        started = CLOCK()
        extract_features(images, network, folder, batch_size=options.batch, workers=options.workers)
        seconds = CLOCK() - started
        print(
            f"{title} on {network.device.type}: {len(images)} images in {seconds:.1f} s, "
            f"{len(images) / seconds:.0f} a second",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    work = {f.__name__: f for f in (ceilings, extract, step, profile, run)}
    parser.add_argument("what", choices=list(work))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--features", type=Path, help="feature store, as of user-itr train")
    parser.add_argument("--preset", default="flickr8k-gpu")
    parser.add_argument("--set", action="append", default=[], help="setting, as of user-itr train")
    parser.add_argument("--images", type=int, help="images a batch")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--turn", type=int, default=5, help="steps of one variant before the next")
    parser.add_argument("--only", action="append", help="a variant's name")
    parser.add_argument("--batch", type=int, default=32, help="images a batch of an extraction")
    parser.add_argument("--workers", type=int, help="threads that decode, in an extraction")
    parser.add_argument("--out", type=Path, help="where to keep the run")
    options = parser.parse_args()
    device = torch.cuda.get_device_name() if GPU else "no GPU"
    print(f"torch {torch.__version__}, {device}", flush=True)
    work[options.what](options)


if __name__ == "__main__":
    main()
