"""An index of many photos as it lives: made, killed, gone on with, changed, searched.

    python benchmarks/indexing.py --photos 100000 --out /tmp/indexing

The photos are small made-up JPEGs, and a fixed random projection of their pixels stands where the
network would: what is measured is all that `user-itr index` does besides the network. Each step
runs in a process of its own; the peak is that process's resident memory, workers not included.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from user_itr.features.preprocessing import Squash
from user_itr.search.index import ImageIndex

SIDE, DIM = 16, 512


class Projection:
    """A stand-in for a model: unit vectors that differ where photos differ, at no cost."""

    dim = DIM
    fingerprint = "0" * 64
    description = "random projection of pixels"
    draft = None
    worker_preprocess = Squash(SIDE, SIDE)

    def __init__(self) -> None:
        dice = np.random.default_rng(0)
        self.matrix = dice.standard_normal((SIDE * SIDE * 3, DIM), dtype=np.float32)

    def preprocess(self, image: Image.Image) -> np.ndarray:
        return self.worker_preprocess(image)

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        vectors = (pixels.reshape(len(pixels), -1).astype(np.float32) / 255 - 0.5) @ self.matrix
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def encode_text(self, captions: Sequence[str], batch_size: int = 256) -> np.ndarray:
        return np.full((len(captions), DIM), DIM**-0.5, np.float32)  # this model knows no words

    def unknown_words(self, text: str) -> list[str]:
        return []


def make(folder: Path, numbers: Sequence[int]) -> None:
    for number in numbers:
        dice = np.random.default_rng(number)
        path = folder / f"{number // 1000:04d}" / f"{number:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(dice.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        small.resize((64, 48)).save(path, quality=80)


def index_once(photos: Path, where: Path) -> None:
    """One run, in this process; prints what it did as JSON."""
    encoder = Projection()
    index = ImageIndex.create_or_open(where, encoder, "projection")
    report = index.update(photos, encoder, processes=True)
    query = encoder.encode_pixels(np.random.default_rng(1).integers(0, 256, (50, SIDE * SIDE * 3)))
    times = []
    for one in query:
        start = time.perf_counter()
        index.search(one, 10)
        times.append(1000 * (time.perf_counter() - start))
    facts = {
        name: getattr(report, name)
        for name in ("added", "updated", "moved", "removed", "unchanged", "encoded", "seconds")
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**facts, "peak": peak, "p50": float(np.median(times)), "photos": len(index)}))


def run(step: str, photos: Path, where: Path, kill_after: float | None = None) -> None:
    """One run in a new process, perhaps killed; prints a row."""
    command = [sys.executable, "-W", "ignore", __file__, "--once", "--out", str(where), str(photos)]
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child.pid, signal.SIGKILL)
    output = child.communicate()[0]
    seconds = time.monotonic() - started
    if kill_after is not None:
        print(f"{step:26} {seconds:8.1f}  killed; {len(ImageIndex.open(where)):,} photos are in")
        return
    done = json.loads(output)
    print(
        f"{step:26} {seconds:8.1f} {done['added']:8,} {done['updated']:8,} {done['moved']:6,} "
        f"{done['removed']:8,} {done['unchanged']:10,} {done['encoded']:8,} "
        f"{done['encoded'] / done['seconds']:9.0f} {done['peak']:8.0f} {done['p50']:9.1f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos_folder", nargs="?", type=Path)
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--kill-after", type=float, default=60, help="seconds into the first run")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        index_once(options.photos_folder, options.out)
        return
    photos, where = options.out / "photos", options.out / "index"
    shutil.rmtree(where, ignore_errors=True)
    shutil.rmtree(photos, ignore_errors=True)
    start = time.monotonic()
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = [range(at, min(at + 2000, options.photos)) for at in range(0, options.photos, 2000)]
        list(pool.map(make, [photos] * len(parts), parts))
    print(f"{options.photos:,} photos made in {time.monotonic() - start:.0f} s")
    print(
        f"{'step':26} {'seconds':>8} {'added':>8} {'updated':>8} {'moved':>6} {'removed':>8} "
        f"{'unchanged':>10} {'encoded':>8} {'encoded/s':>9} {'peak MiB':>8} {'search ms':>9}"
    )
    run("first run, killed", photos, where, options.kill_after)
    run("the same again", photos, where)
    run("nothing changed", photos, where)
    files = sorted(photos.rglob("*.jpg"))
    many = len(files) // 100
    (photos / "moved").mkdir()
    for file in files[:many]:
        file.rename(photos / "moved" / file.name)
    for file in files[many : 2 * many]:
        file.unlink()
    for file in files[2 * many : 3 * many]:
        os.utime(file)
    make(photos, range(options.photos, options.photos + many))
    run(f"{many:,} moved, gone, touched, new", photos, where)
    disk = sum(file.stat().st_size for file in where.rglob("*") if file.is_file())
    print(f"the index holds {disk / 1e6:.0f} MB; the photos' embeddings alone take ", end="")
    print(f"{len(ImageIndex.open(where)) * DIM * 4 / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
