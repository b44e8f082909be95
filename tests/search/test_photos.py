from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colour_encoder import ColourEncoder, paint
from PIL import Image

from user_itr.data.images import load_image
from user_itr.features.preprocessing import Squash
from user_itr.search import decoding as module
from user_itr.search.decoding import decode_ahead
from user_itr.search.photos import load_photo

PREPROCESS = Squash(16, 16)
SIDEWAYS = Image.Exif()
SIDEWAYS[0x0112] = 6


@pytest.mark.parametrize(
    ("size", "name", "exif", "upright"),
    [
        ((40, 20), "small.jpg", Image.Exif(), (40, 20)),
        ((40, 20), "small-turned.jpg", SIDEWAYS, (20, 40)),
        ((40, 20), "small-turned.png", SIDEWAYS, (20, 40)),
        ((2400, 1600), "large.jpg", Image.Exif(), (2400, 1600)),
        ((2400, 1600), "large-turned.jpg", SIDEWAYS, (1600, 2400)),
        ((2400, 1600), "large-turned.png", SIDEWAYS, (1600, 2400)),
        ((1031, 1030), "nearly-square.jpg", SIDEWAYS, (1030, 1031)),
    ],
)
def test_size_is_that_of_the_upright_original(
    tmp_path: Path,
    size: tuple[int, int],
    name: str,
    exif: Image.Exif,
    upright: tuple[int, int],
) -> None:
    photo = load_photo(paint(tmp_path / name, "red", size, exif=exif), PREPROCESS, 16)
    assert (photo.width, photo.height) == upright
    assert photo.pixels.shape == (16, 16, 3)


def test_a_photo_says_when_and_where(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[36867] = "2021:05:06 10:11:12"
    exif.get_ifd(0x8825).update({1: "S", 2: (33.0, 51.0, 0.0), 3: "E", 4: (151.0, 12.0, 36.0)})
    for name in ("a.jpg", "a.png", "a.webp"):
        photo = load_photo(paint(tmp_path / name, "red", exif=exif.tobytes()), PREPROCESS, 16)
        assert photo.taken == datetime(2021, 5, 6, 10, 11, 12)
        assert photo.location == pytest.approx((-33.85, 151.21))
    photo = load_photo(paint(tmp_path / "b.jpg", "red"), PREPROCESS, 16)
    assert (photo.taken, photo.location) == (None, None)


def test_a_photo_of_200_megapixels(tmp_path: Path) -> None:
    """Its header alone would be refused by Pillow's own limit; a draft decodes an eighth of it."""
    size = (16_384, 12_288)
    with Image.new("L", size, 90) as large:
        large.save(tmp_path / "a.jpg", quality=20)
    limit = Image.MAX_IMAGE_PIXELS
    photo = load_photo(tmp_path / "a.jpg", PREPROCESS, 512)
    assert (photo.width, photo.height) == size
    assert np.abs(photo.pixels.astype(int) - 90).max() <= 3
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("draft", [None, 512])
def test_pixels_are_those_that_the_model_itself_would_take(
    tmp_path: Path, draft: int | None
) -> None:
    encoder = ColourEncoder()
    encoder.draft = draft
    pixels = np.random.default_rng(0).integers(0, 256, (1100, 1300, 3), dtype=np.uint8)
    for name in ("noise.png", "noise.jpg"):
        Image.fromarray(pixels).save(tmp_path / name, exif=SIDEWAYS)
        wanted = encoder.preprocess(load_image(tmp_path / name, draft=draft))
        assert np.array_equal(load_photo(tmp_path / name, encoder.preprocess, draft).pixels, wanted)


def test_decode_ahead_keeps_the_order_and_reports_what_fails(tmp_path: Path) -> None:
    paths = [paint(tmp_path / f"{n}.png", "blue", (n + 1, 5)) for n in range(11)]
    paths[4].write_bytes(b"no picture")
    paths[9].unlink()
    batches = list(decode_ahead(paths, ColourEncoder(), batch_size=3, workers=2))
    assert [len(p) + len(s) for p, s in batches] == [3, 3, 3, 2]
    decoded = [photo for photos, _ in batches for photo in photos]
    assert [photo.width for photo in decoded] == [1, 2, 3, 4, 6, 7, 8, 9, 11]
    skipped = [entry for _, skips in batches for entry in skips]
    assert [path for path, _ in skipped] == [paths[4], paths[9]]
    assert "decoded" in skipped[0][1]
    assert str(paths[4]) not in skipped[0][1].split("(")[0]


def test_decode_ahead_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [paint(tmp_path / f"{n}.png", "blue") for n in range(40)]
    opened: list[Path] = []
    real = module.load_photo

    def counting(path: Path, **options: Any) -> module.Photo:
        opened.append(path)
        return real(path, **options)

    monkeypatch.setattr(module, "load_photo", counting)
    batches = decode_ahead(paths, ColourEncoder(), batch_size=4, workers=2)
    for number in range(1, 4):
        next(batches)
        assert len(opened) <= 4 * number + 4
    batches.close()
    assert len(opened) <= 16
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]
