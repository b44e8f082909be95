"""Plan an index of a billion photos, and check the plan's arithmetic on what fits on one machine.

    python benchmarks/billion.py plan --width 512 --shards 20 --node-memory 48e9
    python benchmarks/billion.py check --sizes 20000 50000 100000 --width 128 --out /tmp/billion

`plan` takes every field of `billion_plan.Plan`. `check` builds IVF-PQ indexes in LanceDB, as the
library does, over made-up vectors (a mixture of Gaussians), and sets what it measures beside what
the plan says. Rates (operations a second, overhead of a query) are taken from the first size; bytes
are not fitted. Recall is of these vectors, and of the settings printed.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from lancedb.index import IvfPq

from billion_plan import Plan, merged
from user_itr.search.found import photo_id
from user_itr.search.location import location_of
from user_itr.search.store import lance_rows
from user_itr.search.store.base import ContentRow, FileRow, FileState
from user_itr.search.store.lance import LanceStore

BATCH = 50_000
CENTRES = 2_000
K = 10
QUERIES = 60


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


def found(
    table: LanceStore, query: np.ndarray, plan: Plan, exact: bool = False
) -> list[tuple[float, str]]:
    search = (
        table._table.search(query, vector_column_name="embedding")
        .distance_type("dot")
        .limit(K)
        .select(["id", "path", "width", "height", "_distance"])
    )
    if exact:
        search = search.bypass_vector_index()
    else:
        search = search.nprobes(plan.probes).refine_factor(plan.refine)
    rows = search.to_arrow()
    return list(zip(rows["_distance"].to_pylist(), rows["id"].to_pylist(), strict=True))


def recall(wanted: list[tuple[float, str]], got: list[tuple[float, str]]) -> float:
    return len({id for _, id in wanted} & {id for _, id in got}) / K


def measured(
    folder: Path, centres: np.ndarray, queries: np.ndarray, plan: Plan
) -> dict[str, float]:
    shutil.rmtree(folder, ignore_errors=True)
    table = filled(folder, centres, 0, plan.rows)
    config = IvfPq(
        distance_type="dot", num_partitions=plan.partitions, num_sub_vectors=plan.sub_vectors
    )
    start = time.perf_counter()
    table._table.create_index("embedding", config=config)
    build = time.perf_counter() - start
    times, shares = [], []
    for number, query in enumerate(queries):
        start = time.perf_counter()
        got = found(table, query, plan)
        times.append(time.perf_counter() - start)
        if number % 3 == 0:
            shares.append(recall(found(table, query, plan, exact=True), got))
    return {
        "table": disk(folder, "data"),
        "index": disk(folder, "_indices"),
        "build": build,
        "query": statistics.median(times[5:]),
        "recall": statistics.mean(shares),
    }


def check(options: argparse.Namespace) -> None:
    dice = np.random.default_rng(0)
    centres = dice.standard_normal((CENTRES, options.width), dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    queries = vectors(centres, 2**40, QUERIES)
    base = Plan(
        width=options.width, sub_vectors=options.width // 16, shards=1, probes=40, round_trip=0.0
    )
    print(f"{options.width}-wide, {base.sub_vectors} sub-vectors, {base.probes} probes, refine x20")
    columns = ("table MB", "index MB", "build s", "query ms")
    print("each: the plan, measured, and measured over planned")
    print("   rows  lists  " + "  ".join(f"{name:^18}" for name in columns) + "  recall@10")
    for number, size in enumerate(options.sizes):
        plan = dataclasses.replace(base, photos=size)
        seen = measured(options.out / "one", centres, queries, plan)
        if number == 0:  # rates, and the bytes of a row's other columns, come from here
            base = dataclasses.replace(
                base,
                row_bytes=round(seen["table"] / size - 4 * options.width),
                operations=plan.build_operations / seen["build"],
                overhead=seen["query"] - plan.scanned_bytes / plan.scan,
            )
            plan = dataclasses.replace(base, photos=size)
            print(
                f"from the first size: {base.row_bytes} bytes a row beside the embedding, "
                f"{base.operations / 1e9:.1f} G operations/s, a query {1e3 * base.overhead:.1f} ms"
            )
        pairs = (
            (plan.table_bytes / 1e6, seen["table"] / 1e6),
            (plan.index_bytes / 1e6, seen["index"] / 1e6),
            (plan.build_seconds, seen["build"]),
            (1e3 * plan.shard_seconds, 1e3 * seen["query"]),
        )
        cells = "  ".join(f"{said:6.1f} {real:6.1f} {real / said:4.2f}" for said, real in pairs)
        print(f"{size:7,}  {plan.partitions:5}  {cells}  {seen['recall']:.3f}")
    merge_check(options, centres, queries, base)


def merge_check(
    options: argparse.Namespace, centres: np.ndarray, queries: np.ndarray, base: Plan
) -> None:
    """The smallest size in four shards, merged, beside the same rows in one table."""
    size = min(options.sizes) // 4 * 4
    shutil.rmtree(options.out, ignore_errors=True)
    whole = filled(options.out / "whole", centres, 0, size)
    rows = whole._table.to_arrow()
    shards = []
    for number in range(4):
        shards.append(opened(options.out / f"shard-{number}", options.width, create=True))
        shards[-1]._table.add(rows.slice(number * size // 4, size // 4))
    same = sum(
        [id for _, id in merged([found(one, query, base, exact=True) for one in shards], K)]
        == [id for _, id in found(whole, query, base, exact=True)]
        for query in queries
    )
    print(f"four shards merged, exact: {same} of {len(queries)} answers as from one table")
    plan = dataclasses.replace(base, photos=size // 4)
    config = IvfPq(
        distance_type="dot", num_partitions=plan.partitions, num_sub_vectors=plan.sub_vectors
    )
    for one in shards:
        one._table.create_index("embedding", config=config)
    shares = [
        recall(
            found(whole, query, base, exact=True),
            merged([found(one, query, base) for one in shards], K),
        )
        for query in queries
    ]
    print(f"four shards merged, IVF-PQ: recall@10 {statistics.mean(shares):.3f}")
    shutil.rmtree(options.out)


def show(plan: Plan) -> None:
    for name, value in dataclasses.asdict(plan).items():
        print(f"{name:18} {value:,}")
    print()
    hours = plan.build_seconds / 3600
    lines = [
        ("rows a shard", f"{plan.rows:,}"),
        ("lists a shard", f"{plan.partitions:,}"),
        ("table", f"{plan.shards * plan.table_bytes / 1e9:,.0f} GB"),
        ("codes", f"{plan.shards * plan.code_bytes / 1e9:,.1f} GB"),
        ("centroids", f"{plan.shards * plan.centroid_bytes / 1e9:,.2f} GB"),
        ("index a shard", f"{plan.index_bytes / 1e9:.2f} GB"),
        ("memory to build one", f"{plan.training_bytes / 1e9:.1f} GB"),
        ("nodes", f"{plan.nodes}"),
        ("memory a node", f"{plan.index_bytes * -(-plan.shards // plan.nodes) / 1e9:.1f} GB"),
        ("encode, all nodes", f"{plan.encode_hours:,.0f} h"),
        ("index a shard", f"{hours:.1f} h ({plan.build_operations / 1e12:,.0f} T operations)"),
        ("index all, all nodes", f"{hours * -(-plan.shards // plan.nodes):,.1f} h"),
        ("query, a shard", f"{1e3 * plan.shard_seconds:.0f} ms"),
        ("query, all shards", f"{1e3 * plan.query_seconds:.0f} ms"),
        ("scanned a query", f"{plan.shards * plan.scanned_bytes / 1e6:.0f} MB"),
        ("GET requests a query", f"{plan.shards * plan.reads:,}"),
        *((f"{name} a month", f"{cost:,.0f}") for name, cost in plan.monthly.items()),
    ]
    for name, text in lines:
        print(f"{name:22} {text}")


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)  # a line a size, as soon as it is there
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    planning = commands.add_parser("plan")
    for field in dataclasses.fields(Plan):
        kind = type(field.default)
        planning.add_argument(
            "--" + field.name.replace("_", "-"),
            type=(lambda text: int(float(text))) if kind is int else float,
            default=field.default,
        )
    checking = commands.add_parser("check")
    checking.add_argument("--sizes", type=int, nargs="+", default=[20_000, 50_000, 100_000])
    checking.add_argument("--width", type=int, default=128)
    checking.add_argument("--out", type=Path, required=True)
    options = vars(parser.parse_args())
    if options.pop("command") == "plan":
        show(Plan(**options))
    else:
        check(argparse.Namespace(**options))


if __name__ == "__main__":
    main()
