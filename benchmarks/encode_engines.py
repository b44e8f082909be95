"""Time `user-itr encode` by local processes against the same over Ray, on this machine.

    python benchmarks/encode_engines.py PHOTOS --rounds 3

Whole runs turn by turn, each into a new folder, as the command does them: the model is loaded, Ray
is started and stopped. `--workers` processes decode in both; with Ray they are also the CPUs that
an encoder takes, so that as many encoders run as the machine holds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from user_itr.bulk.collection import EmbeddingCollection
from user_itr.bulk.encoding import encode_collection
from user_itr.model.embedder import load
from user_itr.pretrained import DEFAULT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="folder of images or tars")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shard-rows", type=int, default=256)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    times: dict[str, list[float]] = {"local": [], "ray": []}
    vectors: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            for engine in times:
                out = Path(folder, f"{engine}-{number}")
                start = perf_counter()
                encode_collection(
                    [options.photos],
                    out,
                    partial(load, DEFAULT),
                    DEFAULT,
                    engine=engine,
                    shard_rows=options.shard_rows,
                    workers=options.workers,
                )
                times[engine].append(perf_counter() - start)
                vectors[engine] = EmbeddingCollection(out).embeddings()
    images = len(vectors["local"])
    print(f"{images:,} images, shards of {options.shard_rows}; torch {torch.__version__}")
    for engine, seconds in times.items():
        best, median = min(seconds), statistics.median(seconds)
        print(f"{engine}: best {best:.1f} s ({images / best:.1f}/s), median {median:.1f} s")
    for name, of in (("best", min), ("median", statistics.median)):
        print(f"ray / local, {name}: {of(times['ray']) / of(times['local']):.2f}")
    difference = np.abs(vectors["ray"] - vectors["local"]).max()
    print(f"largest difference of a value: {difference:.1e}")


if __name__ == "__main__":
    main()
