"""Processes that die, come twice, or read what is being changed: the index is none the worse."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace as replace_field
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import PALETTE, ColourEncoder, paint
from damage import faults
from inspect_index import content, counts, stored
from killable_index import (
    check_left,
    copy,
    fresh,
    kill_after_lines,
    make_photos,
    running,
    stop,
    wait_for_lines,
)
from PIL import Image

from user_itr.errors import IndexStoreError
from user_itr.search import photos as photos_module
from user_itr.search.found import photo_id
from user_itr.search.index import ImageIndex
from user_itr.search.manifest import PENDING, Manifest
from user_itr.search.sentences import SentenceStore
from user_itr.search.table import write_lock

sys.path.append(str(Path(__file__).parents[1] / "stress"))
from processes import descendants, still_there

linux = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads /proc")


@linux
def test_killed_outright_it_goes_on_to_what_was_never_killed(tmp_path: Path) -> None:
    photos, where = tmp_path / "photos", tmp_path / "index"
    make_photos(photos, range(150))
    for lines in (0, 7, 5):  # before it has opened the index, and with chunks written
        with running(where, photos) as process:
            if lines:
                assert process.stdout is not None
                assert process.stdout.readline() == "opened\n"
            workers = descendants(process.pid)
            kill_after_lines(process, lines)
            workers |= descendants(process.pid)
            assert process.returncode == -signal.SIGKILL
        assert not still_there(workers)
        if Manifest.exists(where):
            check_left(where, photos)
    with running(where, photos) as process:
        printed = process.communicate()[0]
        assert process.returncode == 0
    assert 0 < int(printed.split("ended with ")[1].split()[0]) < 150
    assert stored(ImageIndex.open(where)) == stored(fresh(tmp_path / "whole", photos))


@linux
def test_copies_in_the_middle_of_a_run_are_whole(tmp_path: Path) -> None:
    """The writer is stopped, as the power going stops it; with the log of the copy and without."""
    photos, where = tmp_path / "photos", tmp_path / "index"
    make_photos(photos, range(150))
    copies = []
    with running(where, photos) as process:
        for moment in range(6):
            if moment < 5:
                wait_for_lines(process, 1 + 3 * (moment > 0))
                stop(process)
            else:
                process.communicate()
            for log in (True, False):
                copies.append(copy(where, tmp_path / f"copy-{moment}-{log}", log=log))
            if moment < 5:
                process.send_signal(signal.SIGCONT)
    whole = stored(fresh(tmp_path / "whole", photos))
    for place in copies:
        check_left(place, photos)
    for place in copies[::3]:
        index = ImageIndex.create_or_open(place, ColourEncoder(), "model")
        index.update(photos, ColourEncoder())
        assert stored(index) == whole
        assert faults(place / "photos.db") == []
    assert len({len(ImageIndex.open(place)) for place in copies}) > 2, "they are of several moments"


@linux
def test_two_that_start_at_once_leave_one_index(tmp_path: Path) -> None:
    photos, where = tmp_path / "photos", tmp_path / "index"
    make_photos(photos, range(40))
    with running(where, photos) as one, running(where, photos) as other:
        said = [process.communicate()[1] for process in (one, other)]
    codes = [one.returncode, other.returncode]
    assert 0 in codes
    for code, sentence in zip(codes, said, strict=True):
        assert code == 0 or (code == 2 and "another process is writing to the index" in sentence)
    assert stored(ImageIndex.open(where)) == stored(fresh(tmp_path / "whole", photos))


def test_an_index_that_is_being_made_is_not_made_again_by_another_model(tmp_path: Path) -> None:
    where = tmp_path / "index"
    where.mkdir()
    with write_lock(where):
        with pytest.raises(IndexStoreError, match="another process is writing"):
            ImageIndex.create_or_open(where, ColourEncoder(), "model")
        assert not Manifest.exists(where)
    ImageIndex.create_or_open(where, ColourEncoder(), "model")
    with write_lock(where):  # nothing to write: it may be opened
        ImageIndex.create_or_open(where, ColourEncoder(), "model")
        with pytest.raises(IndexStoreError, match="another process is writing"):
            ImageIndex.create_or_open(where, ColourEncoder(), "renamed")
    with pytest.raises(IndexStoreError, match="made by model"):
        ImageIndex.create_or_open(where, ColourEncoder("other"), "model")


def test_a_rebuild_by_another_process_ends_older_writers(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    index.update(photos, encoder)
    first = ImageIndex.rebuild(index.path, encoder, "model")
    other = ColourEncoder("other")
    second = ImageIndex.rebuild(index.path, other, "model")
    with pytest.raises(IndexStoreError, match="was rebuilt by another process"):
        first.update(photos, encoder)
    with pytest.raises(IndexStoreError, match="was rebuilt by another process"):
        first.commit()
    second.update(photos, other)
    second.commit()
    with pytest.raises(IndexStoreError, match="was made again by another model"):
        index.update(photos, encoder)
    with pytest.raises(IndexStoreError, match="was rebuilt by another process"):
        first.update(photos, encoder)
    assert Manifest.read(index.path) == second.manifest
    assert len(ImageIndex.open(index.path)) == 8
    assert not (index.path / PENDING).exists()


def test_a_rebuild_has_its_sentences_before_it_serves(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    index.update(photos, encoder)
    SentenceStore(index).replace(["a red thing"], encoder)
    other = ColourEncoder("other")
    rebuilt = ImageIndex.rebuild(index.path, other, "model")
    rebuilt.update(photos, other)
    SentenceStore(rebuilt).replace(["a red thing"], other)
    assert stored(ImageIndex.open(index.path)) == stored(index)
    rebuilt.commit()
    opened = ImageIndex.open(index.path)
    assert SentenceStore(opened).texts() == ["a red thing"]
    SentenceStore(opened).replace(["another"], other)
    assert SentenceStore(rebuilt).texts() == ["another"]


def test_a_rebuild_that_was_killed_before_it_had_tables(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    index.update(photos, encoder)
    wanted = replace_field(index.manifest, generation=2)
    wanted.write(index.path, PENDING)
    rebuilt = ImageIndex.rebuild(index.path, encoder, "model")
    assert counts(rebuilt.update(photos, encoder)) == (8, 0, 0, 0)
    rebuilt.commit()
    assert stored(ImageIndex.open(index.path)) == stored(rebuilt)
    assert faults(index.path / "photos.db") == []


def test_an_index_that_was_killed_before_it_had_a_file(
    photos: Path, encoder: ColourEncoder, index: ImageIndex, tmp_path: Path
) -> None:
    index.manifest.write(tmp_path / "cut")
    (tmp_path / "cut" / ".photos.db.77.partial").write_bytes(b"SQLite")
    with pytest.raises(IndexStoreError, match="cannot be opened"):
        ImageIndex.open(tmp_path / "cut")
    cut = ImageIndex.create_or_open(tmp_path / "cut", encoder, "model")
    assert counts(cut.update(photos, encoder)) == (8, 0, 0, 0)


def overwrite(path: Path) -> None:
    paint(path, "yellow", (30, 20))


def replace(path: Path) -> None:
    paint(path.with_name("new.png"), "yellow", (30, 20)).replace(path)


def truncate(path: Path) -> None:
    with path.open("rb+") as file:
        file.truncate(20)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("change", [overwrite, replace, truncate, Path.unlink])
def test_a_photo_that_changes_while_it_is_read(
    photos: Path,
    index: ImageIndex,
    encoder: ColourEncoder,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    moment: str,
) -> None:
    """What is stored are size, hash and embedding of the same bytes; the next run has the rest."""
    red = photos / "red.png"
    before = red.read_bytes()
    read = photos_module._read

    def disturbed(path: Path) -> object:
        if path != red:
            return read(path)
        if moment == "before":
            change(path)
        found = read(path)
        if moment == "after":
            change(path)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(photos_module, "_read", disturbed)
        index.update(photos, encoder)
    found = index.facts(photo_id(str(red)))
    [row] = [row for row in index.ask(lambda s: list(s.files())) if row.path == str(red)] or [None]
    if moment == "after":
        assert row is not None
        assert row.hash == photos_module.content_hash(before)
        assert row.state.size == len(before)
    elif change in (overwrite, replace):
        assert row is not None
        assert row.hash == photos_module.content_hash(red.read_bytes())
        assert found is not None
        assert (found.width, found.height) == (30, 20)
    else:
        assert row is found is None
    index.update(photos, encoder)
    assert content(index) == content(fresh(index.path.with_name("fresh"), photos))


def test_photos_that_change_all_the_time(tmp_path: Path, encoder: ColourEncoder) -> None:
    """While another thread overwrites, moves and removes photos, an update ends all the same."""
    folder, stop = tmp_path / "photos", threading.Event()
    make_photos(folder, range(60))

    def disturb() -> None:
        dice = np.random.default_rng(0)
        for number in range(10_000):
            files = sorted(folder.rglob("*.jpg"))
            path = files[dice.integers(len(files))]
            what = number % 4
            if what == 0:
                Image.new("RGB", (8 + number % 90, 8), tuple(dice.integers(0, 256, 3))).save(path)
            elif what == 1:
                path.rename(path.with_name(f"moved-{number}.jpg"))
            elif what == 2:
                with path.open("rb+") as file:
                    file.truncate(len(PALETTE) * 10)
            else:
                path.unlink()
                make_photos(folder, range(number + 100, number + 101))
            if stop.wait(0.001):
                return

    index = ImageIndex.create_or_open(tmp_path / "index", encoder, "model")
    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(4):
            index.update(folder, encoder, batch_size=8)
    finally:
        stop.set()
        thread.join()
    index.update(folder, encoder)
    assert content(index) == content(fresh(tmp_path / "fresh", folder))
    assert os.listdir(folder)  # noqa: PTH208
