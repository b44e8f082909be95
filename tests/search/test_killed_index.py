"""Processes that die, come twice, or read what is being changed: the index is none the worse."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import lancedb
import numpy as np
import pytest
from colour_encoder import PALETTE, ColourEncoder, paint
from inspect_index import content, counts
from killable_index import kill_after_lines, make_photos, rows, running
from PIL import Image

from user_itr.errors import IndexStoreError
from user_itr.search import photos as photos_module
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
            stored = rows(ImageIndex.open(where))["path"].to_pylist()
            assert len(stored) == len(set(stored))
    with running(where, photos) as process:
        printed = process.communicate()[0]
        assert process.returncode == 0
    assert 0 < int(printed.split("ended with ")[1].split()[0]) < 150
    whole = ImageIndex.create_or_open(tmp_path / "whole", ColourEncoder(), "model")
    whole.update(photos, ColourEncoder())
    assert rows(ImageIndex.open(where)).equals(rows(whole))
    assert len(whole) == 150


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
    whole = ImageIndex.create_or_open(tmp_path / "whole", ColourEncoder(), "model")
    whole.update(photos, ColourEncoder())
    assert rows(ImageIndex.open(where)).equals(rows(whole))


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
    SentenceStore(index.path).replace(["a red thing"], encoder)
    other = ColourEncoder("other")
    rebuilt = ImageIndex.rebuild(index.path, other, "model")
    rebuilt.update(photos, other)
    SentenceStore(index.path, rebuilt.manifest).replace(["a red thing"], other)
    assert SentenceStore(index.path).manifest == index.manifest
    rebuilt.commit()
    assert SentenceStore(index.path).texts() == ["a red thing"]
    SentenceStore(index.path).replace(["another"], other)


def test_tables_without_a_first_version(
    photos: Path, index: ImageIndex, encoder: ColourEncoder, tmp_path: Path
) -> None:
    """What a kill leaves between the making of a table's folder and its first version."""
    for name in ("photos-1", "sentences-1"):
        for part in ("data", "_versions"):
            (tmp_path / "cut" / f"{name}.lance" / part).mkdir(parents=True)
    index.manifest.write(tmp_path / "cut")
    cut = ImageIndex.create_or_open(tmp_path / "cut", encoder, "model")
    assert counts(cut.update(photos, encoder)) == (8, 0, 0, 0)
    sentences = SentenceStore(cut.path)
    assert sentences.texts() == []
    assert sentences.describe(np.ones(encoder.dim)) == []
    sentences.replace(["a red thing"], encoder)
    assert sentences.texts() == ["a red thing"]
    assert lancedb.connect(cut.path).open_table("sentences-1").count_rows() == 1


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
    stored = {row["path"]: row for row in rows(index).to_pylist()}
    assert len(stored) == len(rows(index))
    if moment == "after":
        assert stored[str(red)]["hash"] == photos_module.content_hash(before)
        assert stored[str(red)]["size"] == len(before)
    elif change in (overwrite, replace):
        assert stored[str(red)]["hash"] == photos_module.content_hash(red.read_bytes())
        assert (stored[str(red)]["width"], stored[str(red)]["height"]) == (30, 20)
    else:
        assert str(red) not in stored
    index.update(photos, encoder)
    fresh = ImageIndex.create_or_open(index.path.with_name("fresh"), encoder, "model")
    fresh.update(photos, encoder)
    assert content(index) == content(fresh)


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
    fresh = ImageIndex.create_or_open(tmp_path / "fresh", encoder, "model")
    fresh.update(folder, encoder)
    assert content(index) == content(fresh)
    assert os.listdir(folder)  # noqa: PTH208
