"""Copies of a store's file at every moment of the carrying over of its log are whole."""

from __future__ import annotations

import gc
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

import filelock
import numpy as np
import pytest
from colour_encoder import ColourEncoder
from damage import faults
from inspect_index import stored
from made_rows import put, unit

from user_itr.errors import IndexStoreError
from user_itr.search.index import ImageIndex
from user_itr.search.location import Folder
from user_itr.search.store import handles
from user_itr.search.store import log as log_module
from user_itr.search.store.log import beside, is_torn, log_bytes, put_back
from user_itr.search.store.schema import PAGE_BYTES
from user_itr.search.store.sqlite import SqliteStore
from user_itr.search.table import write_lock

DIM = 64


def store_of(folder: Path) -> SqliteStore:
    return SqliteStore(Folder(folder), 1, DIM, create=True)


def change(store: SqliteStore, step: int) -> None:
    """Add and replace photos, so that pages in all of the file change."""
    numbers = np.random.default_rng(step).permutation(400)[:60]
    put(store, [f"/p/{number}" for number in numbers], unit(60, DIM, step))


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    store = store_of(tmp_path / "index")
    names = [f"/p/{number}" for number in range(300)]
    put(store, names, unit(300, DIM))
    store._database.carry_over()
    return store


def test_each_moment_of_the_carrying_over_can_be_put_back(
    store: SqliteStore, tmp_path: Path
) -> None:
    """SQLite writes pages by ascending number: the first of them are new, the others old."""
    file = store._database.file
    before = file.read_bytes()
    put(store, [f"/q/{n}" for n in range(0, 900, 3)], unit(300, DIM, 1))
    with file.open("rb") as opened:
        log_module._keep(file, opened, beside(file, "-undo"))
    undo = beside(file, "-undo").read_bytes()
    store._database.carry_over()
    after = file.read_bytes()
    assert not beside(file, "-undo").exists()
    assert log_bytes(file) == 0
    page, copy = PAGE_BYTES, tmp_path / "copy" / "photos.db"
    assert len(after) > len(before) > 5 * page
    copy.parent.mkdir()
    damaged = 0
    for end in range(0, len(after) + page, page):
        torn = after[:end] + before[end:]
        copy.write_bytes(torn)
        damaged += bool(faults(copy))
        beside(copy, "-undo").write_bytes(undo)
        assert is_torn(copy)
        put_back(copy)
        assert copy.read_bytes() == before
        assert [one.name for one in copy.parent.iterdir()] == ["photos.db"]
        copy.unlink()
    assert damaged > 5, "without the pages of before these copies are of no use"


def test_no_other_process_changes_the_file_in_the_middle(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages of a change that came after the keeping would be carried over without those before."""
    keep, tried = log_module._keep, []

    def keep_and_try(file: Path, opened: BinaryIO, undo: Path) -> None:
        keep(file, opened, undo)
        with pytest.raises(filelock.Timeout):
            filelock.FileLock(beside(file, "-lock")).acquire(timeout=0)
        tried.append(file)

    monkeypatch.setattr(log_module, "_keep", keep_and_try)
    change(store, 1)
    store._database.carry_over()
    assert tried == [store._database.file]
    filelock.FileLock(beside(store._database.file, "-lock")).acquire(timeout=0)


def test_who_reads_an_earlier_state_delays_it_and_nothing_is_lost(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "WAIT_MS", 0)
    file = store._database.file
    before = file.read_bytes()
    listing = iter(store.files())
    next(listing)  # in the middle of its answer
    for step in (1, 2, 3):
        change(store, step)
        store._database.carry_over()
        assert beside(file, "-undo").exists()
        assert log_bytes(file) > 0
        copy = tmp_path / f"copy-{step}" / "photos.db"
        copy.parent.mkdir()
        for ending in ("", "-undo"):
            shutil.copy(beside(file, ending), beside(copy, ending))
        put_back(copy)
        assert copy.read_bytes() == before
    assert 1 + len(list(listing)) == 300
    store._database.carry_over()
    assert not beside(file, "-undo").exists()
    assert log_bytes(file) == 0
    assert faults(file) == []


def test_a_copy_in_the_middle_is_put_right_when_it_is_opened(
    photos: Path, index: ImageIndex, encoder: ColourEncoder, tmp_path: Path
) -> None:
    index.update(photos, encoder)
    whole = stored(index)
    copy = tmp_path / "copy"
    shutil.copytree(index.path, copy)
    file = copy / "photos.db"
    page = file.read_bytes()[PAGE_BYTES : 2 * PAGE_BYTES]
    log_module._write(beside(file, "-undo"), log_module.Before(PAGE_BYTES, 1_000, {2: page}))
    pages = file.stat().st_size // PAGE_BYTES
    log_module._write(beside(file, "-undo"), log_module.Before(PAGE_BYTES, pages, {2: page}))
    with file.open("rb+") as opened:
        opened.seek(PAGE_BYTES)
        opened.write(bytes(PAGE_BYTES))
    for ending in ("-wal", "-shm"):
        beside(file, ending).unlink(missing_ok=True)
    for attempt in (ImageIndex.open, lambda p: ImageIndex.create_or_open(p, encoder, "model")):
        assert stored(attempt(copy)) == whole
    assert not is_torn(file)


@pytest.mark.parametrize("damage", [b"", b"user-itr undo 1\n", bytes(300)])
def test_pages_of_before_that_are_damaged_are_told_of(
    photos: Path,
    index: ImageIndex,
    encoder: ColourEncoder,
    damage: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from user_itr.search.store import opening

    monkeypatch.setattr(opening, "MENDING_SECONDS", 0)
    index.update(photos, encoder)
    (index.path / "photos.db-undo").write_bytes(damage)
    before = (index.path / "photos.db").read_bytes()
    with pytest.raises(IndexStoreError, match=r"cannot be put right \(photos.db-undo is damaged"):
        ImageIndex.open(index.path)
    assert (index.path / "photos.db").read_bytes() == before


def test_another_process_may_be_putting_it_right(
    photos: Path, index: ImageIndex, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from user_itr.search.store import opening

    monkeypatch.setattr(opening, "MENDING_SECONDS", 0)
    index.update(photos, encoder)
    (index.path / "photos.db-undo").write_bytes(b"?")
    with write_lock(index.path), pytest.raises(IndexStoreError, match="another process is writing"):
        ImageIndex.open(index.path)


def test_the_end_of_a_process_carries_nothing_over(tmp_path: Path) -> None:
    """Neither that of the writer, nor that of a reader who comes after it was killed."""
    program = (
        "import sys; sys.path[:0] = [{search!r}, {here!r}]\n"
        "from pathlib import Path; from test_log import change, store_of; import os\n"
        "store = store_of(Path({place!r})); change(store, 0); {end}"
    )
    for number, end in enumerate(("pass", "sys.exit(3)", "os._exit(9)", "len(store)")):
        place = tmp_path / str(number)
        words = {"search": str(Path(__file__).parents[1]), "here": str(Path(__file__).parent)}
        text = program.format(**words, place=str(place), end=end)
        subprocess.run([sys.executable, "-c", text], check=False)
        kept = (place / "photos.db").stat().st_size
        assert log_bytes(place / "photos.db") > kept
        for _ in range(2):
            reader = SqliteStore(Folder(place), 1, DIM, create=False)
            assert len(reader) > 30
            del reader
        assert log_bytes(place / "photos.db") > kept
        store = store_of(place)
        store.finish()
        assert log_bytes(place / "photos.db") == 0
        assert faults(place / "photos.db") == []


def test_a_full_log_is_carried_over_in_the_middle_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from user_itr.search.store import database

    monkeypatch.setattr(database, "CHECKPOINT_BYTES", 500_000)
    store = store_of(tmp_path / "index")
    sizes = []
    for step in range(12):
        change(store, step)
        sizes.append(log_bytes(store._database.file))
    assert 0 in sizes
    assert max(sizes) <= 500_000
    assert faults(store._database.file) == []


def test_sqlite_itself_never_carries_over(store: SqliteStore) -> None:
    with store._database.change() as writer:
        (pages,) = writer.execute("PRAGMA wal_autocheckpoint").fetchone()
    assert pages == 0
    change(store, 1)
    kept = log_bytes(store._database.file)
    with pytest.raises(sqlite3.OperationalError):
        store._database._reader().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert log_bytes(store._database.file) == kept > 0


LOCKED = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("SELECT count(*) FROM counters").fetchall()
connection.close()  # SQLite carries the log over and removes it, if this was the last connection
"""


@pytest.mark.parametrize("others", [0, 1, 2])
def test_sqlites_locks_outlast_the_reading_of_its_file(store: SqliteStore, others: int) -> None:
    """Another program that opens and closes the file does not take it for one that no one has."""
    file = store._database.file
    more = [store_of(file.parent) for _ in range(others)]
    change(store, 1)
    store._database.carry_over()
    for other in more:
        change(other, 2)
        other._database.carry_over()
    more.clear()  # which ends their connections
    change(store, 3)
    subprocess.run([sys.executable, "-c", LOCKED, str(file)], check=True)
    assert log_bytes(file) > 0
    change(store, 4)
    assert faults(file) == []


def test_files_that_are_read_are_closed_in_the_end(tmp_path: Path) -> None:
    before = dict(handles._users)
    for number in range(3):
        stores = [store_of(tmp_path / str(number)) for _ in range(2)]
        for store in stores:
            change(store, number)
            store.finish()
        assert len(handles._users) == len(before) + 1
        del stores, store
        gc.collect()
        assert handles._users == before
    assert handles._opened.keys() <= before.keys()


class CollectingPath(type(Path())):  # type: ignore[misc]
    """A path at whose opening Python collects what nobody holds any more."""

    def open(self, *arguments: Any, **options: Any) -> Any:
        gc.collect()
        return super().open(*arguments, **options)


def test_a_file_is_opened_while_a_store_of_another_one_is_collected(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    before = dict(handles._users)
    key = handles.hold(file)
    stores: list[Any] = [store_of(tmp_path / "other")]
    stores.append(stores)  # only the collector finds them
    del stores
    opening = threading.Thread(
        target=handles.reading, args=(CollectingPath(file), key), daemon=True
    )
    opening.start()
    opening.join(60)
    assert not opening.is_alive()
    handles.let_go(key)
    assert handles._users == before
