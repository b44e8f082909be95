"""Photos that moved keep their rows, and none is left behind."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import PALETTE, ColourEncoder, paint
from inspect_index import counts, files

from user_itr.errors import IndexStoreError
from user_itr.search.found import photo_id
from user_itr.search.index import ImageIndex
from user_itr.search.store.base import FileRow, FileState
from user_itr.search.update.placing import match_moves


@pytest.fixture
def index(tmp_path: Path, encoder: ColourEncoder, photos: Path) -> ImageIndex:
    index = ImageIndex.create_or_open(tmp_path / "index", encoder, "model")
    index.update(photos, encoder)
    encoder.encoded = 0
    return index


def test_a_renamed_root(index: ImageIndex, photos: Path, encoder: ColourEncoder) -> None:
    fotos = photos.rename(photos.with_name("Fotos"))
    report = index.update(fotos, encoder)
    assert (report.moved, report.encoded, report.kept) == (8, 0, [])
    assert counts(report) == (0, 0, 0, 0)
    assert index.roots() == {fotos: 8}
    assert set(files(index)) == {str(path) for path in fotos.rglob("*.png")}


def test_a_renamed_root_of_which_photos_changed_and_went(
    index: ImageIndex, photos: Path, encoder: ColourEncoder
) -> None:
    fotos = photos.rename(photos.with_name("Fotos"))
    paint(fotos / "red.png", "red", (30, 31))
    (fotos / "even" / "green.png").unlink()
    report = index.update(fotos, encoder)
    assert (report.moved, report.added, report.removed, report.encoded) == (6, 1, 2, 1)
    assert set(files(index)) == {str(path) for path in fotos.rglob("*.png")}


def test_copies_of_what_is_on_an_unplugged_disk(
    index: ImageIndex, photos: Path, encoder: ColourEncoder
) -> None:
    shutil.copytree(photos, photos.with_name("copies"))
    (photos.with_name("copies") / "red.png").unlink()
    photos.rename(photos.with_name(".unplugged"))
    report = index.update(photos.with_name("copies"), encoder)
    assert (report.moved, report.removed) == (7, 0)
    assert [(one.folder, one.photos) for one in report.kept] == [(photos, 1)]
    photos.with_name(".unplugged").rename(photos)
    assert counts(index.update(photos, encoder)) == (7, 0, 1, 0)
    assert encoder.encoded == 0


def test_a_mount_in_a_renamed_root_stays(
    index: ImageIndex, photos: Path, encoder: ColourEncoder
) -> None:
    paint(photos / "usb" / "a.png", "red", (77, 7))
    index.update(photos, encoder)
    (photos / "usb").rename(photos.with_name(".unplugged"))
    (photos / "usb").mkdir()
    fotos = photos.rename(photos.with_name("Fotos"))
    report = index.update(fotos, encoder)
    assert report.moved == 8
    assert [(one.folder, one.photos) for one in report.kept] == [(photos, 1)]
    (fotos / "usb").rmdir()
    photos.with_name(".unplugged").rename(fotos / "usb")
    report = index.update(fotos, encoder)
    assert (report.moved, report.encoded, report.kept) == (1, 0, [])
    assert set(files(index)) == {str(path) for path in fotos.rglob("*.png")}


def test_copies_are_added_and_encoded_once(
    index: ImageIndex, photos: Path, encoder: ColourEncoder
) -> None:
    shutil.copy(photos / "red.png", photos / "copy.png")
    paint(photos / "new.png", "blue", (50, 40))
    for number in range(5):
        shutil.copy(photos / "new.png", photos / f"new-{number}.png")
    report = index.update(photos, encoder)
    assert (report.added, report.moved, report.encoded, encoder.encoded) == (7, 0, 1, 1)


def test_between_roots(index: ImageIndex, photos: Path, encoder: ColourEncoder) -> None:
    other = photos.with_name("other")
    paint(other / "a.png", "red", (60, 3))
    index.update(other, encoder)
    (photos / "red.png").rename(other / "red.png")
    report = index.update(other, encoder)
    assert (counts(report), report.moved) == ((0, 0, 1, 0), 1)
    assert index.roots() == {other: 2, photos: 7}
    assert counts(index.update(photos, encoder)) == (0, 0, 7, 0)


def test_a_name_of_which_only_the_case_changed(
    index: ImageIndex, photos: Path, encoder: ColourEncoder
) -> None:
    """On a disk where case does not count, a photo answers to the name that it had."""
    fotos = photos.rename(photos.with_name("Photos"))
    photos.symlink_to(fotos)
    report = index.update(fotos, encoder)
    assert (report.moved, counts(report)) == (8, (0, 0, 0, 0))
    assert set(files(index)) == {str(path) for path in fotos.rglob("*.png")}


def test_a_photo_that_changes_between_its_two_readings(
    index: ImageIndex, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (paint(photos / f"{name}.png", "blue", (50, 40)) for name in ("a", "b"))
    store = index.ask(lambda store: store)
    known = store.known

    def meddling(hashes: set[str]) -> set[str]:
        paint(first, "red", (60, 30))
        return known(hashes)

    monkeypatch.setattr(store, "known", meddling)
    report = index.update(photos, encoder)
    assert (report.added, report.encoded) == (2, 2)
    for path in (first, second):
        content = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
        assert files(index)[str(path)].hash == content
        wanted = encoder.encode_images([path])[0]
        assert np.allclose(index.embedding_of(photo_id(str(path))), wanted, atol=1e-3)


def test_copies_of_what_does_not_decode_are_all_told(
    index: ImageIndex, photos: Path, encoder: ColourEncoder
) -> None:
    for name in "abc":
        (photos / f"{name}.png").write_bytes(b"no picture")
    report = index.update(photos, encoder, batch_size=2)
    assert [path.name for path, _ in report.skipped] == ["a.png", "b.png", "c.png"]


def row(path: str, root: str = "/new", hash: str = "aa", inode: int = 0) -> FileRow:
    return FileRow(path, root, FileState(1, 1, 1, inode), hash)


def test_which_file_takes_which_row() -> None:
    old = [
        row("/old/a/x.jpg", "/old"),
        row("/old/b/x.jpg", "/old"),
        row("/old/y.jpg", "/old"),
        row("/old/z.jpg", "/old", inode=9),
        row("/old/z.jpg", "/old", hash="bb"),
    ]
    new = [
        row("/new/b/x.jpg"),
        row("/new/other.jpg"),
        row("/new/c/y.jpg"),
        row("/new/w.jpg", inode=9),
        row("/new/one-more.jpg"),
        row("/new/unknown.jpg", hash="cc"),
    ]
    assert {path: match.path for path, match in match_moves(new, old)} == {
        "/new/w.jpg": "/old/z.jpg",
        "/new/b/x.jpg": "/old/b/x.jpg",
        "/new/c/y.jpg": "/old/y.jpg",
        "/new/other.jpg": "/old/a/x.jpg",
    }


def test_forgetting(index: ImageIndex, photos: Path, tmp_path: Path) -> None:
    assert index.forget(photos / "red.png") == 1
    shutil.rmtree(photos / "even")
    assert index.forget(photos / "even") == 4
    with pytest.raises(IndexStoreError, match=r"phots: .*no photos from there.*nearest.*photos"):
        index.forget(photos.with_name("phots"))
    assert index.forget(str(photos)) == 3
    with pytest.raises(IndexStoreError, match="no photos from there, nor any others"):
        index.forget(photos)
    assert index.roots() == {}


def test_forgetting_another_form_of_a_name(
    tmp_path: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    paint(tmp_path / "more" / "E\u0301te\u0301" / "a.png", "red", (80, 8))
    index.update(tmp_path / "more", encoder)
    shutil.rmtree(tmp_path / "more")
    assert index.forget(tmp_path / "more" / "\u00c9t\u00e9") == 1


def test_one_photo(tmp_path: Path, photos: Path, encoder: ColourEncoder) -> None:
    index = ImageIndex.create_or_open(tmp_path / "single", encoder, "model")
    report = index.update(photos / "even" / "green.png", encoder)
    assert (counts(report), report.folder) == ((1, 0, 0, 0), photos / "even" / "green.png")
    assert index.roots() == {photos / "even": 1}
    some = [photos / "red.png", photos / "blue.png"]
    assert counts(index.update(some, encoder)) == (2, 0, 0, 0)
    assert index.roots() == {photos: 2, photos / "even": 1}
    assert counts(index.update([*some, photos / "even" / "white.png"], encoder)) == (1, 0, 2, 0)
    assert counts(index.update(photos, encoder)) == (4, 0, 4, 0)
    assert encoder.encoded == len(PALETTE)


def test_verify_finds_what_kept_its_states(
    index: ImageIndex, photos: Path, encoder: ColourEncoder
) -> None:
    """As where a file system tells nothing of a change: the row has the state of other bytes."""
    paint(photos / "red.png", "white")
    index.update(photos, encoder)
    before = files(index)[str(photos / "blue.png")]
    wrong = before._replace(hash=files(index)[str(photos / "red.png")].hash)
    for path, stored in files(index).items():
        status = Path(path).stat()
        state = FileState(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        one = wrong if path == wrong.path else stored
        index.ask(lambda store, one=one, state=state: store.write([one._replace(state=state)]))
    encoder.encoded = 0
    report = index.update(photos, encoder)
    assert (counts(report), report.differed) == ((0, 0, 8, 0), 0)
    report = index.update(photos, encoder, verify=True)
    assert (counts(report), report.differed) == ((0, 1, 7, 0), 1)
    assert files(index)[str(photos / "blue.png")].hash == before.hash


def test_what_moves_to_the_next_folder_of_a_run_is_not_encoded_again(
    tmp_path: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    for number, colour in enumerate(("red", "green", "blue")):
        paint(tmp_path / "one" / f"{number}.png", colour, (30, 20))
    paint(tmp_path / "two" / "white.png", "white", (30, 20))
    for folder in ("one", "two"):
        index.update(tmp_path / folder, encoder)
    (tmp_path / "one" / "0.png").rename(tmp_path / "two" / "0.png")
    encoder.encoded = 0
    left = index.update(tmp_path / "one", encoder, more=True)
    came = index.update(tmp_path / "two", encoder)
    assert (left.removed, came.added, encoder.encoded) == (1, 1, 0)
    assert {str(tmp_path / "two" / "0.png"), str(tmp_path / "one" / "1.png")} <= files(index).keys()
    assert str(tmp_path / "one" / "0.png") not in files(index)
