"""Measure the presets `flickr30k` and `coco` at full size on made-up files of the real shapes.

    python benchmarks/published_setting.py --preset flickr30k --steps 2

Trains some steps of the preset as it stands (36 x 2048 regions, a BERT of bert-base-uncased's shape
with random weights, batch 128), then embeds a test split and ranks it whole and in five folds.
"""

from __future__ import annotations

import argparse
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from synthetic_scan import write_bert_base, write_scan_folder
from user_itr import load
from user_itr.config.loading import load_settings
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.folds import evaluate_folds, fold_size
from user_itr.evaluation.metrics import CrossModalMetrics, evaluate_scores
from user_itr.evaluation.relevance import Relevance
from user_itr.model.split_embeddings import embed_split
from user_itr.training.interruption import Interrupted
from user_itr.training.preparation import prepare
from user_itr.training.run_folder import RunFolder
from user_itr.training.trainer import Trainer

FOLDS = 5


class Clock:
    """Prints each step with its seconds, and presses Ctrl-C after the last one wanted."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.seconds: list[float] = []
        self.started = time.perf_counter()

    def step(self, epoch: int, batch: int, batches: int, values: dict[str, float]) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self.started)
        self.started = now
        losses = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        print(f"step {len(self.seconds)}: {self.seconds[-1]:.1f} s, {losses}", flush=True)
        if len(self.seconds) == self.steps:
            signal.raise_signal(signal.SIGINT)

    def evaluated(self, epoch: int, metrics: CrossModalMetrics, best: bool) -> None:
        print(f"epoch {epoch + 1}: dev rsum {metrics.rsum:.1f}")


@contextmanager
def silent(title: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda done, total: None


def train(arguments: argparse.Namespace, place: Path) -> Path:
    """Train as many steps as asked for; returns the checkpoint's folder."""
    settings = load_settings(
        arguments.preset,
        arguments.set,
        data={"path": str(place / "data")},
        model={"text.encoder": str(write_bert_base(place / "bert-base"))},
    )
    batch = settings.training.batch_size
    write_scan_folder(place / "data", {"train": batch, "dev": 10, "test": arguments.test_images})
    prepared = prepare(settings, silent)
    count = sum(p.numel() for p in prepared.model.encoder.parameters())
    folder = RunFolder(place / "run")
    folder.create(settings)
    clock = Clock(arguments.steps)
    trainer = Trainer(settings, prepared, folder, clock)
    print(
        f"{arguments.preset}: batch {batch}, {count / 1e6:.1f} million parameters, "
        f"{settings.training.precision} on {trainer.fabric.device}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}",
        flush=True,
    )
    clock.started = time.perf_counter()
    try:
        trainer.fit()
    except Interrupted:
        print(f"checkpoint: {time.perf_counter() - clock.started:.1f} s, {size(folder.path)}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts in KiB
    print(f"peak memory: {peak:.1f} GiB")
    if torch.cuda.is_available():
        print(f"on the GPU: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    return folder.checkpoints / str(folder.index.last)


def evaluate(checkpoint: Path) -> None:
    """Embed the test split and rank it in folds."""
    started = time.perf_counter()
    embedded = embed_split(load(checkpoint), "test", silent)
    seconds = time.perf_counter() - started
    images, captions = len(embedded.images), len(embedded.captions)
    print(f"embedding {images:,} images and {captions:,} captions: {seconds:.0f} s", flush=True)
    scores = EmbeddingScores(embedded.images, embedded.captions)
    relevance = Relevance.from_caption_image(embedded.split.caption_image, images)
    started = time.perf_counter()
    whole, folded = evaluate_scores(scores, relevance), evaluate_folds(scores, relevance, FOLDS)
    seconds = time.perf_counter() - started
    print(
        f"ranking all, and {FOLDS} folds of {images // FOLDS:,}: {seconds:.1f} s; "
        f"rsum {whole.rsum:.1f} and {folded.rsum:.1f}"
    )


def size(folder: Path) -> str:
    return f"{sum(f.stat().st_size for f in folder.rglob('*') if f.is_file()) / 1e9:.2f} GB"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=["flickr30k", "coco"], default="flickr30k")
    parser.add_argument("--steps", type=int, choices=range(1, 6), default=2)
    parser.add_argument("--test-images", type=int, default=100, help=f"a multiple of {FOLDS}")
    parser.add_argument("--set", action="append", default=[], help="setting, as of user-itr train")
    given = parser.parse_args()
    fold_size(given.test_images, FOLDS)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    with tempfile.TemporaryDirectory() as folder:
        evaluate(train(given, Path(folder)))
