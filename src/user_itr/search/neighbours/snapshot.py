"""The derived files: the embeddings of one state of a store as arrays, and a graph over them.

    FOLDER/NAME/   numbers.npy    (N,) int64, ascending: the store's numbers of the rows
                   full.npy       (N, D) float32
                   graph.usearch  from `approximate_from` rows on; with it
                   slots.npy      (S,) int64, the row of each number of the graph or -1
                   files.json     format, and the size of each of the others

A folder is filled under a temporary name and renamed; then the store records its name in the
transaction that makes it valid. A store that was put back to an earlier state, for instance from a
copy, names the files of that state or none. Nothing here is lost: all of it can be made again.
"""

from __future__ import annotations

import json
import mmap
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import numpy as np

from user_itr.files import map_array, parse_json
from user_itr.search.neighbours.graph import Graph
from user_itr.search.neighbours.rows import Rows

FORMAT_VERSION = 2
FILES = "files.json"
PARTIAL = "partial-"

DEAD_SHARE = 0.25
"""Share of a graph's numbers that may be of rows that are gone; with more it is made anew."""

ADDED = 4_096
"""Rows added to a graph at a time."""


COPIED = 32_000_000
"""Bytes of embeddings up to which they are read, and not mapped."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The derived files; where they are large, memory-mapped.

    Attributes:
        folder: that they are in.
        removed: how many rows had ever been removed from the store when they were made.
        numbers: (N,) int64, ascending.
        vectors: (N, D) float32 unit vectors, to read from the first to the last.
        scattered: the same, to read some rows of: where the memory holds not all of them, reading
            ahead of each would push what is needed out of it.
        graph: over them; None where there are few.
        slots: (S,) the row of each number in the graph, or -1.
        maps: of each mapped file, to ask for its size.
    """

    folder: Path
    removed: int
    numbers: np.ndarray
    vectors: np.ndarray
    scattered: np.ndarray
    graph: Graph | None
    slots: np.ndarray | None
    maps: tuple[mmap.mmap, ...] = ()

    def is_whole(self) -> bool:
        """Whether no mapped file was cut short, so that it can be read and the process goes on."""
        return all(one.size() >= len(one) for one in self.maps)

    def __len__(self) -> int:
        return len(self.numbers)


def open_snapshot(folder: Path, name: str | None, dim: int) -> Snapshot | None:
    """The derived files `name` in `folder`, for embeddings of width `dim`; None if not whole."""
    if name is None:
        return None
    files = folder / name
    try:
        listed = parse_json((files / FILES).read_text(encoding="utf-8"))
        if listed["format_version"] != FORMAT_VERSION:
            return None
        for one, size in listed["bytes"].items():
            if (files / one).stat().st_size != size:
                return None
        # Plain arrays over the maps: a subclass costs a search more than it gives.
        numbers = np.asarray(map_array(files / "numbers.npy", copied=True))
        mapped = []
        if listed["bytes"]["full.npy"] > COPIED:
            mapped.append("full.npy")
        full = np.asarray(map_array(files / "full.npy", copied=not mapped))
        scattered = full
        if mapped:
            scattered = np.asarray(map_array(files / "full.npy", scattered=True))
        if full.shape != (len(numbers), dim):
            return None
        graph = slots = None
        if "graph.usearch" in listed["bytes"]:
            graph = Graph.opened(files / "graph.usearch", dim)
            mapped.append("graph.usearch")
            slots = np.array(map_array(files / "slots.npy", copied=True))
            if len(slots) != len(graph):
                return None
        maps = tuple(_map(files / one) for one in mapped)
        return Snapshot(files, listed["removed"], numbers, full, scattered, graph, slots, maps)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_snapshot(
    folder: Path, rows: Rows, dim: int, previous: Snapshot | None, approximate_from: int
) -> None:
    """Make the derived files of the latest state of a store. Only under the index's lock.

    Args:
        folder: where they go; made if need be.
        rows: of the store.
        dim: width D of the embeddings.
        previous: derived files of an earlier state, whose graph is added to.
        approximate_from: rows from which on there is a graph.

    Raises:
        OSError: if they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{PARTIAL}{token_hex(4)}"
    try:
        partial.mkdir()
        counts = rows.counts()
        numbers, vectors = _write_rows(partial, rows, counts.rows, dim)
        if len(numbers) >= approximate_from:
            _write_graph(partial, numbers, vectors, previous)
        del vectors
        content = {
            "format_version": FORMAT_VERSION,
            "removed": counts.removed,
            "bytes": {file.name: file.stat().st_size for file in sorted(partial.iterdir())},
        }
        (partial / FILES).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        for file in partial.iterdir():
            _flush(file)
        files = folder / partial.name.removeprefix(PARTIAL)
        partial.rename(files)
    except BaseException:
        _remove(partial)
        raise
    rows.point_to(files.name)
    for old in folder.iterdir():  # Windows keeps what a reader has mapped; the next run removes it
        if old.is_dir() and old != files:
            _remove(old)


def _write_rows(folder: Path, rows: Rows, count: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    full = np.lib.format.open_memmap(folder / "full.npy", "w+", np.float32, (count, dim))
    numbers = np.empty(count, np.int64)
    done = 0
    for batch, vectors in rows.all():
        full[done : done + len(batch)] = vectors
        numbers[done : done + len(batch)] = batch
        done += len(batch)
    if done != count:
        raise ValueError(f"{count} embeddings are counted and {done} are there")
    full.flush()
    np.save(folder / "numbers.npy", numbers)
    return numbers, full


def _write_graph(
    folder: Path, numbers: np.ndarray, vectors: np.ndarray, previous: Snapshot | None
) -> None:
    """The graph before with what is new, or one made anew."""
    dim = vectors.shape[1]
    graph, slots = Graph.empty(dim), np.empty(0, np.int64)
    if previous is not None and previous.slots is not None:
        place, known = places_of(numbers, previous.numbers)
        kept = np.append(np.where(known, place, -1), -1)[previous.slots]
        if np.mean(kept < 0) <= DEAD_SHARE:
            with suppress(ValueError, OSError):
                graph = Graph.opened(previous.folder / "graph.usearch", dim, change=True)
                slots = kept
    has_slot = np.zeros(len(vectors), bool)
    has_slot[slots[slots >= 0]] = True
    new = np.flatnonzero(~has_slot)
    for start in range(0, len(new), ADDED):
        graph.add(vectors[new[start : start + ADDED]])
    graph.save(folder / "graph.usearch")
    np.save(folder / "slots.npy", np.concatenate([slots, new]))


def places_of(ascending: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each of `numbers` is in an ascending array, and whether it is there at all."""
    place = np.searchsorted(ascending, numbers)
    if not len(ascending):
        return place, np.zeros(len(numbers), bool)
    known = ascending[np.minimum(place, len(ascending) - 1)] == numbers
    return place, known


def _map(file: Path) -> mmap.mmap:
    with file.open("rb") as opened:
        return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)


def _remove(files: Path) -> None:
    with suppress(OSError):
        for file in files.iterdir():
            file.unlink()
        files.rmdir()


def _flush(file: Path) -> None:
    """Have the system write a file, so that no crash leaves holes of the right size."""
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())
