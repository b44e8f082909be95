"""One input, one path: a file, an opened picture and an array are the same pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from picture_bytes import ORIENTATION, blocks, chunk, encoded, exif, jpeg_with_exif, png, short
from PIL import Image, ImageOps
from test_tones import colour_png, deep_tiff

from user_itr.data import images
from user_itr.data.images import load_image
from user_itr.data.pictures import as_rgb, caption_list, picture_list
from user_itr.errors import DataError

DRAFT = 30
SIX = exif([short(ORIENTATION, 6)])


def clear() -> Image.Image:
    picture = blocks().convert("RGBA")
    picture.putalpha(blocks(seed=1).convert("L"))
    return picture


FILES = {
    "plain.jpg": encoded(blocks(), "JPEG"),
    "large.jpg": encoded(blocks(300, 200), "JPEG"),
    "turned.jpg": jpeg_with_exif(SIX),
    "large-turned.jpg": encoded(blocks(300, 200), "JPEG", exif=b"Exif\0\0" + SIX),
    "grey.jpg": encoded(blocks().convert("L"), "JPEG"),
    "cmyk.jpg": encoded(blocks().convert("CMYK"), "JPEG"),
    "clear.png": encoded(clear(), "PNG"),
    "turned.png": png(chunk(b"eXIf", SIX)),
    "odd.png": png(chunk(b"eXIf", b"garbage")),
    "palette.png": encoded(blocks().quantize(8), "PNG"),
    "sixteen.png": encoded(Image.fromarray(np.arange(600, dtype=np.uint16)[None] * 109), "PNG"),
    "twelve.png": colour_png([[(4_095, 2_048, 0), (0, 16, 4_095)]]),
    "float.tif": deep_tiff([0.0, 0.25, 1.0], "f", 32, ">", 3),
    "turned.tif": encoded(blocks(), "TIFF", tiffinfo={ORIENTATION: 6}),
    "clear.webp": encoded(clear(), "WEBP", lossless=True),
    "turned.webp": encoded(blocks(), "WEBP", exif=SIX),
    "a.gif": encoded(blocks(), "GIF"),
    "a.avif": encoded(blocks(), "AVIF"),
    "cut.jpg": encoded(blocks(), "JPEG")[:-2],
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("draft", [None, DRAFT])
def test_a_file_and_an_opened_picture_are_the_same(
    tmp_path: Path, name: str, draft: int | None
) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    wanted = np.asarray(load_image(path, draft))
    before = Image.open(path)
    for given in (path, str(path), FILES[name], before, before):
        assert np.array_equal(as_rgb(given, draft), wanted)
    assert before.size == Image.open(path).size
    with path.open("rb") as stream:
        assert np.array_equal(as_rgb(Image.open(stream), draft), wanted)


@pytest.mark.parametrize(
    "name", ["plain.jpg", "turned.jpg", "clear.png", "turned.png", "turned.tif", "sixteen.png"]
)
def test_loaded_converted_and_turned_pictures(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    wanted = np.asarray(load_image(path))
    loaded = Image.open(path)
    loaded.load()
    assert np.array_equal(as_rgb(loaded), wanted)
    assert np.array_equal(as_rgb(loaded.copy()), wanted)
    assert np.array_equal(as_rgb(ImageOps.exif_transpose(Image.open(path))), wanted)
    if name == "turned.jpg":
        assert np.array_equal(as_rgb(Image.open(path).convert("RGB")), wanted)
    assert np.array_equal(as_rgb(load_image(path)), wanted)


def test_a_changed_picture_is_not_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(FILES["large.jpg"])
    small = Image.open(path)
    small.thumbnail((30, 20))
    assert as_rgb(small).size == (30, 20)
    drafted = Image.open(path)
    drafted.draft("RGB", (70, 70))
    assert as_rgb(drafted, None).size == (150, 100)
    painted = Image.open(path)
    painted.paste((255, 255, 255), (0, 0, 300, 200))
    assert np.asarray(as_rgb(painted)).min() == 255


def test_another_frame_is_itself(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    opened = Image.open(tmp_path / "a.png")
    opened.seek(1)
    assert as_rgb(opened).getpixel((0, 0)) == (0, 0, 255)
    assert as_rgb(tmp_path / "a.png").getpixel((0, 0)) == (255, 0, 0)


def test_arrays() -> None:
    colours = np.asarray(blocks())
    assert np.array_equal(as_rgb(colours), colours)
    assert np.array_equal(as_rgb(colours[:, ::-1]), colours[:, ::-1])
    grey = colours[..., 0]
    wanted = np.repeat(grey[..., None], 3, 2)
    for given in (grey, grey[..., None], grey.astype(np.uint16) * 257, grey / 255):
        assert np.array_equal(as_rgb(given), wanted)
    assert np.array_equal(as_rgb(colours.astype(np.uint16) * 257), colours)
    assert np.array_equal(as_rgb(colours.astype(np.int64)), colours)
    assert np.array_equal(as_rgb(grey > 100), np.where(wanted > 100, 255, 0))
    assert np.array_equal(as_rgb(np.asarray(clear())), as_rgb(clear()))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "None is not a picture"),
        (3, "an int is not a picture"),
        (np.zeros((2, 2, 2), np.uint8), r"an array \(2, 2, 2\) of uint8"),
        (np.zeros((0, 2), np.uint8), r"an array \(0, 2\)"),
        (np.zeros(4, np.uint8), r"an array \(4,\)"),
        (np.array([["a"]]), "of <U1 is not a picture"),
        (np.zeros((2, 2), complex), "of complex128"),
        ("nowhere.jpg", "nowhere.jpg: no such image file"),
        (b"no picture", "the given bytes: cannot be decoded"),
        (b"", "the given bytes: cannot be decoded"),
        ("a\0b.jpg", "check the path"),
        (".", "is no regular file"),
        ("", "is no regular file"),
    ],
)
def test_what_is_no_picture(given: object, says: str) -> None:
    with pytest.raises(DataError, match=says):
        as_rgb(given)  # type: ignore[arg-type]


def test_a_closed_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(FILES["clear.png"])
    opened = Image.open(tmp_path / "a.png")
    opened.close()
    with pytest.raises(DataError, match=r"a\.png: cannot be taken as a picture .*open the file"):
        as_rgb(opened)


def test_the_limit_holds_for_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 1_000)
    (tmp_path / "a.jpg").write_bytes(FILES["plain.jpg"])
    path = tmp_path / "a.jpg"
    for given in (path, Image.open(path), blocks(), np.asarray(blocks()), FILES["plain.jpg"]):
        with pytest.raises(DataError, match="60 x 40 pixels is over the limit of 1,000"):
            as_rgb(given, DRAFT)


def test_one_or_several() -> None:
    picture = blocks()
    array = np.asarray(picture)
    for one in ("a.jpg", Path("a.jpg"), picture, array, array[..., 0], b"bytes"):
        [found] = picture_list(one)
        assert found is one
    assert picture_list([]) == []
    assert picture_list(name for name in ("a", "b")) == ["a", "b"]
    assert len(picture_list(np.stack([array, array]))) == 2
    for wrong in (None, 7, {"a": 1}):
        with pytest.raises(DataError, match="is neither a picture nor a list of them"):
            picture_list(wrong)  # type: ignore[arg-type]


def test_captions() -> None:
    assert caption_list("two dogs") == ["two dogs"]
    assert caption_list(("a", "b")) == ["a", "b"]
    assert caption_list([]) == []
    for wrong in (None, 7, b"two dogs", {"a": 1}):
        with pytest.raises(DataError, match="is neither a text nor a list of texts"):
            caption_list(wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="entry 1 is None; give strings"):
        caption_list(["a", None])  # type: ignore[list-item]
