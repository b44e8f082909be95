"""The approximate index that a bucket's LanceDB table gets: size, build time, query time, recall.

    python benchmarks/bucket_index.py --sizes 20000 50000 100000 --width 128 --out /tmp/bucket-index

Builds IVF-PQ indexes as the library does, in folders instead of a bucket, over made-up vectors (a
mixture of Gaussians). Recall depends on these vectors and on the settings printed. Finally the
rows of the smallest size go into four tables; their merged answers are compared with one table's.
"""

from __future__ import annotations

import argparse
import math
import shutil
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from lancedb.index import IvfPq

from user_itr.search.found import photo_id
from user_itr.search.location import location_of
from user_itr.search.store import lance_rows
from user_itr.search.store.base import ContentRow, FileRow, FileState
from user_itr.search.store.lance import PROBES, REFINE, LanceStore

BATCH = 50_000
CENTRES = 2_000
K = 10
QUERIES = 60
LIST_ROWS = 256
"""Rows that LanceDB trains a list on, at least."""

Answer = list[tuple[float, str]]
"""(distance, id), nearest first."""


def vectors(centres: np.ndarray, first: int, count: int) -> np.ndarray:
    """Unit vectors around centres; the same for the same row, whatever the table."""
    dice = np.random.default_rng(first)
    width = centres.shape[1]
    noise = dice.standard_normal((count, width), dtype=np.float32) * (0.9 / np.sqrt(width))
    found = centres[dice.integers(0, len(centres), count)] + noise
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def opened(place: Path | str, width: int, *, create: bool = False) -> LanceStore:
    return LanceStore(location_of(place), "photos-1", "sentences-1", width, create=create)


def filled(place: Path | str, centres: np.ndarray, first: int, size: int) -> LanceStore:
    store = opened(place, centres.shape[1], create=True)
    for start in range(first, first + size, BATCH):
        count = min(BATCH, first + size - start)
        files, contents = [], {}
        for row, vector in enumerate(vectors(centres, start, count), start=start):
            path = f"/photos/2024/05/IMG_{row:09}.jpg"
            id = photo_id(path)
            hash = id[::-1] + photo_id(id)
            files.append(FileRow(path, "/photos", FileState(row, row), hash))
            contents[hash] = ContentRow(hash, row, None, 4000, 3000, vector)
        store._table.add(lance_rows.rows_of(files, contents, store.schema))
    return store


def disk(folder: Path, part: str) -> int:
    files = (folder / "photos-1.lance" / part).rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def ivf_pq(rows: int, width: int) -> IvfPq:
    """LanceDB's default: as many lists as the root of the rows, a byte for 16 numbers."""
    lists = max(1, min(round(math.sqrt(rows)), rows // LIST_ROWS))
    return IvfPq(distance_type="dot", num_partitions=lists, num_sub_vectors=width // 16)


def found(table: LanceStore, query: np.ndarray, exact: bool = False) -> Answer:
    search = (
        table._table.search(query, vector_column_name="embedding")
        .distance_type("dot")
        .limit(K)
        .select(["id", "path", "width", "height", "_distance"])
    )
    search = search.bypass_vector_index() if exact else search.nprobes(PROBES).refine_factor(REFINE)
    rows = search.to_arrow()
    return list(zip(rows["_distance"].to_pylist(), rows["id"].to_pylist(), strict=True))


def merged(answers: list[Answer]) -> Answer:
    """The K nearest of all tables: one of them is among the K nearest of its own table."""
    return sorted(pair for answer in answers for pair in answer)[:K]


def recall(wanted: Answer, got: Answer) -> float:
    return len({id for _, id in wanted} & {id for _, id in got}) / K


def measure(folder: Path, centres: np.ndarray, queries: np.ndarray, size: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    width = centres.shape[1]
    table = filled(folder, centres, 0, size)
    start = time.perf_counter()
    table._table.create_index("embedding", config=ivf_pq(size, width))
    build = time.perf_counter() - start
    times, shares = [], []
    for number, query in enumerate(queries):
        start = time.perf_counter()
        got = found(table, query)
        times.append(time.perf_counter() - start)
        if number % 3 == 0:
            shares.append(recall(found(table, query, exact=True), got))
    print(
        f"{size:7,}  {disk(folder, 'data') / 1e6:8.1f}  {disk(folder, '_indices') / 1e6:8.1f}"
        f"  {build:7.1f}  {1e3 * statistics.median(times[5:]):8.1f}  {statistics.mean(shares):9.3f}"
    )


def measure_merged(out: Path, centres: np.ndarray, queries: np.ndarray, size: int) -> None:
    """The rows of one table in four, merged."""
    width = centres.shape[1]
    size = size // 4 * 4
    whole = filled(out / "whole", centres, 0, size)
    rows = whole._table.to_arrow()
    parts = []
    for number in range(4):
        parts.append(opened(out / f"part-{number}", width, create=True))
        parts[-1]._table.add(rows.slice(number * size // 4, size // 4))
    wanted = [found(whole, query, exact=True) for query in queries]
    same = sum(
        [id for _, id in merged([found(one, query, exact=True) for one in parts])]
        == [id for _, id in answer]
        for query, answer in zip(queries, wanted, strict=True)
    )
    print(f"four tables merged, exact: {same} of {len(queries)} answers as from one table")
    for one in parts:
        one._table.create_index("embedding", config=ivf_pq(size // 4, width))
    shares = [
        recall(answer, merged([found(one, query) for one in parts]))
        for query, answer in zip(queries, wanted, strict=True)
    ]
    print(f"four tables merged, IVF-PQ: recall@10 {statistics.mean(shares):.3f}")


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)  # a line per size, as soon as it is measured
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 50_000, 100_000])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    dice = np.random.default_rng(0)
    centres = dice.standard_normal((CENTRES, options.width), dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    queries = vectors(centres, 2**40, QUERIES)
    print(f"{options.width}-wide, {options.width // 16} sub-vectors, {PROBES} probes, x{REFINE}")
    print("   rows  table MB  index MB  build s  query ms  recall@10")
    for size in options.sizes:
        measure(options.out / "one", centres, queries, size)
    shutil.rmtree(options.out)
    measure_merged(options.out, centres, queries, min(options.sizes))
    shutil.rmtree(options.out)


if __name__ == "__main__":
    main()
