"""Exact against approximate neighbours in an index: latency and recall at 10, by size.

    python benchmarks/nearest.py --sizes 20000 100000 --out /tmp/nearest

Embeddings are real ones (`--model` on the captions that the demo's words make) plus noise: each
photo is a random caption's vector, moved by a Gaussian of the given length. Queries are other
captions. Both sides answer the same queries, by turns.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from user_itr import load
from user_itr.search import table as store
from user_itr.search.photos import photo_id

WHO = ("a man", "a woman", "two dogs", "a child", "some people", "a horse", "a car", "a cat")
DOES = ("runs", "jumps", "sits", "plays", "waits", "sleeps", "stands", "looks up", "falls")
WHERE = ("on the beach", "in the snow", "in a street", "at night", "near water", "on a field")
NOISE = 0.6


def filled(folder: Path, centres: np.ndarray, size: int) -> store.PhotoTable:
    dice = np.random.default_rng(size)
    dim = centres.shape[1]
    table = store.PhotoTable(folder, "photos-1", dim, create=True)
    for start in range(0, size, 20_000):
        count = min(20_000, size - start)
        noise = dice.standard_normal((count, dim), dtype=np.float32)
        vectors = centres[dice.integers(0, len(centres), count)]
        vectors = vectors + NOISE / np.sqrt(dim) * noise
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        names = [f"/p/{row}.jpg" for row in range(start, start + count)]
        ids = [photo_id(name) for name in names]
        table.add(
            table.rows(
                vectors,
                id=ids,
                path=names,
                size=[1] * count,
                mtime_ns=[1] * count,
                hash=ids,
                taken=pa.nulls(count, pa.timestamp("s")),
                width=[1] * count,
                height=[1] * count,
                root=["/p"] * count,
            )
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    captions = [" ".join(words) for words in itertools.product(WHO, DOES, WHERE)]
    embeddings = load().encode_text(captions)
    queries, centres = embeddings[:: len(captions) // options.queries], embeddings
    print("   photos   exact p50   p99 ms   approx p50   p99 ms   recall@10   build s   MB")
    for size in options.sizes:
        shutil.rmtree(options.out, ignore_errors=True)
        options.out.mkdir(parents=True)
        table = filled(options.out, centres, size)
        store.APPROXIMATE_FROM = 0
        start = time.perf_counter()
        table.compact()
        build = time.perf_counter() - start
        times: dict[bool, list[float]] = {True: [], False: []}
        shared = []
        for query in np.concatenate([queries[:3], queries]):  # three to warm up
            found = {}
            for exact in (True, False):
                start = time.perf_counter()
                found[exact] = set(table.nearest(query, 10, exact=exact)["id"].to_pylist())
                times[exact].append(1000 * (time.perf_counter() - start))
            shared.append(len(found[True] & found[False]) / 10)
        (e50, e99), (a50, a99) = (np.percentile(times[x][3:], [50, 99]) for x in (True, False))
        disk = sum(file.stat().st_size for file in options.out.rglob("*") if file.is_file()) / 1e6
        print(
            f"{size:9,} {e50:11.0f} {e99:8.0f} {a50:12.0f} {a99:8.0f} {np.mean(shared[3:]):11.3f} "
            f"{build:9.1f} {disk:4.0f}"
        )


if __name__ == "__main__":
    main()
