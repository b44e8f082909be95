"""What is absent or unreadable is not taken for deleted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from colour_encoder import PALETTE, ColourEncoder, paint
from inspect_index import counts, files
from permissions import unprivileged

from user_itr.errors import DataError
from user_itr.search import file_state
from user_itr.search.index import ImageIndex
from user_itr.search.update import IndexReport


@pytest.fixture
def photos(place: Path) -> Path:
    """Eight photos: five in the root, three in `usb`, one of these in `usb/deep`."""
    for number, colour in enumerate(PALETTE):
        below = ("", "", "", "", "", "usb", "usb", "usb/deep")[number]
        paint(place / "photos" / below / f"{colour}.png", colour, (20 + number, 9))
    return place / "photos"


def kept(report: IndexReport) -> list[tuple[str, int, str]]:
    return [(str(one.folder), one.photos, one.reason) for one in report.kept]


def test_a_mount_below_the_root_goes_and_comes_back(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    index.update(photos, encoder)
    usb, elsewhere = photos / "usb", photos.with_name("elsewhere")
    usb.rename(elsewhere)
    report = index.update(photos, encoder)
    assert counts(report) == (0, 0, 5, 0)
    assert kept(report) == [(str(usb), 3, "is missing")]
    usb.mkdir()
    (photos / "red.png").unlink()
    report = index.update(photos, encoder)
    assert counts(report) == (0, 0, 4, 1)
    assert kept(report) == [(str(usb), 3, "is empty")]
    usb.rmdir()
    elsewhere.rename(usb)
    report = index.update(photos, encoder)
    assert (counts(report), kept(report)) == ((0, 0, 7, 0), [])


def test_what_is_absent_leaves_on_demand(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    index.update(photos, encoder)
    shutil.rmtree(photos / "usb")
    report = index.update(photos, encoder, allow_empty=True)
    assert (counts(report), kept(report)) == ((0, 0, 5, 3), [])


def test_the_last_photo_of_a_folder_stays(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    index.update(photos, encoder)
    [last] = (photos / "usb" / "deep").iterdir()
    last.unlink()
    assert kept(index.update(photos, encoder)) == [(str(last.parent), 1, "is empty")]
    (last.parent / "film.mp4").touch()  # the folder is in use
    assert counts(index.update(photos, encoder)) == (0, 0, 7, 1)


@pytest.mark.parametrize("mode", [0o444, 0o000])
def test_a_folder_that_may_not_be_entered(
    photos: Path, place: Path, encoder: ColourEncoder, mode: int
) -> None:
    with unprivileged():
        index = ImageIndex.create_or_open(place / "index", encoder, "model")
        index.update(photos, encoder)
    usb = photos / "usb"
    usb.chmod(mode)
    try:
        with unprivileged():
            report = index.update(photos, encoder)
            assert counts(report) == (0, 0, 5, 0)
            assert sum(one.photos for one in report.kept) == 3
            assert str(usb) in {str(path) for path, _ in report.skipped}
            assert all("Permission denied" in reason for _, reason in report.skipped)
            assert counts(index.update(photos, encoder, allow_empty=True)) == (0, 0, 5, 0)
    finally:
        usb.chmod(0o755)


def test_a_root_that_may_not_be_entered(photos: Path, place: Path, encoder: ColourEncoder) -> None:
    with unprivileged():
        index = ImageIndex.create_or_open(place / "index", encoder, "model")
        index.update(photos, encoder)
    photos.chmod(0o444)
    try:
        with unprivileged():
            report = index.update(photos, encoder)
    finally:
        photos.chmod(0o755)
    assert counts(report) == (0, 0, 0, 0)
    assert sum(one.photos for one in report.kept) == 8
    assert len(index) == 8


def test_a_file_that_may_not_be_read(photos: Path, place: Path, encoder: ColourEncoder) -> None:
    with unprivileged():
        index = ImageIndex.create_or_open(place / "index", encoder, "model")
        index.update(photos, encoder)
    red, new = photos / "red.png", paint(photos / "new.png", "blue", (99, 3))
    os.utime(red, (1e9, 1e9))
    for path in (red, new):
        path.chmod(0o000)
    with unprivileged():
        report = index.update(photos, encoder)
    assert counts(report) == (0, 0, 7, 0)
    assert [path for path, _ in report.skipped] == [new, red]
    assert str(red) in files(index)
    for path in (red, new):
        path.chmod(0o644)
    assert counts(index.update(photos, encoder)) == (1, 0, 8, 0)


def test_a_file_that_no_longer_decodes_leaves_and_is_told(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    index.update(photos, encoder)
    (photos / "red.png").write_bytes(b"no picture any more")
    report = index.update(photos, encoder)
    assert counts(report) == (0, 0, 7, 1)
    assert [path.name for path, _ in report.skipped] == ["red.png"]


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("left", ["empty", "missing"])
def test_a_root_that_goes_in_the_middle_of_a_run(
    photos: Path, index: ImageIndex, encoder: ColourEncoder, new: bool, left: str
) -> None:
    index.update(photos, encoder)
    for number, path in enumerate(sorted(photos.rglob("*.png"))):
        if new:
            paint(path, "red", (40 + number, 7))
        else:
            os.utime(path, (1e9, 1e9))

    def unplug(done: int, total: int) -> None:
        if not photos.with_name("unplugged").exists():
            photos.rename(photos.with_name("unplugged"))
            if left == "empty":
                photos.mkdir()

    before = files(index)
    report = index.update(photos, encoder, progress=unplug)
    assert counts(report) == (0, 0, 0, 0)
    assert files(index) == before
    assert kept(report) == [(str(photos), 8, f"is {left}")]
    why = f"is {left} since this run began; 8 photos of it could not be read."
    assert report.skipped == [(photos, why)]


def test_a_root_that_goes_before_rows_are_removed(
    photos: Path, index: ImageIndex, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_state, "RACY_NS", 0)  # nothing else is to be read
    index.update(photos, encoder)
    (photos / "red.png").unlink()  # which a walk tells for sure, were it not for what follows

    def unplug(done: int, total: int) -> None:
        if photos.exists():
            photos.rename(photos.with_name("unplugged"))

    report = index.update(photos, encoder, progress=unplug)
    assert report.removed == 0
    assert kept(report) == [(str(photos), 1, "is missing")]
    assert len(index) == 8


def test_a_dead_mount(
    photos: Path, index: ImageIndex, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.update(photos, encoder)
    shutil.rmtree(photos / "usb")
    (photos / "usb").mkdir()
    real = os.scandir

    def scandir(folder: str | int) -> object:
        if folder == str(photos / "usb"):
            raise OSError(107, "Transport endpoint is not connected", folder)
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    report = index.update(photos, encoder, allow_empty=True)
    assert counts(report) == (0, 0, 5, 0)
    reason = "cannot be listed (Transport endpoint is not connected)"
    assert kept(report) == [(str(photos / "usb"), 3, reason)]
    assert report.skipped == [(photos / "usb", f"{reason}; its 3 photos stay in the index.")]
    monkeypatch.undo()


@pytest.mark.parametrize("lose", [shutil.rmtree, lambda root: [shutil.rmtree(root), root.mkdir()]])
def test_a_lost_root_is_an_error_that_names_the_ways_out(
    photos: Path, index: ImageIndex, encoder: ColourEncoder, lose: Callable[[Path], object]
) -> None:
    index.update(photos, encoder)
    lose(photos)
    with pytest.raises(DataError, match=r"8 .*--allow-empty.*--forget .*photos"):
        index.update(photos, encoder)
    assert len(index) == 8


def test_photos_in_icloud_only_stay(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    index.update(photos, encoder)
    (photos / "red.png").rename(photos / ".red.png.icloud")
    report = index.update(photos, encoder)
    assert counts(report) == (0, 0, 7, 0)
    assert report.passed_over == {"photos that are in iCloud only": 1}
    assert len(index) == 8


def test_what_is_passed_over_now_leaves_and_is_counted(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    paint(photos / ".hidden" / "a.png", "red", (50, 2))
    assert index.update(photos, encoder, include_hidden=True).added == 9
    report = index.update(photos, encoder, exclude=["usb"])
    assert (report.removed, report.excluded) == (4, 4)
    assert report.kept == []
    assert report.passed_over == {"hidden files and folders": 1, "excluded by a pattern": 1}
    assert len(index) == 5


def test_a_raw_photograph_stays_without_its_decoder(
    photos: Path, index: ImageIndex, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from user_itr.search import walk

    paint(photos / "tiff.png", "red", (70, 3)).rename(photos / "tiff.dng")
    monkeypatch.setattr(walk, "raw_installed", lambda: True)
    assert index.update(photos, encoder).added == 9
    monkeypatch.setattr(walk, "raw_installed", lambda: False)
    assert counts(index.update(photos, encoder)) == (0, 0, 8, 0)
    assert len(index) == 9
