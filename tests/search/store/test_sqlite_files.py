"""The SQLite file of an index in places and states of all kinds."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import PALETTE, ColourEncoder, paint
from damage import faults
from inspect_index import counts, stored
from killable_index import running
from made_rows import content, file, paths, put, unit

from user_itr.errors import IndexStoreError
from user_itr.search.filters import Filters
from user_itr.search.index import ImageIndex
from user_itr.search.location import Folder
from user_itr.search.query import search_text
from user_itr.search.store import schema
from user_itr.search.store.sqlite import SqliteStore

DIM = 8


def store_of(folder: Path, *, create: bool = True) -> SqliteStore:
    return SqliteStore(Folder(folder), 1, DIM, create=create)


@pytest.mark.parametrize(
    "name",
    [
        "a#b",
        "what?",
        "100%25 %41",
        'it\'s "one"',
        "日本語 é e\u0301",
        "a&mode=ro",
        " ",
        "file:x",
        "x;y",
    ],
)
@pytest.mark.parametrize("relative", [False, True])
def test_folders_of_all_names(
    tmp_path: Path,
    photos: Path,
    encoder: ColourEncoder,
    name: str,
    relative: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    place = Path(name) / "index" if relative else tmp_path / name / "index"
    index = ImageIndex.create_or_open(place, encoder, "model")
    index.update(photos, encoder)
    monkeypatch.chdir(photos)  # an open index stays where it is
    index.update(photos, encoder)
    assert (tmp_path / name / "index" / "photos.db").is_file()
    opened = ImageIndex.open(tmp_path / name / "index")
    assert search_text(opened, encoder, "red", k=1)[0].path.stem == "red"
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted([name, "photos"])


@contextmanager
def somebody_else() -> Iterator[None]:
    """The test goes on as a user who may not write where root wrote, if it is root that runs it."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="has no users as Unix has them")
@pytest.mark.parametrize("left", [(), ("*-shm", "*-wal")])
def test_who_may_only_read_searches(
    photos: Path, index: ImageIndex, encoder: ColourEncoder, left: tuple[str, ...]
) -> None:
    """In a folder of another user, with what SQLite left there and without."""
    index.update(photos, encoder)
    whole = stored(index)
    with tempfile.TemporaryDirectory() as parent:  # pytest's own is closed to others
        Path(parent).chmod(0o755)
        copy = Path(parent) / "copy"
        shutil.copytree(index.path, copy, ignore=shutil.ignore_patterns(*left))
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            with somebody_else():
                assert not os.access(copy, os.W_OK, effective_ids=True)
                opened = ImageIndex.open(copy)
                assert search_text(opened, encoder, "red", k=1)[0].path.stem == "red"
                assert stored(opened) == whole
                with pytest.raises(IndexStoreError, match=r"(written|opened).*check its disk and"):
                    ImageIndex.create_or_open(copy, encoder, "model").update(photos, encoder)
                with pytest.raises(IndexStoreError, match=r"written.*check its disk and"):
                    opened.update(photos, encoder)
            if os.geteuid() == 0 and not left:  # root may write all the same
                paint(photos / "new.png", "red")
                with running(copy, photos) as writer:
                    said = writer.communicate()
                    assert writer.returncode == 0, said
                with somebody_else():
                    assert len(search_text(opened, encoder, "red", k=99)) == len(PALETTE) + 1
                    assert stored(opened) == stored(ImageIndex.open(copy))
        finally:
            for path in (copy, *copy.rglob("*")):
                path.chmod(0o755)


def test_what_is_made_is_as_private_as_other_files(tmp_path: Path) -> None:
    """SQLite gives its other files the rights of the first; the mask of the user holds."""
    before = os.umask(0o077)
    try:
        store = store_of(tmp_path / "index")
        put(store, ["/p/1"], unit(1, DIM))
    finally:
        os.umask(before)
    for one in (tmp_path / "index").iterdir():
        assert stat.S_IMODE(one.stat().st_mode) & 0o077 == 0, one.name


def test_an_index_that_is_deleted_and_made_again_under_a_reader(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    index.update(photos, encoder)
    reader = ImageIndex.open(index.path)
    assert len(reader.search(encoder.encode_text(["red"])[0], 99)) == len(PALETTE)
    shutil.rmtree(index.path)
    with pytest.raises(IndexStoreError):
        len(reader)
    with pytest.raises(IndexStoreError):
        search_text(reader, encoder, "red")
    with pytest.raises(IndexStoreError):
        index.update(photos, encoder)
    assert not (index.path / "photos.db").exists(), "nothing is made of an index that is gone"
    again = ImageIndex.create_or_open(index.path, encoder, "model")
    paint(photos / "new.png", "red")
    again.update(photos, encoder)
    for one in (reader, index):
        assert len(one) == len(PALETTE) + 1
        found = one.search(encoder.encode_text(["red"])[0], 2)
        assert sorted(hit.path.stem for hit in found) == ["new", "red"]
        assert stored(one) == stored(again)
    index.update(photos, encoder)
    assert faults(index.path / "photos.db") == []


def test_only_the_file_is_deleted_under_a_reader(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    index.update(photos, encoder)
    reader = ImageIndex.open(index.path)
    (index.path / "photos.db").unlink()
    for attempt in (
        lambda: reader.search(encoder.encode_text(["red"])[0]),
        lambda: index.update(photos, encoder),
        lambda: ImageIndex.open(index.path),
    ):
        with pytest.raises(IndexStoreError, match=r"cannot be (opened|read|written)"):
            attempt()
    again = ImageIndex.create_or_open(index.path, encoder, "model")
    assert counts(again.update(photos, encoder)) == (len(PALETTE), 0, 0, 0)
    assert stored(reader) == stored(again)
    assert faults(index.path / "photos.db") == []


def test_a_reader_before_and_after_each_change_of_a_writer(tmp_path: Path) -> None:
    """What is remembered between searches is of the state that is asked for."""
    store = store_of(tmp_path)
    reader = store_of(tmp_path, create=False)
    for step, row in enumerate(unit(30, DIM)):
        store.write([file(f"/p/{step}", step), file("/p/last", step)], [content(step, row)])
        for filters in (None, Filters(folder=Path("/p")), Filters(min_width=1)):
            assert paths(reader.nearest(row, 2, filters)) == [f"/p/{step}", "/p/last"]
        if step % 7 == 0:
            store.finish()


def test_threads_that_search_with_filters_while_files_change(tmp_path: Path) -> None:
    """A condition is remembered for one state of the files, whatever thread asks next."""
    store, reader = store_of(tmp_path), store_of(tmp_path, create=False)
    days = [datetime(2020, 1, 1) + timedelta(days=n) for n in range(24)]
    rows = unit(24, DIM)
    contents = [
        content(n, row, taken=day) for n, (row, day) in enumerate(zip(rows, days, strict=True))
    ]
    store.write([file(f"/p/{n}", n) for n in range(24)], contents)
    done = threading.Event()
    errors: list[object] = []

    def read(number: int) -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            day = days[(turn + number) % 24].date()
            try:
                found = reader.nearest(rows[0], 50, Filters(after=day, before=day))
                names = {hit.path.name.split("-")[0] for hit in found}
                if names != {str((turn + number) % 24)}:
                    errors.append((day, found))
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for step in range(60):
        store.write([file(f"/p/{step % 24}-{step}", step % 24)])
        if step % 20 == 0:
            store.finish()
    done.set()
    for thread in threads:
        thread.join()
    assert not errors
    day = date(2020, 1, 1)
    last = paths(reader.nearest(rows[0], 9, Filters(after=day, before=day)))
    assert last == ["/p/0", "/p/0-0", "/p/0-24", "/p/0-48"]


def make_newer(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    connection.close()


def make_anothers(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA application_id = 7")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (make_newer, r"photos.db: has schema version 3, .* reads up to 2; upgrade user-itr"),
        (make_anothers, r"photos.db: another program made this file; restore"),
        (lambda file: file.write_bytes(b"x" * 40_000), "not a database"),
        (lambda file: file.write_bytes(b""), "another program made this file"),
    ],
)
def test_files_of_others_are_refused_and_left_alone(
    photos: Path,
    index: ImageIndex,
    encoder: ColourEncoder,
    tmp_path: Path,
    spoil: Callable[[Path], object],
    says: str,
) -> None:
    index.update(photos, encoder)
    copy = tmp_path / "copy"
    shutil.copytree(index.path, copy, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    spoil(copy / "photos.db")
    before = (copy / "photos.db").read_bytes()
    for attempt in (
        lambda: ImageIndex.open(copy),
        lambda: ImageIndex.create_or_open(copy, encoder, "model"),
        lambda: ImageIndex.rebuild(copy, encoder, "model"),
    ):
        with pytest.raises(IndexStoreError, match=says):
            attempt()
        assert (copy / "photos.db").read_bytes() == before


def test_a_step_of_the_schema_is_taken_by_a_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path)
    put(store, ["/p/1"], unit(1, DIM))
    store.finish()
    steps = {1: "", 2: "ALTER TABLE contents ADD COLUMN stars INTEGER"}
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 3)
    monkeypatch.setattr(schema, "OLDEST_READ", 3)
    monkeypatch.setattr(schema, "MIGRATIONS", steps)
    with pytest.raises(IndexStoreError, match="an earlier user-itr made it; run `user-itr index`"):
        store_of(tmp_path, create=False)
    assert len(store_of(tmp_path)) == 1
    assert len(store_of(tmp_path, create=False)) == 1
    connection = sqlite3.connect(tmp_path / "photos.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    assert connection.execute("SELECT stars FROM contents").fetchall() == [(None,)]
    connection.close()


def test_where_sqlite_has_no_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disks of other machines may have none: then nothing is made, and a sentence says so."""
    execute = sqlite3.connect

    class NoLog(sqlite3.Connection):
        def execute(self, statement: str, *values: object) -> sqlite3.Cursor:  # type: ignore[override]
            if "journal_mode" in statement:
                return super().execute("PRAGMA journal_mode")
            return super().execute(statement, *values)  # type: ignore[arg-type]

    monkeypatch.setattr(
        schema.sqlite3, "connect", lambda *a, **k: execute(*a, **{**k, "factory": NoLog})
    )
    with pytest.raises(IndexStoreError, match="write-ahead log"):
        store_of(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["photos.db-lock"]


def test_embeddings_are_kept_as_unit_vectors_of_half_precision(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    rows = unit(50, DIM)
    put(store, [f"/p/{n}" for n in range(50)], rows)
    with pytest.raises(ValueError, match="has shape"):
        put(store, ["/p/x"], unit(1, DIM + 1))
    assert len(store) == 50
    numbers, vectors = store._embeddings.some(np.arange(100))
    assert len(numbers) == 50
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-7)
    np.testing.assert_allclose(vectors, rows, atol=6e-4)
