from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import unit
from made_tables import DIM, Rows, check, numbered, ranking

from user_itr.search.neighbours import view as view_module
from user_itr.search.neighbours.snapshot import FILES, Snapshot, open_snapshot
from user_itr.search.neighbours.view import Scored

CHANGE = st.tuples(
    st.sampled_from(["put", "delete", "refresh", "open again"]),
    st.integers(0, 80),
    st.integers(1, 60),
)


def by_graph(rows: Rows, query: np.ndarray, k: int, count: int = 0) -> Scored | None:
    """About the k nearest rows by the graph; None where there is none to be asked."""
    view = rows.neighbours.view()
    return None if view is None else view.by_graph(query, k, count)


def snapshot_of(rows: Rows) -> Snapshot:
    """The derived files that the store names now."""
    derived = rows.neighbours._rows.counts().derived
    found = open_snapshot(rows.neighbours.folder, derived, DIM)
    assert found is not None
    return found


def files_of(rows: Rows) -> Path:
    return snapshot_of(rows).folder


@pytest.mark.parametrize("approximate_from", [10**9, 1])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), changes=st.lists(CHANGE, min_size=1, max_size=8))
def test_every_answer_is_about_the_latest_version(
    tmp_path_factory: pytest.TempPathFactory,
    approximate_from: int,
    seed: int,
    changes: list[tuple[str, int, int]],
) -> None:
    folder = tmp_path_factory.mktemp("index")
    writer, reader = (Rows(folder, approximate_from) for _ in range(2))
    photos = dict(zip(numbered(0, 50), unit(50, DIM, seed), strict=True))
    writer.put(list(photos), np.stack(list(photos.values())))
    writer.neighbours.refresh()
    query = unit(1, DIM, seed + 1)[0]
    for step, (change, first, count) in enumerate(changes):
        names = numbered(first, first + count)
        if change == "put":
            photos |= dict(zip(names, unit(count, DIM, seed + 2 + step), strict=True))
            writer.put(names, np.stack([photos[name] for name in names]))
        elif change == "delete":
            writer.delete(names)
            photos = {name: row for name, row in photos.items() if name not in names}
        elif change == "refresh":
            writer.neighbours.refresh()
        else:
            reader = Rows(folder, approximate_from)
        large = {name: row for name, row in photos.items() if int(name[3:]) >= 40}
        allowed = reader.numbers(list(large))
        assert reader.neighbours.count() == len(photos)
        for k in (1, 7, 200):
            found = reader.neighbours.near(query, k)
            check(reader.told(found)[:k], found[1], photos, query, k)
            found = reader.neighbours.near(query, k, allowed)
            check(reader.told(found)[:k], found[1], large, query, k)
            near = by_graph(reader, query, k, 200)
            # Of so few rows the graph is asked for all, so that it is exact.
            if approximate_from == 1 and near is not None:
                check(reader.told(near)[:k], near[1], photos, query, k)


def test_a_graph_of_few_is_asked(tmp_path: Path) -> None:
    rows = Rows(tmp_path, 1)
    rows.put(numbered(0, 50), unit(50, DIM))
    rows.neighbours.refresh()
    assert by_graph(rows, unit(1, DIM)[0], 5) is not None


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A store of 3,000 photos around 12 centres, with a graph."""
    centres = unit(12, DIM, seed=1)
    vectors = centres[np.arange(3_000) % 12] + 0.4 * unit(3_000, DIM, seed=2)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    rows = Rows(tmp_path_factory.mktemp("filled"), 1_000)
    rows.put(numbered(0, 3_000), vectors)
    rows.store.finish()
    return rows.folder, vectors


@pytest.fixture
def rows(filled: tuple[Path, np.ndarray], tmp_path: Path) -> Rows:
    """A copy of it, to change."""
    shutil.copytree(filled[0], tmp_path / "index")
    return Rows(tmp_path / "index", 1_000)


@pytest.fixture
def photos(filled: tuple[Path, np.ndarray]) -> dict[str, np.ndarray]:
    return dict(zip(numbered(0, 3_000), filled[1], strict=True))


def test_a_graph_finds_nearly_all_and_scores_exactly(
    filled: tuple[Path, np.ndarray], photos: dict[str, np.ndarray]
) -> None:
    """Threads make the graph a little different each time: 400 queries tell its recall to 0.005."""
    rows = Rows(filled[0], 1_000)
    shared = []
    for place, query in enumerate(unit(400, DIM, seed=3)):
        near, exact = by_graph(rows, query, 10), rows.neighbours.near(query, 10)
        assert near is not None
        if place < 40:
            check(rows.told(exact), exact[1], photos, query, 10)
        score = dict(zip(exact[0].tolist(), exact[1].tolist(), strict=True))
        found = dict(zip(near[0].tolist(), near[1].tolist(), strict=True))
        both = score.keys() & found.keys()
        shared.append(len(both) / 10)
        assert all(found[number] == score[number] for number in both)
        assert near[1].tolist() == sorted(near[1].tolist(), reverse=True)
    assert np.mean(shared) > 0.95


def test_each_photo_is_found_by_its_own_embedding(filled: tuple[Path, np.ndarray]) -> None:
    """No photo is left out of the graph."""
    rows, names = Rows(filled[0], 1_000), numbered(0, 3_000)
    graph, slots = snapshot_of(rows).graph, snapshot_of(rows).slots
    assert graph is not None
    assert slots is not None
    assert sorted(slots.tolist()) == list(range(3_000))
    lost = [
        name
        for name, row in zip(names, filled[1], strict=True)
        if name not in rows.told(by_graph(rows, row, 1))
    ]
    assert lost == []


def test_a_store_that_is_empty_or_becomes_so(tmp_path: Path) -> None:
    rows, query = Rows(tmp_path, 1), unit(1, DIM)[0]
    rows.neighbours.refresh()
    assert rows.near(query, 3) == []
    rows.put(["/p/1"], query[None])
    assert rows.near(query, 3) == ["/p/1"]
    rows.delete(["/p/1"])
    for _ in range(2):
        assert rows.near(query, 3) == []
        assert rows.near(query, 3, np.array([1, 2])) == []
        rows.neighbours.refresh()


def test_few_changes_leave_the_files_and_many_make_them_anew(rows: Rows) -> None:
    before = snapshot_of(rows)
    assert before.graph is not None
    rows.put(["/p/5000"], unit(1, DIM, seed=4))
    rows.neighbours.refresh()
    assert files_of(rows) == before.folder
    new = unit(200, DIM, seed=5)
    rows.put(numbered(5_001, 5_201), new)
    rows.delete(numbered(0, 100))
    rows.neighbours.refresh()
    after = snapshot_of(rows)
    assert after.graph is not None
    assert after.slots is not None
    assert len(after) == 3_101
    assert len(after.graph) == 3_201  # the old graph with what is new; what went is marked
    assert np.count_nonzero(after.slots < 0) == 100
    assert not before.folder.exists()
    assert [folder.name for folder in rows.neighbours.folder.iterdir()] == [after.folder.name]
    found = [rows.told(by_graph(rows, row, 1))[0] for row in new[:100]]
    assert np.mean(np.array(found) == numbered(5_001, 5_101)) >= 0.95


def test_a_graph_of_which_much_is_gone_is_made_anew(rows: Rows) -> None:
    rows.delete(numbered(0, 1_000))
    rows.neighbours.refresh()
    snapshot = snapshot_of(rows)
    assert snapshot.graph is not None
    assert len(snapshot) == len(snapshot.graph) == 2_000


def test_a_number_is_never_given_twice(rows: Rows, photos: dict[str, np.ndarray]) -> None:
    """The last row goes and another comes: the derived files know nothing of it."""
    last = max(rows.names())
    [name] = [rows.names()[last]]
    rows.delete([name])
    query = unit(1, DIM, seed=6)[0]
    rows.put(["/p/7000"], query[None])
    assert max(rows.names()) > last
    assert rows.near(query, 1) == ["/p/7000"]
    assert rows.near(photos[name], 1) != [name]


@pytest.mark.parametrize("name", ["numbers.npy", "full.npy", "graph.usearch", "slots.npy", FILES])
@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_damaged_files_are_no_files(
    rows: Rows, photos: dict[str, np.ndarray], name: str, damage: str
) -> None:
    folder = files_of(rows)
    file = folder / name
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    else:
        file.write_bytes(b"\x00" * file.stat().st_size)
    query = unit(1, DIM, seed=6)[0]
    rows = Rows(rows.folder, 1_000)
    assert rows.neighbours.view() is None
    assert by_graph(rows, query, 5) is None
    assert rows.near(query, 5) == ranking(photos, query, 5), "all rows are read from the store"
    rows.neighbours.refresh()
    assert files_of(rows) != folder
    assert by_graph(rows, query, 5) is not None
    assert rows.near(query, 5) == ranking(photos, query, 5)


def test_all_derived_files_may_be_deleted(rows: Rows, photos: dict[str, np.ndarray]) -> None:
    shutil.rmtree(rows.neighbours.folder)
    query = unit(1, DIM, seed=6)[0]
    rows = Rows(rows.folder, 1_000)
    assert rows.near(query, 5) == ranking(photos, query, 5)
    rows.store.finish()
    assert len(snapshot_of(rows)) == 3_000


def test_what_a_killed_writer_left_is_taken_away(rows: Rows) -> None:
    folder = rows.neighbours.folder
    shutil.copytree(files_of(rows), folder / "partial-1")
    shutil.copytree(files_of(rows), folder / "complete-but-not-named")
    rows.put(numbered(5_000, 5_100), unit(100, DIM, seed=5))
    rows.neighbours.refresh()
    assert [one.name for one in folder.iterdir()] == [files_of(rows).name]


def test_files_of_another_format_or_width_are_no_files(rows: Rows) -> None:
    folder = files_of(rows)
    assert open_snapshot(folder.parent, folder.name, DIM + 1) is None
    listed = json.loads((folder / FILES).read_text())
    (folder / FILES).write_text(json.dumps(listed | {"format_version": 99}))
    assert open_snapshot(folder.parent, folder.name, DIM) is None
    assert open_snapshot(folder.parent, None, DIM) is None


def test_too_many_new_rows_are_read_from_the_store(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_module, "DELTA_MOST", 20)
    new = unit(21, DIM, seed=7)
    rows.put(numbered(5_000, 5_020), new[:20])
    assert rows.neighbours.view() is not None
    assert rows.near(new[3], 1) == ["/p/5003"]
    rows.put(["/p/5020"], new[20:])
    assert rows.neighbours.view() is None
    assert rows.near(new[20], 1) == ["/p/5020"]
    assert by_graph(rows, new[20], 1) is None


def test_conditions_and_gone_rows_with_a_graph(rows: Rows, photos: dict[str, np.ndarray]) -> None:
    query = unit(1, DIM, seed=8)[0]
    gone = ranking(photos, query, 5)
    rows.delete(gone)
    left = {name: row for name, row in photos.items() if name not in gone}
    assert rows.near(query, 10) == ranking(left, query, 10)
    near = rows.told(by_graph(rows, query, 10))
    assert not set(near) & set(gone)
    assert len(set(near) & set(ranking(left, query, 10))) >= 9
    for meets in (
        lambda number: number >= 1_500,
        lambda number: number % 50 == 3,
        lambda number: False,
    ):
        wanted = {name: row for name, row in left.items() if meets(int(name[3:]))}
        allowed = rows.numbers(list(wanted))
        assert rows.near(query, 10, allowed) == ranking(wanted, query, 10)


def test_several_threads_follow_a_writer(rows: Rows) -> None:
    reader, done = Rows(rows.folder, 1_000), threading.Event()
    errors: list[object] = []
    query = unit(1, DIM, seed=9)[0]
    rows.put(["/p/7"], query[None])

    def read() -> None:
        while not done.is_set():
            try:
                # A photo is replaced in one step, so there is always one like it, and never two.
                for found in (
                    reader.store.nearest(query, 2),
                    reader.store.nearest(query, 2, exact=True),
                ):
                    if found[0].path != Path("/p/7") or found[0].score < 0.999:
                        errors.append(found)
                    if found[1].score > 0.999:
                        errors.append(found)
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for step in range(5):
        new = np.stack([query, *unit(50, DIM, seed=step)])
        rows.put(["/p/7", *numbered(6_000, 6_050)], new)
        rows.store.finish()
    done.set()
    for thread in threads:
        thread.join()
    assert not errors
