from __future__ import annotations

import ctypes
import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import PALETTE, ColourEncoder, paint
from PIL import ExifTags, Image

from user_itr.data import reading
from user_itr.errors import DataError
from user_itr.search.decoding import CRASHED, decode_ahead
from user_itr.search.index import ImageIndex
from user_itr.search.photos import load_photo

SIZE = 8


@dataclass(frozen=True)
class Fragile:
    """Crashes its process, as a broken decoder does, where a picture is 66 pixels wide."""

    def __call__(self, image: Image.Image) -> np.ndarray:
        if image.width == 66:
            ctypes.string_at(0)
        return np.asarray(image.resize((SIZE, SIZE)))


class FragileEncoder(ColourEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.worker_preprocess = Fragile()


def test_processes_decode_as_threads_do(tmp_path: Path) -> None:
    paths = [paint(tmp_path / f"{n}.png", colour, (20 + n, 9)) for n, colour in enumerate(PALETTE)]
    paths[2].write_bytes(b"no picture")
    encoder = ColourEncoder()
    threads, processes = (
        list(decode_ahead(paths, encoder, 3, 2, processes=processes)) for processes in (False, True)
    )
    assert [skipped for _, skipped in threads] == [skipped for _, skipped in processes]
    for (some, _), (others, _) in zip(threads, processes, strict=True):
        for one, other in zip(some, others, strict=True):
            assert (one.path, one.width, one.contents) == (other.path, other.width, other.contents)
            assert np.array_equal(one.pixels, other.pixels)


def test_a_decoder_that_crashes_costs_one_photo(tmp_path: Path, index: ImageIndex) -> None:
    for number in range(7):
        paint(tmp_path / "photos" / f"{number}.png", "red", (66 if number == 3 else 20 + number, 9))
    report = index.update(
        tmp_path / "photos", FragileEncoder(), batch_size=2, workers=2, processes=True
    )
    assert report.skipped == [(tmp_path / "photos" / "3.png", CRASHED)]
    assert report.added == 6


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif", "a.tif", "a.bmp", "a.avif"])
def test_formats(tmp_path: Path, name: str) -> None:
    photo = load_photo(paint(tmp_path / name, "green", (40, 20)), ColourEncoder().preprocess, None)
    assert (photo.width, photo.height) == (40, 20)
    assert abs(photo.pixels.astype(int) - PALETTE["green"]).max() < 12
    content = (tmp_path / name).read_bytes()
    assert photo.contents.hash == hashlib.blake2b(content, digest_size=16).hexdigest()
    assert photo.contents.size == len(content)


def test_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2022:02:03 04:05:06"
    file = paint(tmp_path / "photo.HEIC", "orange", (64, 32), format="HEIF", exif=exif)
    photo = load_photo(file, ColourEncoder().preprocess, None)
    assert (photo.width, photo.height) == (64, 32)
    assert photo.taken == datetime(2022, 2, 3, 4, 5, 6)


def test_files_that_are_too_large_or_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(DataError, match=r"empty.jpg: is empty"):
        load_photo(tmp_path / "empty.jpg", ColourEncoder().preprocess, None)
    monkeypatch.setattr(reading, "MAX_BYTES", 10)
    with pytest.raises(DataError, match="over the limit of 10"):
        load_photo(paint(tmp_path / "a.png", "red"), ColourEncoder().preprocess, None)
