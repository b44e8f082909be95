"""Latency and recall of a search by one query, ours beside FAISS, usearch and hnswlib.

    python benchmarks/search.py --sizes 10000 100000 --data flickr8k --cache /tmp/search
    python benchmarks/search.py --sizes 1000000 --data flickr8k --cache /tmp/search --build-only

needs `pip install 'user-itr[benchmarks]'`. `search_vectors.py` says what vectors and queries are.
What was built stays in --cache, so a run can be cut and taken up. Others are tuned on queries
of their own: each takes the smallest effort (ef) that finds 95 % of the true ten nearest. Ours is
as installed: `ImageIndex.search`, from a query vector to ten `Hit`s, with all that entails;
"graph alone" is its engine without database and photos, tuned like the others, giving row numbers
as they do. "Within a year, a folder" and "within a decade" are searches with filters, by turns of
years and folders, that meet some hundredths and a tenth of the photos. All answer the same queries,
one at a time, by turns in rounds.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

with suppress(ImportError):  # FAISS 1.15 crashes where usearch 2.26 was imported before it
    import faiss  # noqa: F401

from search_engines import ENGINES, Built, Engine
from search_vectors import WIDTH, Source
from user_itr.search.filters import Filters
from user_itr.search.found import Hit
from user_itr.search.index import ImageIndex
from user_itr.search.manifest import Manifest
from user_itr.search.neighbours import scan
from user_itr.search.neighbours.snapshot import Snapshot
from user_itr.search.neighbours.view import SCORED
from user_itr.search.store.base import ContentRow, FileRow, FileState

K = 10
RECALL = 0.95
EFFORTS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
STEP = 50_000
ROUND_SECONDS = 5.0
"""Longest turn of one engine in a round; slow ones answer fewer queries."""

READ_ROWS = 1_000_000
"""Rows that are read to time the memory."""

YEARS = 100
FOLDERS = 10
"""What made photos are spread over."""

Search = Callable[[np.ndarray], Any]
"""From a query to row numbers, or to `Hit`s."""


def path_of(row: int) -> str:
    return f"/p/{row % FOLDERS}/{row}.jpg"


def index_of(vectors: np.ndarray, folder: Path) -> tuple[ImageIndex, Built | None]:
    """An index of made photos, each row one, over `FOLDERS` folders and `YEARS` years."""
    manifest = Manifest("0" * 64, "made vectors", WIDTH, "none")
    index = ImageIndex(folder, manifest, create=True)
    store = index._store
    days = 365 * YEARS // 2
    for start in range(len(store), len(vectors), STEP):
        files, contents = [], []
        for row in range(start, min(start + STEP, len(vectors))):
            taken = datetime(1970, 1, 1) + timedelta(days=row * 7919 % (2 * days) - days)
            digest = f"{row:032x}"
            files.append(FileRow(path_of(row), "/p", FileState(1, 1), digest))
            contents.append(ContentRow(digest, 1, taken, 1, 1, np.array(vectors[row])))
        store.write(files, contents)
    if store.neighbours.view() is None:
        clock, cores = time.perf_counter(), time.process_time()
        store.finish()
        Built.since(clock, cores).keep(folder)
    return index, Built.kept(folder)


def filtered(index: ImageIndex, years: int, with_folder: bool) -> Search:
    """A search within so many years, and in one folder of ten, others from query to query."""
    turns = itertools.count()

    def search(query: np.ndarray) -> list[Hit]:
        turn = next(turns)
        first = 1925 + turn % 60
        folder = Path(f"/p/{turn % FOLDERS}") if with_folder else None
        limits = Filters(date(first, 1, 1), date(first + years - 1, 12, 31), folder)
        return index.search(query, K, filters=limits)

    return search


def truth(vectors: np.ndarray, queries: np.ndarray, file: Path) -> np.ndarray:
    """(Q, K) rows of the K highest float32 dot products."""
    if not file.is_file():
        scores = np.empty((len(queries), 0), np.float32)
        rows = np.empty((len(queries), 0), np.int64)
        for start in range(0, len(vectors), STEP):
            more = queries @ np.array(vectors[start : start + STEP]).T
            scores = np.concatenate([scores, more], axis=1)
            numbers = np.arange(start, start + more.shape[1])
            rows = np.concatenate([rows, np.broadcast_to(numbers, more.shape)], axis=1)
            best = np.argsort(-scores, axis=1)[:, :K]
            scores, rows = (np.take_along_axis(x, best, axis=1) for x in (scores, rows))
        np.save(file, rows)
    return np.asarray(np.load(file))


def recall(search: Search, queries: np.ndarray, rows: np.ndarray) -> float:
    found = [len(rows_of(search(q)) & {*r.tolist()}) for q, r in zip(queries, rows, strict=True)]
    return float(np.mean(found)) / K


def rows_of(found: np.ndarray | list[Hit]) -> set[int]:
    """The rows that a search found; a photo is named after its row."""
    if isinstance(found, np.ndarray):
        return {*found.tolist()}
    return {int(hit.path.stem) for hit in found}


def tuned(
    make: Callable[[int], Search], queries: np.ndarray, rows: np.ndarray
) -> tuple[int, Search]:
    """The smallest effort that reaches `RECALL`, or the largest."""
    for effort in EFFORTS:
        if recall(make(effort), queries, rows) >= RECALL:
            break
    return effort, make(effort)


def alone(snapshot: Snapshot, effort: int) -> Search:
    """Our graph and the exact scores of what it gives, as in a search, without the rest."""
    graph, slots = snapshot.graph, snapshot.slots
    assert graph is not None
    assert slots is not None

    def search(query: np.ndarray) -> np.ndarray:
        rows = slots[graph.near(query, min(effort, SCORED), effort)]
        return scan.best(rows, scan.row_scores(snapshot.scattered, rows, query), K)[0][:K]

    return search


def memory_mb() -> tuple[float, float]:
    """Resident memory of this process: its own, and pages of files (Linux)."""
    status = Path("/proc/self/status").read_text()
    own, files = (int(status.split(key)[1].split()[0]) / 1e3 for key in ("RssAnon:", "RssFile:"))
    return own, files


def disk_mb(path: Path) -> float:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def read_gb_s(array: np.ndarray) -> float:
    """How fast one core reads memory of that array's size: the best of five sums of it."""
    words = np.ascontiguousarray(array).view(np.uint64).ravel()
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        np.bitwise_or.reduce(words)
        seconds.append(time.perf_counter() - start)
    return float(words.nbytes / min(seconds) / 1e9)


def cost(built: Built | None) -> str:
    if built is None:
        return "built before"
    return f"built in {built.seconds:.0f} s, {built.core_seconds:.0f} s of all cores"


class Bench:
    """One size: what is measured, and how it does."""

    def __init__(self, size: int, source: Source, options: argparse.Namespace) -> None:
        self.size, self.options = size, options
        self.vectors = source.made(size, options.cache)
        self.folder = options.cache / f"index-{size}"
        self.searches: dict[str, tuple[str, Search]] = {}
        self.limited: dict[str, Search] = {}
        self.peers: list[str] = []
        dice = np.random.default_rng(1)
        picked = source.queries[dice.permutation(len(source.queries))]
        queries = picked[: options.queries + options.tuning]
        rows = truth(self.vectors, queries, options.cache / f"truth-{size}-{len(queries)}.npy")
        self.tuning = queries[: options.tuning], rows[: options.tuning]
        self.measured = queries[options.tuning :], rows[options.tuning :]

    def build(self, keys: list[str]) -> None:
        """Make ours and others, for later runs."""
        index_of(self.vectors, self.folder)
        for key in keys:
            engine, file = self.engine(key)
            built = engine.made(self.vectors, file)
            print(f"{engine.name}: {cost(built)}", flush=True)

    def engine(self, key: str) -> tuple[Engine, Path]:
        return ENGINES[key](self.options.threads), self.options.cache / f"{key}-{self.size}.index"

    def add_ours(self) -> None:
        own, files = memory_mb()
        index, built = index_of(self.vectors, self.folder)
        view = index._store.neighbours.view()
        assert view is not None
        snapshot = view.snapshot
        if snapshot.graph is not None:
            effort = str(snapshot.graph.effort)
            self.searches["ours"] = effort, lambda query: index.search(query, K)
            best, search = tuned(lambda effort: alone(snapshot, effort), *self.tuning)
            self.searches["ours, graph alone"] = str(best), search
        if not self.options.no_scans:
            self.searches["ours, exact"] = "", lambda query: index.search(query, K, exact=True)
        self.limited["within a year, a folder"] = filtered(index, 1, True)
        self.limited["within a decade"] = filtered(index, 10, False)
        for query in self.tuning[0]:
            index.search(query, K)
        self.report("ours", built, own, files, disk_mb(self.folder))
        print(
            f"  of which the graph: {disk_mb(snapshot.folder / 'graph.usearch'):,.0f} MB"
            if snapshot.graph is not None
            else "  no graph at this size"
        )

    def add(self, key: str) -> None:
        engine, file = self.engine(key)
        own, files = memory_mb()
        built = engine.made(self.vectors, file)
        engine.load(file)
        effort, search = (
            tuned(lambda effort: engine.searcher(effort, K), *self.tuning)
            if engine.tunable
            else ("", engine.searcher(0, K))
        )
        self.searches[engine.name] = str(effort), search
        self.peers.append(engine.name)
        self.report(engine.name, built, own, files, disk_mb(file))

    def report(self, name: str, built: Built | None, own: float, files: float, disk: float) -> None:
        now = memory_mb()
        memory = f"memory +{now[0] - own:,.0f} MB, mapped +{now[1] - files:,.0f} MB"
        print(
            f"{name}: {cost(built)}; {memory}; disk {disk:,.0f} MB",
            flush=True,
        )

    def run(self) -> None:
        clock = time.process_time if self.options.processor_time else time.perf_counter
        everything = {name: search for name, (_, search) in self.searches.items()} | self.limited
        times: dict[str, list[list[float]]] = {name: [] for name in everything}
        for _ in range(self.options.rounds):
            for name, search in everything.items():
                turn, started = [], time.perf_counter()
                for query in self.measured[0]:
                    start = clock()
                    search(query)
                    turn.append(1e3 * (clock() - start))
                    if time.perf_counter() - started > ROUND_SECONDS:
                        break
                times[name].append(turn[min(3, len(turn) - 1) :])  # the first ones warm up
        lines = []
        for name, (effort, search) in self.searches.items():
            few = max(len(turn) for turn in times[name])
            found = recall(search, *(side[:few] for side in self.measured))
            best = min(float(np.median(turn)) for turn in times[name])
            p50, p99 = np.percentile(np.concatenate(times[name]), [50, 99])
            lines.append((name, effort, found, best, p50, p99))
        fit = [line for line in lines if line[0] in self.peers and line[2] >= RECALL - 0.005]
        bar = min(fit, key=lambda line: line[4]) if fit else None
        print(f"\n{'engine':22} {'ef':>5} recall@10  best p50    p50 ms    p99 ms  / best peer")
        for name, effort, found, best, p50, p99 in lines:
            ratio = f"{p50 / bar[4]:8.2f}" if bar else ""
            print(
                f"{name:22} {effort:>5} {found:9.3f} {best:9.3f} {p50:9.3f} {p99:9.3f} {ratio}",
                flush=True,
            )
        for name in self.limited:
            best = min(float(np.median(turn)) for turn in times[name])
            p50, p99 = np.percentile(np.concatenate(times[name]), [50, 99])
            print(f"{name:22} {'':>15} {best:9.3f} {p50:9.3f} {p99:9.3f}")
        if not self.options.no_scans:
            read, rate = self.vectors.nbytes, read_gb_s(self.vectors[:READ_ROWS])
            print(
                f"an exact scan reads {read / 1e6:,.1f} MB; one core reads so much "
                f"memory at {rate:.1f} GB/s, in {read / rate / 1e6:.3f} ms\n"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--data", type=Path, help="captioned image set; made-up vectors without")
    parser.add_argument("--model", default="shipped:flickr8k")
    parser.add_argument("--photos", type=int, default=4_000, help="embedded, of --data")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--engines", nargs="*", default=[*ENGINES], choices=[*ENGINES])
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--tuning", type=int, default=300, help="queries to tune on")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--processor-time", action="store_true", help="of all threads, on a machine that is busy"
    )
    parser.add_argument(
        "--no-scans",
        action="store_true",
        help="of ours only the graph: where all vectors twice, and another's, exceed the memory",
    )
    parser.add_argument("--build-only", action="store_true")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    source = Source(options.data, options.model, options.photos, options.cache)
    measured = "processor time of all threads" if options.processor_time else "time on the clock"
    print(f"{source.words}; queries: captions; {options.threads} threads; {measured}")
    for size in options.sizes:
        print(f"\n{size:,} vectors of {WIDTH} numbers")
        bench = Bench(size, source, options)
        if options.build_only:
            bench.build(options.engines)
            continue
        bench.add_ours()
        for key in options.engines:
            bench.add(key)
        bench.run()


if __name__ == "__main__":
    main()
