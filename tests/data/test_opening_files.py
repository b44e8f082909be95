"""Files that are opened while others change the names that lead to them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from user_itr.data.reading import OutsideError, open_file, open_within
from user_itr.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos" / "day").mkdir(parents=True)
    (tmp_path / "photos" / "day" / "one.jpg").write_bytes(b"one")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "one.jpg").write_bytes(b"secret")
    return tmp_path / "photos"


def test_a_file_of_the_folder(folder: Path) -> None:
    (folder / "link.jpg").symlink_to(folder / "day" / "one.jpg")
    for name in ("day/one.jpg", "link.jpg"):
        with open_within(folder / name, folder) as file:
            assert file.read() == b"one"


def test_a_folder_that_is_a_link_itself(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "named").symlink_to(folder)
    with open_within(tmp_path / "named" / "day" / "one.jpg", tmp_path / "named") as file:
        assert file.read() == b"one"


def test_links_out_of_the_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "file.jpg").symlink_to(tmp_path / "secret" / "one.jpg")
    (folder / "elsewhere").symlink_to(tmp_path / "secret")
    for name in ("file.jpg", "elsewhere/one.jpg", "../secret/one.jpg"):
        with pytest.raises(OutsideError, match="link out of the folder"):
            open_within(folder / name, folder)


def test_no_file(folder: Path) -> None:
    (folder / "circle.jpg").symlink_to(folder / "circle.jpg")
    for name in ("none.jpg", "day/one.jpg/more", "circle.jpg", "x" * 300, "a\0b"):
        with pytest.raises((OSError, DataError)):
            open_within(folder / name, folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_pipes_and_folders_are_refused_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    for name in ("pipe.jpg", "day"):
        with pytest.raises(DataError, match="no regular file"):
            open_within(folder / name, folder)
        with pytest.raises(DataError, match="no regular file"):
            open_file(folder / name)


@pytest.mark.parametrize("swapped", ["day/one.jpg", "day"])
def test_what_is_swapped_with_a_link_meanwhile_is_never_opened(
    folder: Path, tmp_path: Path, swapped: str
) -> None:
    """The file, or a folder above it, is a link to the secret half of the time."""
    target = folder / swapped
    secret = tmp_path / "secret" / "one.jpg" if swapped != "day" else tmp_path / "secret"
    link = tmp_path / "link"
    kept = tmp_path / "kept"
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            target.rename(kept)
            link.symlink_to(secret)
            link.rename(target)
            target.unlink()
            kept.rename(target)

    attacker = threading.Thread(target=swap)
    attacker.start()
    read = []
    try:
        while read.count(b"one") < 200:
            try:
                with open_within(folder / "day" / "one.jpg", folder) as file:
                    read.append(file.read())
            except (OSError, DataError):
                read.append(b"")
            assert read[-1] != b"secret"
    finally:
        ended.set()
        attacker.join()


def test_where_folders_cannot_be_walked_by_descriptors(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows."""
    monkeypatch.setattr(os, "supports_dir_fd", set())
    with open_within(folder / "day" / "one.jpg", folder) as file:
        assert file.read() == b"one"
    (folder / "file.jpg").symlink_to(tmp_path / "secret" / "one.jpg")
    with pytest.raises(OutsideError):
        open_within(folder / "file.jpg", folder)
