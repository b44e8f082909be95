"""What only LanceDB has: versions that go away under a reader, caches, and its own index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lancedb", reason="the extra `s3` is not installed")

import lancedb
from made_rows import content, file, paths, put, unit

from user_itr.errors import IndexStoreError
from user_itr.search.filters import Filters
from user_itr.search.location import location_of
from user_itr.search.store import lance as lance_module
from user_itr.search.store.lance import LanceStore, drop_tables

DIM = 8
NAMES = [f"/p/{row}" for row in range(20)]


def opened(folder: Path, number: int = 1, *, create: bool = True) -> LanceStore:
    names = f"photos-{number}", f"sentences-{number}"
    return LanceStore(location_of(folder), *names, DIM, create=create)


def test_folder_does_not_grow_with_rewrites(tmp_path: Path) -> None:
    store = opened(tmp_path)
    sizes = []
    for seed in range(6):
        put(store, [f"/p/{row}" for row in range(200)], unit(200, DIM, seed))
        store.finish()
        sizes.append(sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file()))
    assert max(sizes) < 1.5 * sizes[0]
    assert len(store) == 200


def test_every_read_outlasts_a_writer_that_compacts_under_it(tmp_path: Path) -> None:
    """The reader has its version; the writer takes it away before the reader has read."""
    writer = opened(tmp_path)
    embeddings = unit(20, DIM)
    put(writer, NAMES, embeddings)
    reads = {
        "count": len,
        "columns": lambda reader: reader.columns("path").num_rows,
        "some": lambda reader: reader.taken_from("path", NAMES, "size").num_rows,
        "nearest": lambda reader: len(reader.nearest(embeddings[0], 20)),
    }
    for name, read in reads.items():
        reader = opened(tmp_path, create=False)

        class Slow:
            """LanceDB's table, whose reader is overtaken twice."""

            def __init__(self, table: Any) -> None:
                self.table, self.left = table, 2

            def __getattr__(self, name: str) -> Any:
                return getattr(self.table, name)

            def checkout_latest(self) -> None:
                self.table.checkout_latest()
                if self.left:
                    self.left -= 1
                    put(writer, NAMES, embeddings)
                    writer.finish()

        reader._table = Slow(reader._table)
        assert read(reader) == 20
        assert name == "count" or reader._table.left == 0  # a count is part of the version


def test_what_lancedb_keeps_in_memory_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = 1 << 18
    session = lancedb.Session(bound, bound)
    monkeypatch.setattr(lance_module, "_session", lambda: session)
    store = opened(tmp_path)
    sizes = []
    for seed in range(12):
        put(store, NAMES, unit(20, DIM, seed))
        store.finish()
        store.nearest(unit(1, DIM)[0], 5)
        sizes.append(session.size_bytes)
    assert 0 < max(sizes) <= 2 * bound


def test_missing_or_damaged_tables_are_errors_of_ours(tmp_path: Path) -> None:
    with pytest.raises(IndexStoreError, match="cannot be opened"):
        opened(tmp_path, create=False)
    put(opened(tmp_path), ["/p/1"], unit(1, DIM))
    for data in (tmp_path / "photos-1.lance" / "data").iterdir():
        data.write_bytes(data.read_bytes()[:20])
    with pytest.raises(IndexStoreError, match="cannot be read"):
        opened(tmp_path, create=False).nearest(unit(1, DIM)[0], 1)


def test_drop_tables(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        opened(tmp_path, number).replace_sentences(["one"], unit(1, DIM))
    drop_tables(tmp_path, keep=["photos-2", "sentences-3"])
    left = sorted(entry.name for entry in tmp_path.iterdir())
    assert left == ["photos-2.lance", "sentences-3.lance"]


def test_tables_without_a_first_version(tmp_path: Path) -> None:
    """What a kill leaves between the making of a table's folder and its first version."""
    for name in ("photos-1", "sentences-1"):
        for part in ("data", "_versions"):
            (tmp_path / f"{name}.lance" / part).mkdir(parents=True)
    store = opened(tmp_path)
    put(store, NAMES, unit(20, DIM))
    assert store.sentences() == []
    assert store.sentence_embeddings().shape == (0, DIM)
    store.replace_sentences(["a red thing"], unit(1, DIM))
    assert opened(tmp_path, create=False).sentences() == ["a red thing"]


def test_a_large_table_in_a_bucket_has_an_approximate_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores do not depend on the index, nor does what a filter leaves."""
    monkeypatch.setattr(lance_module, "PARTITIONED_FROM", 700)
    location = location_of(tmp_path)
    monkeypatch.setattr(type(location), "shared", True)
    centres = unit(12, DIM, seed=1)
    noisy = centres[np.arange(800) % 12] + 0.1 * unit(800, DIM, seed=2)
    embeddings = (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)
    store = opened(tmp_path)
    rows = [file(f"/p/{row}", row) for row in range(800)]
    contents = [content(n, row, width=n + 1) for n, row in enumerate(embeddings)]
    store.write(rows[:690], contents[:690])
    store.finish()
    assert not store._table.list_indices()
    store.write(rows[690:750], contents[690:750])
    store.finish()
    assert store._table.list_indices()
    store.write(rows[750:], contents[750:])  # not in it yet
    shared = []
    for query in centres:
        best = {f"/p/{row}" for row in (-(embeddings @ query)).argsort()[:10]}
        assert set(paths(store.nearest(query, 10, exact=True))) == best
        near = store.nearest(query, 10)
        numbers = [int(hit.path.name) for hit in near]
        np.testing.assert_allclose(
            [hit.score for hit in near], embeddings[numbers] @ query, atol=1e-5
        )
        shared.append(len(best & set(paths(near))) / 10)
        assert paths(store.nearest(query, 10, Filters(min_width=800))) == ["/p/799"]
    assert np.mean(shared) >= 0.95
