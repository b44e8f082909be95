"""Raw photographs: a DNG by hand, read by LibRaw itself."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from picture_bytes import encoded, exif, short
from PIL import Image
from raw_bytes import dng

pytest.importorskip("rawpy")

from user_itr.data import images
from user_itr.data.dates import taken_of
from user_itr.data.formats import why_passed_over
from user_itr.data.images import decode_image, open_image
from user_itr.errors import DataError

GREEN = (10, 200, 30)
MOMENT = datetime(2021, 5, 6, 10, 11, 12)


@pytest.mark.parametrize(("orientation", "size"), [(1, (64, 48)), (3, (64, 48)), (6, (48, 64))])
def test_a_mosaic_becomes_a_picture_of_half_its_size(
    orientation: int, size: tuple[int, int]
) -> None:
    found = decode_image(Path("IMG_1.DNG"), None, dng(orientation=orientation))
    assert (found.width, found.height) == size
    assert (found.image.mode, found.image.size) == ("RGB", (size[0] // 2, size[1] // 2))
    red, green, _ = found.image.getpixel((5, 5))
    assert red > 200
    assert red > 2 * green
    assert taken_of(found.metadata) == MOMENT


def test_a_large_preview_stands_for_the_photograph() -> None:
    preview = encoded(Image.new("RGB", (900, 600), GREEN), "JPEG")
    raw = dng(preview=preview, preview_size=(900, 600), orientation=6)
    found = decode_image(Path("a.dng"), None, raw)
    assert (found.width, found.height) == (48, 64)
    assert found.image.size == (600, 900)
    assert found.image.getpixel((5, 5)) == pytest.approx(GREEN, abs=3)
    assert taken_of(found.metadata) == MOMENT
    assert decode_image(Path("a.dng"), 300, raw).image.size == (300, 450)


def test_a_preview_is_turned_once() -> None:
    turned = exif([short(274, 6)])
    preview = encoded(Image.new("RGB", (900, 600), GREEN), "JPEG", exif=b"Exif\0\0" + turned)
    raw = dng(preview=preview, preview_size=(900, 600), orientation=6)
    assert decode_image(Path("a.dng"), None, raw).image.size == (600, 900)


def test_a_small_preview_does_not() -> None:
    preview = encoded(Image.new("RGB", (160, 120), GREEN), "JPEG")
    found = decode_image(Path("a.dng"), None, dng(preview=preview, preview_size=(160, 120)))
    assert found.image.size == (32, 24)


def test_damaged_and_huge_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (b"II*\0", b"II*\0" + bytes(500), b"no photograph", dng()[:900]):
        (tmp_path / "a.nef").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.nef: cannot be decoded"):
            decode_image(tmp_path / "a.nef")
    monkeypatch.setattr(images, "MAX_PIXELS", 3_000)
    with pytest.raises(DataError, match=r"64 x 48 pixels is over the limit of 3,000"):
        decode_image(Path("a.dng"), None, dng())


def test_opening_one_by_its_header(tmp_path: Path) -> None:
    (tmp_path / "a.dng").write_bytes(dng())
    with open_image(tmp_path / "a.dng") as image:
        assert image.size == (32, 24)
    assert why_passed_over("a.dng") is None
