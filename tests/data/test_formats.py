from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from picture_bytes import blocks, encoded
from PIL import Image

from user_itr.data import formats
from user_itr.data.formats import IMAGE_SUFFIXES, RAW_SUFFIXES, why_passed_over
from user_itr.data.images import find_images, load_image, open_image
from user_itr.errors import DataError


@pytest.fixture
def no_heif(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without the extra `heic`."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    openers = {name: opener for name, opener in Image.OPEN.items() if name != "HEIF"}
    monkeypatch.setattr(Image, "OPEN", openers)
    formats.installed_formats.cache_clear()
    yield
    formats.installed_formats.cache_clear()


@pytest.mark.parametrize(
    "name",
    ["a.jfif", "b.JPE", "c.jpg_large", "d.apng", "e.HIF", "f.jp2", "g.mpo", "h.dib", "i.AVIF"],
)
def test_endings_that_are_walked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(encoded(blocks(), "JPEG"))
    assert list(find_images(tmp_path)) == [tmp_path / name]
    assert load_image(tmp_path / name).size == (60, 40)
    assert why_passed_over(name) is None


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("IMG_4.jxl", "JPEG XL"),
        (".IMG_5.HEIC.icloud", "iCloud"),
        ("e.JPG~", "an editor keeps"),
        ("scan.psd", "Photoshop"),
    ],
)
def test_pictures_that_are_passed_over(name: str, says: str) -> None:
    assert says in str(why_passed_over(name))
    assert Path(name).suffix.lower() not in IMAGE_SUFFIXES | RAW_SUFFIXES


def test_what_is_no_picture_is_passed_over_without_a_word() -> None:
    assert [why_passed_over(name) for name in ("a.txt", "a.mp4", "a", "~", "a.xmp", "a.txt~")] == (
        [None] * 6
    )


def test_raw_endings_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    assert "pip install user-itr[raw]" in str(why_passed_over("IMG_2.CR2"))
    (tmp_path / "IMG_2.CR2").write_bytes(encoded(blocks(), "TIFF"))
    with pytest.raises(DataError, match=r"IMG_2\.CR2: raw photographs .*user-itr\[raw\]"):
        load_image(tmp_path / "IMG_2.CR2")


@pytest.mark.parametrize("name", ["IMG_1.jpg", "IMG_2.heic", "DSC_3.HIF", "x.png"])
def test_heic_of_any_name_without_the_extra(tmp_path: Path, no_heif: None, name: str) -> None:
    (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    for read in (load_image, open_image):
        with pytest.raises(DataError, match=rf"{name}: HEIC needs .*user-itr\[heic\]"):
            read(tmp_path / name)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
@pytest.mark.parametrize("name", ["IMG_4.HEIC", "a.jpg", "b.PNG", "c.tif", "d.dng", "e"])
def test_names_do_not_matter(tmp_path: Path, no_heif: None, format: str, name: str) -> None:
    if (format, name) in (("TIFF", "d.dng"), ("AVIF", "d.dng")):
        pytest.skip("a raw photograph is a TIFF, or a box like AVIF's")
    (tmp_path / name).write_bytes(encoded(blocks(), format))
    wanted = load_image(Path("plain"), None, encoded(blocks(), format))
    assert np.array_equal(load_image(tmp_path / name), wanted)


def test_jpeg_xl_by_its_contents(tmp_path: Path) -> None:
    for first in (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"):
        (tmp_path / "a.jpg").write_bytes(first + bytes(100))
        with pytest.raises(DataError, match=r"a\.jpg: JPEG XL is not read"):
            load_image(tmp_path / "a.jpg")
