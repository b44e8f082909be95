"""The other engines that `search.py` measures ours beside, each behind the same four methods.

Not run by itself. Graphs have the same shape everywhere: 16 neighbours a vector (32 in the lowest
layer), 128 candidates while building. How far a query looks (`effort`) is what `search.py` tunes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

NEIGHBOURS = 16
CANDIDATES = 128
STEP = 50_000
"""Vectors added at once: what a build holds of the memory-mapped vectors at a time."""


@dataclass(frozen=True)
class Built:
    """Cost of a build: seconds on the clock, and of all cores together."""

    seconds: float
    core_seconds: float

    @classmethod
    def since(cls, clock: float, cores: float) -> Built:
        """From readings of `time.perf_counter` and `time.process_time` at the start."""
        return cls(time.perf_counter() - clock, time.process_time() - cores)

    def keep(self, file: Path) -> None:
        """Write it down beside what was built, for runs that only load that."""
        file.with_suffix(".built.json").write_text(json.dumps(asdict(self)))

    @classmethod
    def kept(cls, file: Path) -> Built | None:
        """What building it cost, in this run or an earlier one."""
        with suppress(FileNotFoundError):
            return cls(**json.loads(file.with_suffix(".built.json").read_text()))
        return None


class Engine:
    """One library's index of vectors."""

    name: str
    tunable = True

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.index: Any = None

    def build(self, vectors: np.ndarray) -> None:
        raise NotImplementedError

    def save(self, file: Path) -> None:
        raise NotImplementedError

    def load(self, file: Path) -> None:
        raise NotImplementedError

    def searcher(self, effort: int, k: int) -> Callable[[np.ndarray], np.ndarray]:
        """A function from a (D,) query to k row numbers."""
        raise NotImplementedError

    def made(self, vectors: np.ndarray, file: Path) -> Built | None:
        """Build and save to `file` if need be; what building cost."""
        if not file.is_file():
            clock, cores = time.perf_counter(), time.process_time()
            self.build(vectors)
            Built.since(clock, cores).keep(file)
            self.save(file.with_suffix(".partial"))
            file.with_suffix(".partial").replace(file)
            self.index = None
        return Built.kept(file)


class Faiss(Engine):
    """FAISS's indexes by the names of its factory."""

    def __init__(self, threads: int, name: str, factory: str) -> None:
        super().__init__(threads)
        import faiss

        self.faiss, self.name, self.factory = faiss, name, factory
        self.tunable = factory != "Flat"
        faiss.omp_set_num_threads(threads)

    def build(self, vectors: np.ndarray) -> None:
        self.index = self.faiss.index_factory(
            vectors.shape[1], self.factory, self.faiss.METRIC_INNER_PRODUCT
        )
        if self.tunable:
            self.index.hnsw.efConstruction = CANDIDATES
        self.index.train(np.array(vectors[:STEP]))
        for start in range(0, len(vectors), STEP):
            self.index.add(np.array(vectors[start : start + STEP]))

    def save(self, file: Path) -> None:
        self.faiss.write_index(self.index, str(file))

    def load(self, file: Path) -> None:
        self.index = self.faiss.read_index(str(file))

    def searcher(self, effort: int, k: int) -> Callable[[np.ndarray], np.ndarray]:
        index = self.index
        if self.tunable:
            index.hnsw.efSearch = effort
        return lambda query: index.search(query[None], k)[1][0]


class Usearch(Engine):
    """usearch as it is, in bfloat16, its default type; memory-mapped."""

    name = "usearch"

    def build(self, vectors: np.ndarray) -> None:
        from usearch.index import Index

        self.index = Index(
            ndim=vectors.shape[1],
            metric="ip",
            dtype="bf16",
            connectivity=NEIGHBOURS,
            expansion_add=CANDIDATES,
        )
        for start in range(0, len(vectors), STEP):
            part = np.array(vectors[start : start + STEP])
            self.index.add(np.arange(start, start + len(part)), part, threads=self.threads)

    def save(self, file: Path) -> None:
        self.index.save(file)

    def load(self, file: Path) -> None:
        from usearch.index import Index

        self.index = Index.restore(file, view=True)

    def searcher(self, effort: int, k: int) -> Callable[[np.ndarray], np.ndarray]:
        index = self.index
        index.expansion_search = effort
        return lambda query: index.search(query, k).keys


class Hnswlib(Engine):
    """hnswlib, in float32."""

    name = "hnswlib"

    def build(self, vectors: np.ndarray) -> None:
        import hnswlib

        self.index = hnswlib.Index("ip", vectors.shape[1])
        self.index.init_index(len(vectors), M=NEIGHBOURS, ef_construction=CANDIDATES)
        self.index.set_num_threads(self.threads)
        for start in range(0, len(vectors), STEP):
            self.index.add_items(np.array(vectors[start : start + STEP]))

    def save(self, file: Path) -> None:
        self.index.save_index(str(file))

    def load(self, file: Path) -> None:
        import hnswlib

        self.index = hnswlib.Index("ip", 512)
        self.index.load_index(str(file))
        self.index.set_num_threads(self.threads)

    def searcher(self, effort: int, k: int) -> Callable[[np.ndarray], np.ndarray]:
        index = self.index
        index.set_ef(effort)
        return lambda query: index.knn_query(query, k)[0][0]


ENGINES: dict[str, Callable[[int], Engine]] = {
    "faiss-flat": lambda threads: Faiss(threads, "FAISS flat", "Flat"),
    "faiss-hnsw": lambda threads: Faiss(threads, "FAISS HNSW", f"HNSW{NEIGHBOURS},Flat"),
    "faiss-hnsw-fp16": lambda threads: Faiss(
        threads, "FAISS HNSW float16", f"HNSW{NEIGHBOURS},SQfp16"
    ),
    "usearch": Usearch,
    "hnswlib": Hnswlib,
}
