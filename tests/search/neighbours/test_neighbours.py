from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_tables import DIM, neighbours_of, numbered, opened, paths, put, ranking, short, unit

from user_itr.search.neighbours import view as view_module
from user_itr.search.neighbours.snapshot import open_snapshot
from user_itr.search.table import PhotoTable

CHANGE = st.tuples(
    st.sampled_from(["put", "delete", "refresh", "compact"]), st.integers(0, 80), st.integers(1, 60)
)


@pytest.mark.parametrize("approximate_from", [10**9, 1])
@settings(max_examples=8, deadline=None)
@example(seed=4209, changes=[("put", 0, 1)])  # two scores 3e-9 apart before rounding
@given(seed=st.integers(0, 2**32 - 1), changes=st.lists(CHANGE, min_size=1, max_size=8))
def test_every_answer_is_about_the_latest_version(
    tmp_path_factory: pytest.TempPathFactory,
    approximate_from: int,
    seed: int,
    changes: list[tuple[str, int, int]],
) -> None:
    table = opened(tmp_path_factory.mktemp("index"))
    writer, reader = (neighbours_of(table, approximate_from) for _ in range(2))
    photos = dict(zip(numbered(0, 50), short(unit(50, seed=seed)), strict=True))
    put(table, list(photos), np.stack(list(photos.values())))
    writer.refresh()
    query = short(unit(1, seed=seed + 1))[0]
    for step, (change, first, count) in enumerate(changes):
        names = numbered(first, first + count)
        if change == "put":
            photos |= dict(zip(names, short(unit(count, seed=seed + 2 + step)), strict=True))
            put(table, names, np.stack([photos[name] for name in names]))
        elif change == "delete":
            table.delete(names)
            photos = {name: row for name, row in photos.items() if name not in names}
        elif change == "refresh":
            writer.refresh()
        else:
            table._table.optimize()
        # Of so few rows the graph is asked for all, or more than it gives: both are exact.
        for k in (1, 7, 200):
            assert paths(reader.nearest(query, k)) == ranking(photos, query, k)
        large = {name: row for name, row in photos.items() if int(name[3:]) >= 40}
        found = reader.nearest(query, 7, "width >= 40")
        assert paths(found) == ranking(large, query, 7)
        exact = np.array([photos[name] @ query for name in paths(found)], np.float32)
        np.testing.assert_allclose([hit.score for hit in found], exact, atol=1e-6)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A table of 3,000 photos around 12 centres, with a graph."""
    centres = unit(12, seed=1)
    vectors = centres[np.arange(3_000) % 12] + 0.4 * unit(3_000, seed=2)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    table = opened(tmp_path_factory.mktemp("filled"))
    put(table, numbered(0, 3_000), vectors)
    neighbours_of(table, 1_000).refresh()
    return table.path, vectors


@pytest.fixture
def table(filled: tuple[Path, np.ndarray], tmp_path: Path) -> PhotoTable:
    """A copy of it, to change."""
    shutil.copytree(filled[0], tmp_path / "index")
    return opened(tmp_path / "index")


def test_a_graph_finds_nearly_all_and_scores_exactly(filled: tuple[Path, np.ndarray]) -> None:
    neighbours, vectors = neighbours_of(opened(filled[0]), 1_000), filled[1]
    shared = []
    for query in unit(40, seed=3):
        near, exact = neighbours.nearest(query, 10), neighbours.nearest(query, 10, exact=True)
        assert near is not None
        assert exact is not None
        order = np.argsort(-(vectors @ query))[:10]
        assert paths(exact) == [f"/p/{row}" for row in order]
        score = {hit.path: hit.score for hit in exact}
        both = score.keys() & {hit.path for hit in near}
        shared.append(len(both) / 10)
        assert all(hit.path not in both or hit.score == score[hit.path] for hit in near)
        assert [-hit.score for hit in near] == sorted(-hit.score for hit in near)
    assert np.mean(shared) > 0.95


def test_a_table_that_is_empty_or_becomes_so(tmp_path: Path) -> None:
    table = opened(tmp_path)
    neighbours, query = neighbours_of(table, 1), unit(1)[0]
    table.compact()
    assert paths(neighbours.nearest(query, 3)) == []
    put(table, ["/p/1"], query[None])
    assert paths(neighbours.nearest(query, 3)) == ["/p/1"]
    table.delete(["/p/1"])
    for _ in range(2):
        assert paths(neighbours.nearest(query, 3)) == []
        assert paths(neighbours.nearest(query, 3, "width > 0", exact=True)) == []
        neighbours.refresh()


def test_few_changes_leave_the_files_and_many_make_them_anew(table: PhotoTable) -> None:
    neighbours = neighbours_of(table, 1_000)
    before = open_snapshot(neighbours.folder, DIM)
    assert before is not None
    assert before.graph is not None
    put(table, ["/p/5000"], unit(1, seed=4))
    neighbours.refresh()
    same = open_snapshot(neighbours.folder, DIM)
    assert same is not None
    assert same.folder == before.folder
    new = unit(200, seed=5)
    put(table, numbered(5_001, 5_201), new)
    table.delete(numbered(0, 100))
    neighbours.refresh()
    after = open_snapshot(neighbours.folder, DIM)
    assert after is not None
    assert after.graph is not None
    assert after.slots is not None
    assert len(after) == 3_101
    assert len(after.graph) == 3_201  # the old graph with what is new; what went is marked
    assert np.count_nonzero(after.slots < 0) == 100
    assert not before.folder.exists()
    found = [paths(neighbours.nearest(row, 1))[0] for row in new[:100]]
    assert np.mean(np.array(found) == numbered(5_001, 5_101)) >= 0.95


def test_a_graph_of_which_much_is_gone_is_made_anew(table: PhotoTable) -> None:
    table.delete(numbered(0, 1_000))
    table._table.optimize()  # gives every row another id
    neighbours = neighbours_of(table, 1_000)
    neighbours.refresh()
    snapshot = open_snapshot(neighbours.folder, DIM)
    assert snapshot is not None
    assert snapshot.graph is not None
    assert len(snapshot) == len(snapshot.graph) == 2_000


def test_compaction_alone_adds_nothing_to_the_graph(table: PhotoTable) -> None:
    put(table, ["/p/5000"], unit(1, seed=4))
    table._table.optimize()
    neighbours = neighbours_of(table, 1_000)
    neighbours.refresh()
    snapshot = open_snapshot(neighbours.folder, DIM)
    assert snapshot is not None
    assert snapshot.graph is not None
    assert len(snapshot) == len(snapshot.graph) == 3_001


@pytest.mark.parametrize(
    "name",
    ["row_ids.npy", "photos.arrow", "full.npy", "graph.usearch", "slots.npy", "json"],
)
@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_damaged_files_are_no_files(
    table: PhotoTable, filled: tuple[Path, np.ndarray], name: str, damage: str
) -> None:
    neighbours = neighbours_of(table, 1_000)
    current = neighbours.folder / "current.json"
    content = json.loads(current.read_text())
    file = current if name == "json" else neighbours.folder / content["folder"] / name
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    else:
        file.write_bytes(b"\x00" * file.stat().st_size)
    query = unit(1, seed=6)[0]
    assert neighbours.nearest(query, 5) is None
    photos = dict(zip(numbered(0, 3_000), filled[1], strict=True))
    assert paths(table.nearest(query, 5)) == ranking(photos, query, 5)  # LanceDB answers
    neighbours.refresh()
    assert paths(neighbours.nearest(query, 5, exact=True)) == ranking(photos, query, 5)


def test_files_of_another_format_or_width_are_no_files(table: PhotoTable) -> None:
    neighbours = neighbours_of(table, 1_000)
    assert open_snapshot(neighbours.folder, DIM + 1) is None
    current = neighbours.folder / "current.json"
    content = json.loads(current.read_text())
    current.write_text(json.dumps(content | {"format_version": 99}))
    assert open_snapshot(neighbours.folder, DIM) is None


def test_too_many_new_rows_are_left_to_lancedb(
    table: PhotoTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_module, "DELTA_MOST", 20)
    neighbours = neighbours_of(table, 1_000)
    new = unit(21, seed=7)
    put(table, numbered(5_000, 5_020), new[:20])
    assert paths(neighbours.nearest(new[3], 1)) == ["/p/5003"]
    put(table, ["/p/5020"], new[20:])
    assert neighbours.nearest(new[3], 1) is None
    assert paths(table.nearest(new[20], 1)) == ["/p/5020"]


def test_conditions_and_gone_rows_with_a_graph(
    table: PhotoTable, filled: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_module, "FILTERED_MOST", 100)  # so that the graph is asked
    neighbours, query = neighbours_of(table, 1_000), unit(1, seed=8)[0]
    photos = dict(zip(numbered(0, 3_000), filled[1], strict=True))
    gone = ranking(photos, query, 5)
    table.delete(gone)
    left = {name: row for name, row in photos.items() if name not in gone}
    assert paths(neighbours.nearest(query, 10, exact=True)) == ranking(left, query, 10)
    for where, meets in (
        ("width >= 1500", lambda number: number >= 1_500),
        ("width % 50 = 3", lambda number: number % 50 == 3),
        ("width < 0", lambda number: False),
    ):
        wanted = {name: row for name, row in left.items() if meets(int(name[3:]))}
        for exact in (True, False):
            found = paths(neighbours.nearest(query, 10, where, exact=exact))
            assert len(found) == min(10, len(wanted))
            best = ranking(wanted, query, 10)
            assert found == best if exact else len(set(found) & set(best)) >= 0.9 * len(best)


def test_readers_follow_a_writer_that_compacts(table: PhotoTable) -> None:
    reader, done = opened(table.path), threading.Event()
    errors: list[object] = []

    def read() -> None:
        while not done.is_set():
            try:
                # A photo is replaced in one step, so there is always one like it, and never two.
                best = reader.nearest(query, 2)
                if best[0].path != Path("/p/7"):
                    errors.append(best)
            except Exception as error:
                errors.append(error)

    query = unit(1, seed=9)[0]
    put(table, ["/p/7"], query[None])
    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for step in range(5):
        put(table, ["/p/7", *numbered(6_000, 6_050)], np.stack([query, *unit(50, seed=step)]))
        table.compact()
    done.set()
    for thread in threads:
        thread.join()
    assert not errors
