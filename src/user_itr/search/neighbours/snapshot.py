"""The derived files: the photos of one version of a table as arrays, and a graph over them.

    FOLDER/current.json       which of the following is valid, and the size of each file in it
    FOLDER/VERSION-XXXX/      row_ids.npy    (N,) uint64, ascending
                              photos.arrow   id, path, width, height
                              full.npy       (N, D) float32
                              graph.usearch  from `approximate_from` rows on; with it
                              slots.npy      (S,) int64, the row of each number of the graph or -1

A folder is filled under a temporary name and renamed, then `current.json` is replaced. Whatever
does not fit what `current.json` says is no snapshot; nothing is lost, all of it can be made again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
import pyarrow as pa

from user_itr.files import map_array, parse_json, replace_file
from user_itr.search.neighbours.graph import Graph
from user_itr.search.neighbours.photo_columns import PHOTO_SCHEMA, PhotoColumns
from user_itr.search.neighbours.rows import ROW_ID, Rows, embeddings_of

FORMAT_VERSION = 1
CURRENT = "current.json"
PARTIAL = "partial-"

DEAD_SHARE = 0.25
"""Share of a graph's numbers that may be of photos that are gone; with more it is made anew."""

COMPARED = 4_096
"""Rows compared at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The derived files, memory-mapped.

    Attributes:
        folder: that they are in.
        version: of the table they were made from.
        row_ids: (N,) uint64, ascending.
        photos: N rows.
        vectors: (N, D) float32 unit vectors, to read from the first to the last.
        scattered: the same, to read some rows of: where the memory holds not all of them, reading
            ahead of each would push what is needed out of it.
        graph: over them; None where there are few.
        slots: (S,) the row of each number in the graph, or -1.
    """

    folder: Path
    version: int
    row_ids: np.ndarray
    photos: PhotoColumns
    vectors: np.ndarray
    scattered: np.ndarray
    graph: Graph | None
    slots: np.ndarray | None

    def __len__(self) -> int:
        return len(self.row_ids)


def open_snapshot(folder: Path, dim: int) -> Snapshot | None:
    """The valid derived files in `folder` for embeddings of width `dim`; None if there are none."""
    try:
        current = parse_json((folder / CURRENT).read_text(encoding="utf-8"))
        if current["format_version"] != FORMAT_VERSION:
            return None
        files = folder / current["folder"]
        for name, size in current["bytes"].items():
            if (files / name).stat().st_size != size:
                return None
        names = current["bytes"].keys()
        # Plain arrays over the maps: a subclass costs a search more than it gives.
        row_ids, full = (np.asarray(map_array(files / f"{n}.npy")) for n in ("row_ids", "full"))
        scattered = np.asarray(map_array(files / "full.npy", scattered=True))
        with pa.memory_map(str(files / "photos.arrow")) as source:
            photos = PhotoColumns(pa.ipc.open_file(source).read_all())
        count = len(row_ids)
        if not (len(photos) == count and full.shape == (count, dim)):
            return None
        graph = slots = None
        if "graph.usearch" in names:
            graph = Graph.opened(files / "graph.usearch", dim)
            slots = np.array(map_array(files / "slots.npy"))
            if len(slots) != len(graph):
                return None
        version = current["version"]
        return Snapshot(files, version, row_ids, photos, full, scattered, graph, slots)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException):
        return None


def write_snapshot(
    folder: Path, rows: Rows, dim: int, previous: Snapshot | None, approximate_from: int
) -> None:
    """Make the derived files of the latest version of a table. Only one process at a time may.

    Args:
        folder: where they go; made if need be.
        rows: of the table.
        dim: width D of the embeddings.
        previous: derived files of an earlier version, whose graph is added to.
        approximate_from: rows from which on there is a graph.

    Raises:
        OSError: if they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{PARTIAL}*"):
        _remove(left)
    version = rows.latest()
    row_ids = rows.ids()
    partial = folder / f"{PARTIAL}{token_hex(4)}"
    try:
        partial.mkdir()
        np.save(partial / "row_ids.npy", row_ids)
        photos, vectors = _write_rows(partial, rows, row_ids, dim)
        if len(row_ids) >= approximate_from:
            _write_graph(partial, photos, vectors, previous)
        del vectors
        for file in partial.iterdir():
            _flush(file)
        files = folder / f"{version}-{partial.name.removeprefix(PARTIAL)}"
        partial.rename(files)
    except BaseException:
        _remove(partial)
        raise
    _point_to(folder, files, version)
    for old in folder.iterdir():  # Windows keeps what a reader has mapped; the next run removes it
        if old.is_dir() and old != files:
            _remove(old)


def _point_to(folder: Path, files: Path, version: int) -> None:
    content = {
        "format_version": FORMAT_VERSION,
        "version": version,
        "folder": files.name,
        "bytes": {file.name: file.stat().st_size for file in sorted(files.iterdir())},
    }
    replace_file(folder / CURRENT, (json.dumps(content, indent=2) + "\n").encode())


def _write_rows(
    folder: Path, rows: Rows, row_ids: np.ndarray, dim: int
) -> tuple[PhotoColumns, np.ndarray]:
    shape = (len(row_ids), dim)
    make: Callable[..., Any] = np.lib.format.open_memmap
    full = make(folder / "full.npy", "w+", np.float32, shape)
    parts, places = [], [np.empty(0, np.int64)]
    for batch in rows.all():
        place = np.searchsorted(row_ids, batch[ROW_ID].to_numpy())
        full[place] = embeddings_of(batch)
        parts.append(PhotoColumns(pa.Table.from_batches([batch])).table)
        places.append(place)
    full.flush()
    photos = pa.concat_tables(parts) if parts else PHOTO_SCHEMA.empty_table()
    photos = PhotoColumns(photos.take(np.argsort(np.concatenate(places))))
    with (
        pa.OSFile(str(folder / "photos.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, PHOTO_SCHEMA) as to,
    ):
        to.write_table(photos.table)
    return photos, full


def _write_graph(
    folder: Path, photos: PhotoColumns, vectors: np.ndarray, previous: Snapshot | None
) -> None:
    """The graph before with what is new, or one made anew."""
    dim = vectors.shape[1]
    graph, slots = Graph.empty(dim), np.empty(0, np.int64)
    if previous is not None and previous.slots is not None:
        kept = np.append(_rows_now(previous, photos, vectors), -1)[previous.slots]
        if np.mean(kept < 0) <= DEAD_SHARE:
            with suppress(ValueError, OSError):
                graph = Graph.opened(previous.folder / "graph.usearch", dim, change=True)
                slots = kept
    known = np.zeros(len(vectors), bool)
    known[slots[slots >= 0]] = True
    new = np.flatnonzero(~known)
    for start in range(0, len(new), COMPARED):
        graph.add(vectors[new[start : start + COMPARED]])
    graph.save(folder / "graph.usearch")
    np.save(folder / "slots.npy", np.concatenate([slots, new]))


def _rows_now(previous: Snapshot, photos: PhotoColumns, vectors: np.ndarray) -> np.ndarray:
    """(N before,) the row that each photo of `previous` has now, with the same vector, or -1."""
    before, now = (
        columns.table["id"].to_numpy(zero_copy_only=False).astype("S")
        for columns in (previous.photos, photos)
    )
    order = np.argsort(now)
    found = order[np.minimum(np.searchsorted(now, before, sorter=order), len(now) - 1)]
    found = np.where(now[found] == before, found, -1)
    for start in range(0, len(found), COMPARED):
        part = found[start : start + COMPARED]
        same = vectors[part] == previous.vectors[start : start + COMPARED]
        part[~same.all(axis=1)] = -1
    return found


def _remove(files: Path) -> None:
    with suppress(OSError):
        for file in files.iterdir():
            file.unlink()
        files.rmdir()


def _flush(file: Path) -> None:
    """Have the system write a file, so that no crash leaves holes of the right size."""
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())
