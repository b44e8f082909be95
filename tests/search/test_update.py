from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import PALETTE, ColourEncoder, StoppedEncoder, paint
from inspect_index import content, counts
from PIL import Image

from user_itr.errors import ConfigError, DataError, IndexStoreError
from user_itr.search.index import ImageIndex
from user_itr.search.update import encoding as encoding_module


def test_incremental_update(photos: Path, index: ImageIndex, encoder: ColourEncoder) -> None:
    index.update(photos, encoder)
    encoder.encoded = 0
    assert counts(index.update(photos, encoder)) == (0, 0, 8, 0)
    assert encoder.encoded == 0

    os.utime(photos / "red.png", ns=(1, 1_000_000_007))
    paint(photos / "blue.png", "yellow", (30, 20))
    (photos / "even" / "green.png").unlink()
    paint(photos / "new" / "black.png", "black")
    (photos / "even" / "white.png").rename(photos / "moved.png")
    report = index.update(photos, encoder)
    assert counts(report) == (1, 1, 5, 1)  # red was only touched, black is a copy
    assert (report.moved, report.encoded, encoder.encoded) == (1, 1, 1)
    files = {str(path) for path in photos.rglob("*.png")}
    assert set(content(index)) == files
    yellow = index.search(encoder.encode_text(["yellow"])[0], k=2)
    assert {hit.path.name for hit in yellow} == {"yellow.png", "blue.png"}
    assert {(hit.width, hit.height) for hit in yellow} == {(12, 8), (30, 20)}
    assert counts(index.update(photos, encoder)) == (0, 0, 8, 0)


def test_an_incremental_index_equals_a_fresh_one(
    photos: Path, tmp_path: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    index.update(photos, encoder, batch_size=3)
    paint(photos / "red.png", "green")
    for name in ("green", "yellow"):
        (photos / "even" / f"{name}.png").unlink()
    index.update(photos, encoder, batch_size=2, workers=1)
    fresh = ImageIndex.create_or_open(tmp_path / "fresh", encoder, "model")
    fresh.update(photos, encoder)
    assert content(index) == content(fresh)


def test_files_that_do_not_decode_are_reported_and_leave(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    (photos / "broken.jpg").write_bytes(b"\xff\xd8 not really")
    (photos / "empty.png").write_bytes(b"")
    report = index.update(photos, encoder, batch_size=2)
    assert counts(report) == (8, 0, 0, 0)
    assert [path.name for path, _ in report.skipped] == ["broken.jpg", "empty.png"]
    whole = (photos / "red.png").read_bytes()
    (photos / "red.png").write_bytes(whole[: len(whole) // 2])
    report = index.update(photos, encoder)
    assert counts(report) == (0, 0, 7, 1)
    assert len(report.skipped) == 3
    assert str(photos / "red.png") not in content(index)
    (photos / "red.png").write_bytes(whole)
    assert counts(index.update(photos, encoder)) == (1, 0, 7, 0)


def test_photos_that_the_model_refuses_are_reported(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    class Picky(ColourEncoder):
        def preprocess(self, image: Image.Image) -> np.ndarray:
            if image.width > 9 * image.height:
                raise DataError("the image is too long; crop it.")
            return super().preprocess(image)

    long = [paint(photos / f"{name}.png", "red", (100, 2)) for name in "ab"]
    report = index.update(photos, Picky(), batch_size=6)
    assert counts(report) == (8, 0, 0, 0)
    assert report.skipped == [(path, "the image is too long; crop it.") for path in long]
    assert set(content(index)) == {str(p) for p in photos.rglob("*.png")} - {str(p) for p in long}


def test_odd_names(tmp_path: Path, index: ImageIndex, encoder: ColourEncoder) -> None:
    folder = tmp_path / 'it\'s 100% _ "odd"' / "日本語"
    names = ["a'b.png", "' OR 'a'='a.png", "new\nline.png", "back\\slash.png", "🐕 é.png"]
    for name, colour in zip(names, PALETTE, strict=False):
        paint(folder / name, colour)
    index.update(folder.parent, encoder)
    assert index.search(encoder.encode_text(["green"])[0], 1)[0].path == folder / names[1]
    (folder / names[1]).unlink()
    assert counts(index.update(folder.parent, encoder)) == (0, 0, 4, 1)
    paint(folder / names[0], "purple", (3, 3))
    assert counts(index.update(folder.parent, encoder)) == (0, 1, 3, 0)
    assert set(content(index)) == {str(folder / name) for name in names if name != names[1]}


def test_two_folders_share_an_index(
    tmp_path: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    for name in ("pics", "pics2", "pics/sub"):
        paint(tmp_path / name / "red.png", "red")
    assert counts(index.update(tmp_path / "pics2", encoder)) == (1, 0, 0, 0)
    assert counts(index.update(tmp_path / "pics" / "sub", encoder)) == (1, 0, 0, 0)
    assert counts(index.update(tmp_path / "pics", encoder)) == (1, 0, 1, 0)
    (tmp_path / "pics" / "red.png").unlink()
    (tmp_path / "pics2" / "red.png").rename(tmp_path / "pics2" / "b.png")
    assert encoder.encoded == 1  # all three are the same picture
    assert counts(index.update(tmp_path / "pics", encoder)) == (0, 0, 1, 1)
    assert len(index) == 2
    assert index.roots() == {tmp_path / "pics2": 1, tmp_path / "pics" / "sub": 1}


def test_the_same_folder_by_another_name(
    photos: Path,
    tmp_path: Path,
    index: ImageIndex,
    encoder: ColourEncoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index.update(photos, encoder)
    (tmp_path / "link").symlink_to(photos)
    monkeypatch.chdir(photos / "even")
    for name in (tmp_path / "link", Path(".."), str(photos) + "/"):
        assert counts(index.update(name, encoder)) == (0, 0, 8, 0)


@pytest.mark.parametrize("lost", ["missing", "empty"])
def test_a_lost_folder_is_not_all_deleted(
    photos: Path, index: ImageIndex, encoder: ColourEncoder, tmp_path: Path, lost: str
) -> None:
    paint(tmp_path / "other" / "red.png", "red")
    index.update(tmp_path / "other", encoder)
    index.update(photos, encoder)
    shutil.rmtree(photos)
    if lost == "empty":
        photos.mkdir()
    with pytest.raises(DataError, match=r"photos: (no such folder|holds no images)"):
        index.update(photos, encoder)
    assert len(index) == 9
    assert counts(index.update(photos, encoder, allow_empty=True)) == (0, 0, 0, 8)
    assert [Path(path) for path in content(index)] == [tmp_path / "other" / "red.png"]
    if lost == "missing":
        with pytest.raises(DataError, match="no such folder"):
            index.update(photos, encoder, allow_empty=True)
    else:
        assert counts(index.update(photos, encoder)) == (0, 0, 0, 0)


def test_photos_of_an_unlistable_folder_stay(
    photos: Path, index: ImageIndex, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.update(photos, encoder)
    (photos / "red.png").unlink()
    real = os.scandir

    def refusing(folder: str | os.PathLike[str] = ".") -> object:
        if Path(folder).name == "even":
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(os, "scandir", refusing)  # chmod does not stop root
    report = index.update(photos, encoder)
    assert counts(report) == (0, 0, 3, 1)
    assert [path for path, _ in report.skipped] == [photos / "even"]
    assert len(index) == 7


@pytest.mark.parametrize("error", [KeyboardInterrupt(), IndexStoreError("stop")])
def test_an_interrupted_run_goes_on(
    tmp_path: Path, index: ImageIndex, encoder: ColourEncoder, error: BaseException
) -> None:
    folder = tmp_path / "many"
    for number in range(40):
        paint(folder / f"{number:02}.png", list(PALETTE)[number % 8], (number + 1, 4))
    with pytest.raises(type(error)):
        index.update(folder, StoppedEncoder(5, error), batch_size=4)
    assert len(index) == 20
    report = index.update(folder, encoder, batch_size=4)
    assert counts(report) == (20, 0, 20, 0)
    whole = ImageIndex.create_or_open(tmp_path / "whole", encoder, "model")
    whole.update(folder, encoder, batch_size=4)
    assert content(index) == content(whole)
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


KILLED = """
import os, sys
from pathlib import Path
from colour_encoder import ColourEncoder
from user_itr.search.index import ImageIndex
from user_itr.search.update import encoding

class Killed(ColourEncoder):
    batches = 0
    def encode_pixels(self, pixels):
        if self.batches == 5:
            os._exit(9)
        self.batches += 1
        return super().encode_pixels(pixels)

encoding.CHUNK_ROWS = 8
encoder = Killed()
ImageIndex.create_or_open(sys.argv[1], encoder, "model").update(sys.argv[2], encoder, batch_size=4)
"""


def test_a_killed_run_loses_at_most_one_chunk(tmp_path: Path, encoder: ColourEncoder) -> None:
    folder = tmp_path / "many"
    for number in range(40):
        paint(folder / f"{number:02}.png", list(PALETTE)[number % 8], (number + 1, 4))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "index"), str(folder)],
        cwd=Path(__file__).parent,
        check=False,
    )
    assert killed.returncode == 9
    index = ImageIndex.create_or_open(tmp_path / "index", encoder, "model")
    assert len(index) == 16  # 20 were encoded, in chunks of 8
    assert counts(index.update(folder, encoder)) == (24, 0, 16, 0)
    whole = ImageIndex.create_or_open(tmp_path / "whole", encoder, "model")
    whole.update(folder, encoder)
    assert content(index) == content(whole)


def test_a_slow_run_writes_by_the_clock(
    photos: Path, index: ImageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []

    class Watching(ColourEncoder):
        def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
            lengths.append(len(index))
            return super().encode_pixels(pixels)

    monkeypatch.setattr(encoding_module, "CHUNK_SECONDS", 0.0)
    index.update(photos, Watching(), batch_size=3)
    assert lengths == [0, 3, 6]


def test_a_second_writer_is_refused(photos: Path, index: ImageIndex) -> None:
    class Nested(ColourEncoder):
        def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
            with pytest.raises(IndexStoreError, match="another process is writing"):
                ImageIndex.open(index.path).update(photos, ColourEncoder())
            return super().encode_pixels(pixels)

    assert counts(index.update(photos, Nested())) == (8, 0, 0, 0)


def test_progress_and_bad_settings(photos: Path, index: ImageIndex, encoder: ColourEncoder) -> None:
    (photos / "broken.jpg").write_bytes(b"")
    seen: list[tuple[int, int]] = []
    index.update(photos, encoder, batch_size=4, progress=lambda *step: seen.append(step))
    assert seen == [(0, 9), (4, 9), (8, 9), (9, 9)]
    for name in ("batch_size", "workers"):
        with pytest.raises(ConfigError, match=f"{name} is 0"):
            index.update(photos, encoder, **{name: 0})


def test_an_embedding_that_is_not_finite_is_refused(photos: Path, index: ImageIndex) -> None:
    class Sick(ColourEncoder):
        def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
            return np.nan * super().encode_pixels(pixels)

    with pytest.raises(IndexStoreError, match="not finite"):
        index.update(photos, Sick())
    assert len(index) == 0
