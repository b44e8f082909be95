from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from user_itr.errors import IndexStoreError
from user_itr.search import table as table_module
from user_itr.search.neighbours.snapshot import open_snapshot
from user_itr.search.photos import photo_id
from user_itr.search.table import PhotoTable, drop_tables, write_lock

ODD_NAMES = [
    "/p/it's.jpg",
    "/p/' OR 1=1 --.jpg",
    '/p/double "quotes".jpg',
    "/p/back\\slash\\'.jpg",
    "/p/new\nline.jpg",
    "/p/percent % under_ score.jpg",
    "/p/日本語 🐕 é.jpg",
    "/p/e\u0301.jpg",
    "/p/" + "long" * 60 + ".jpg",
]


def unit(count: int, dim: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def add(table: PhotoTable, names: list[str], embeddings: np.ndarray, size: int = 1) -> None:
    same = [1] * len(names)
    table.upsert(
        table.rows(
            embeddings,
            id=[photo_id(name) for name in names],
            path=names,
            size=[size] * len(names),
            mtime_ns=[2**62] * len(names),
            hash=[photo_id(name) for name in names],
            taken=[None] * len(names),
            width=same,
            height=same,
            root=["/p"] * len(names),
        )
    )


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 300),
    dim=st.integers(1, 24),
    k=st.integers(1, 320),
    parts=st.integers(1, 4),
)
def test_nearest_agrees_with_numpy(seed: int, count: int, dim: int, k: int, parts: int) -> None:
    embeddings = unit(count, dim, seed)
    query = unit(1, dim, seed + 1)[0]
    names = [f"/p/{row}" for row in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        table = PhotoTable(Path(folder), "photos-1", dim, create=True)
        for part in np.array_split(np.arange(count), parts):
            if len(part):
                add(table, [names[row] for row in part], embeddings[part])
        found = table.nearest(query, k)
    scores = [hit.score for hit in found]
    exact = embeddings.astype(np.float64) @ query.astype(np.float64)
    assert len({hit.path for hit in found}) == len(found) == min(k, count)
    np.testing.assert_allclose(scores, np.sort(exact)[::-1][:k], atol=1e-6)
    rows = [int(hit.path.name) for hit in found]
    np.testing.assert_allclose(scores, exact[rows], atol=1e-6)


def test_odd_names_are_only_names(tmp_path: Path) -> None:
    table = PhotoTable(tmp_path, "photos-1", 4, create=True)
    add(table, ODD_NAMES, unit(len(ODD_NAMES), 4))
    add(table, ODD_NAMES[:3], unit(3, 4, seed=1), size=7)
    stored = table.columns("path", "size", "mtime_ns")
    assert sorted(stored["path"].to_pylist()) == sorted(ODD_NAMES)
    assert sorted(stored["size"].to_pylist()) == [1] * (len(ODD_NAMES) - 3) + [7] * 3
    assert set(stored["mtime_ns"].to_pylist()) == {2**62}
    left = set(ODD_NAMES)
    for name in ODD_NAMES:
        assert table.delete([name, "/p/not there"]) == 1
        left.remove(name)
        assert set(table.columns("path")["path"].to_pylist()) == left
    assert table.delete([]) == 0


def test_folder_does_not_grow_with_rewrites(tmp_path: Path) -> None:
    table = PhotoTable(tmp_path, "photos-1", 64, create=True)
    names = [f"/p/{row}" for row in range(200)]
    sizes = []
    for seed in range(6):
        add(table, names, unit(200, 64, seed))
        table.compact()
        sizes.append(sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file()))
    assert max(sizes) < 1.5 * sizes[0]
    assert len(table) == 200


def test_a_reader_follows_a_writer_that_compacts(tmp_path: Path) -> None:
    writer = PhotoTable(tmp_path, "photos-1", 8, create=True)
    reader = PhotoTable(tmp_path, "photos-1", 8, create=False)
    for seed in range(3):
        embeddings = unit(20, 8, seed)
        add(writer, [f"/p/{row}" for row in range(20)], embeddings)
        writer.compact()
        assert reader.nearest(embeddings[13], 1)[0].path == Path("/p/13")


def test_every_read_outlasts_a_writer_that_compacts_under_it(tmp_path: Path) -> None:
    """The reader has its version; the writer takes it away before the reader has read."""
    writer = PhotoTable(tmp_path, "photos-1", 8, create=True)
    embeddings = unit(20, 8)
    names = [f"/p/{row}" for row in range(20)]
    add(writer, names, embeddings)
    reads = {
        "count": len,
        "columns": lambda reader: reader.columns("path").num_rows,
        "some": lambda reader: reader.taken_from("path", names, "size").num_rows,
        "nearest": lambda reader: len(reader.nearest(embeddings[0], 20)),
    }
    for name, read in reads.items():
        reader = PhotoTable(tmp_path, "photos-1", 8, create=False)
        reader.neighbours = None  # LanceDB's own scan; tests/search/neighbours has the others

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
                    add(writer, names, embeddings)
                    writer.compact()

        reader._table = Slow(reader._table)
        assert read(reader) == 20
        assert name == "count" or reader._table.left == 0  # a count is part of the version


def test_what_lancedb_keeps_in_memory_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = 1 << 18
    session = lancedb.Session(bound, bound)
    monkeypatch.setattr(table_module, "_session", lambda: session)
    table = PhotoTable(tmp_path, "photos-1", 8, create=True)
    sizes = []
    for seed in range(12):
        add(table, [f"/p/{row}" for row in range(20)], unit(20, 8, seed))
        table.compact()
        table.nearest(unit(1, 8)[0], 5)
        sizes.append(session.size_bytes)
    assert 0 < max(sizes) <= 2 * bound


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with (
        write_lock(tmp_path),
        pytest.raises(IndexStoreError, match="another process is writing"),
        write_lock(tmp_path),
    ):
        pass
    with write_lock(tmp_path):
        pass


def test_missing_or_damaged_tables_are_errors_of_ours(tmp_path: Path) -> None:
    with pytest.raises(IndexStoreError, match="cannot be opened"):
        PhotoTable(tmp_path, "photos-1", 8, create=False)
    table = PhotoTable(tmp_path, "photos-1", 8, create=True)
    add(table, ["/p/1"], unit(1, 8))
    for file in (tmp_path / "photos-1.lance" / "data").iterdir():
        file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(IndexStoreError, match="cannot be read"):
        PhotoTable(tmp_path, "photos-1", 8, create=False).nearest(unit(1, 8)[0], 1)


def test_drop_tables(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        PhotoTable(tmp_path, f"photos-{number}", 8, create=True)
    drop_tables(tmp_path, keep=["photos-2"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["photos-2.lance"]


def test_drop_tables_takes_derived_files_with_it(tmp_path: Path) -> None:
    for number in (1, 2):
        PhotoTable(tmp_path, f"photos-{number}", 8, create=True).compact()
    drop_tables(tmp_path, keep=["photos-2"])
    left = sorted(entry.name for entry in tmp_path.iterdir())
    assert left == ["photos-2.lance", "photos-2.neighbours"]


def test_large_tables_have_an_approximate_index(tmp_path: Path) -> None:
    centres = unit(12, 32, seed=1)
    noisy = centres[np.arange(800) % 12] + 0.1 * unit(800, 32, seed=2)
    embeddings = (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)
    table = PhotoTable(tmp_path, "photos-1", 32, create=True)
    table.neighbours.approximate_from = 600

    def has_graph() -> bool:
        snapshot = open_snapshot(table.neighbours.folder, 32)
        assert snapshot is not None
        return snapshot.graph is not None

    add(table, [f"/p/{row}" for row in range(500)], embeddings[:500])
    table.compact()
    assert not has_graph()
    add(table, [f"/p/{row}" for row in range(500, 700)], embeddings[500:700])
    table.compact()
    assert has_graph()
    add(table, [f"/p/{row}" for row in range(700, 800)], embeddings[700:])  # not in it yet

    def found(query: np.ndarray, **how: object) -> set[str]:
        return {str(hit.path) for hit in table.nearest(query, 10, **how)}  # type: ignore[arg-type]

    shared = [len(found(query) & found(query, exact=True)) for query in centres]
    assert sum(shared) >= 0.95 * 10 * len(centres)
    everything = embeddings @ centres[0]
    assert found(centres[0], exact=True) == {f"/p/{row}" for row in (-everything).argsort()[:10]}
    # Distances are those of the exact scan, so that scores do not depend on the index.
    near = table.nearest(centres[0], 10)
    rows = [int(hit.path.name) for hit in near]
    np.testing.assert_allclose([hit.score for hit in near], everything[rows], atol=1e-5)
    only = found(centres[0], where="path = '/p/799'")
    assert only == {"/p/799"}
