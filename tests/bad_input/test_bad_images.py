"""Odd and hostile image files, one by one as a query photo and together in an indexed folder."""

from __future__ import annotations

import io
import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from inputs import chunk, encoded, png, png_header, put
from outcomes import refused
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "search"))
from colour_encoder import ColourEncoder, paint

from user_itr.data.images import MAX_PIXELS, load_image, open_image
from user_itr.errors import DataError
from user_itr.evaluation.page.thumbnails import thumbnail
from user_itr.search.index import ImageIndex
from user_itr.search.photos import load_photo

RED = (200, 30, 30)


def red(mode: str = "RGB", size: tuple[int, int] = (8, 6)) -> Image.Image:
    return Image.new("RGB", size, RED).convert(mode)


def sixteen_bits() -> bytes:
    return encoded(Image.fromarray(np.full((6, 8), 51_400, np.uint16)), "PNG")


def animated(format: str) -> bytes:
    frames = [Image.new("RGB", (8, 6), colour) for colour in (RED, (0, 0, 255))]
    options = {"lossless": True} if format == "WEBP" else {}
    return encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(red(size=(6, 8)), "JPEG", exif=exif, quality=95)


def with_archive() -> bytes:
    """A PNG that is a zip file as well."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("evil.py", "raise SystemExit")
    return encoded(red(), "PNG") + stream.getvalue()


def with_script() -> bytes:
    """A GIF whose comment is a script."""
    return encoded(red(), "GIF", comment=b"*/=1;alert(1)//<script>alert(1)</script>")


@dataclass(frozen=True)
class Sound:
    """A file that is unusual and in order: it decodes to 8 x 6 pixels of this colour."""

    name: str
    content: Callable[[], bytes]
    colour: tuple[int, int, int] = RED
    size: tuple[int, int] = (8, 6)


SOUND = [
    Sound("one-pixel.png", lambda: encoded(red(size=(1, 1)), "PNG"), size=(1, 1)),
    Sound("cmyk.jpg", lambda: encoded(red("CMYK"), "JPEG", quality=100)),
    Sound("cmyk.tif", lambda: encoded(red("CMYK"), "TIFF")),
    Sound("sixteen.png", sixteen_bits, (200, 200, 200)),
    Sound("palette.png", lambda: encoded(red().quantize(4), "PNG")),
    Sound("palette.gif", lambda: encoded(red(), "GIF")),
    Sound("black-and-white.png", lambda: encoded(Image.new("1", (8, 6), 1), "PNG"), (255,) * 3),
    Sound("grey-alpha.png", lambda: encoded(Image.new("LA", (8, 6), (0, 0)), "PNG"), (255,) * 3),
    Sound(
        "glass.webp", lambda: encoded(Image.new("RGBA", (8, 6)), "WEBP", lossless=True), (255,) * 3
    ),
    Sound("animated.gif", lambda: animated("GIF")),
    Sound("animated.png", lambda: animated("PNG")),
    Sound("animated.webp", lambda: animated("WEBP")),
    Sound("pages.tif", lambda: animated("TIFF")),
    Sound("frames.mpo", lambda: animated("MPO")),
    Sound("progressive.jpg", lambda: encoded(red(), "JPEG", progressive=True, quality=100)),
    Sound("turned.jpg", turned),
    Sound("a-png-by-content.jpg", lambda: encoded(red(), "PNG")),
    Sound("archive.png", with_archive),
    Sound("script.gif", with_script),
    Sound("🐕 \u202eknalb\u202c.png", lambda: encoded(red(), "PNG")),
    Sound("two\nlines.png", lambda: encoded(red(), "PNG")),
    Sound("'; DROP TABLE photos --.png", lambda: encoded(red(), "PNG")),
    Sound("sixteen-million.bmp", lambda: encoded(red(), "BMP")),
]


def gif_header() -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", 30_000, 30_000, 0, 0, 0) + b"\x2c" + bytes(9) + b"\x3b"


def bmp_header() -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


def tiff_header() -> bytes:
    tags = [
        (256, 30_000),
        (257, 30_000),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (279, 9),
    ]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def text_bomb() -> bytes:
    """A PNG whose comment unfolds to 64 MB."""
    comment = b"k\0\0" + zlib.compress(bytes(64_000_000), 9)
    return png_header(2, 2, chunk(b"zTXt", comment), chunk(b"iCCP", comment))


def eps() -> bytes:
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\n%%EndComments\nshowpage\n%%EOF\n"


@dataclass(frozen=True)
class Broken:
    """A file that must be refused with a sentence."""

    name: str
    content: Callable[[], bytes]
    says: str = "cannot be decoded as an image"


BROKEN = [
    Broken("bomb.png", lambda: png_header(30_000, 30_000), "pixels is over the limit"),
    Broken("bomb.gif", gif_header, "pixels is over the limit"),
    Broken("bomb.bmp", bmp_header, "pixels is over the limit"),
    Broken("bomb.tif", tiff_header, "pixels is over the limit"),
    Broken("wide.png", lambda: png_header(2**31 - 1, 2**31 - 1), "pixels is over the limit"),
    Broken("text-bomb.png", text_bomb),
    Broken("no-width.png", lambda: png_header(0, 5)),
    Broken("empty.jpg", lambda: b"", ""),
    Broken("a-letter.jpg", lambda: b"x"),
    Broken("zeros.jpg", lambda: bytes(5_000)),
    Broken("text.png", lambda: b"<html><script>alert(1)</script></html>"),
    Broken("drawing.png", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>"),
    Broken("program.jpg", eps, "of no known format"),
    Broken("paper.jpg", lambda: b"%PDF-1.7\n1 0 obj\n<< >>\nendobj\n", "of no known format"),
    Broken("ppm.jpg", lambda: b"P6 8 6 255\n" + bytes(144), "of no known format"),
    Broken("photoshop.jpg", lambda: b"8BPS\0\1" + bytes(40), "of no known format"),
    Broken("cut.jpg", lambda: encoded(red(size=(64, 64)), "JPEG")[:400]),
    Broken("cut.png", lambda: encoded(red(size=(64, 64)), "PNG")[:60]),
    Broken("cut.webp", lambda: encoded(red(size=(64, 64)), "WEBP")[:40]),
    Broken("cut.tif", lambda: encoded(red(size=(64, 64)), "TIFF")[:50]),
    Broken("flipped.png", lambda: png()[:40] + b"\xff" + png()[41:]),
]


@pytest.mark.parametrize("case", SOUND, ids=[ascii(case.name) for case in SOUND])
def test_unusual_images_just_work(case: Sound, tmp_path: Path) -> None:
    path = put(tmp_path, case.name, case.content())
    image = load_image(path)
    assert (image.mode, image.size) == ("RGB", case.size)
    middle = image.getpixel((case.size[0] // 2, case.size[1] // 2))
    assert middle == pytest.approx(case.colour, abs=4)
    photo = load_photo(path, ColourEncoder().preprocess, 16)
    assert (photo.width, photo.height) == case.size
    assert thumbnail(path)


@pytest.mark.parametrize("case", BROKEN, ids=[case.name for case in BROKEN])
def test_broken_and_hostile_images_are_refused(case: Broken, tmp_path: Path) -> None:
    path = put(tmp_path, case.name, case.content())
    before = path.read_bytes()
    refused(DataError, f"{path}: ", lambda: load_image(path))
    refused(DataError, case.says, lambda: load_photo(path, ColourEncoder().preprocess, 16))
    assert thumbnail(path) is None
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [case.name]


def test_more_pixels_than_the_limit(tmp_path: Path) -> None:
    """Ours is above Pillow's, which is an error from twice its number on; nobody else loses it."""
    for width, height in ((13_000, 13_000), (16_384, 12_288), (16_384, 16_384)):
        path = put(tmp_path, "large.png", png_header(width, height))
        with open_image(path) as image:
            assert image.size == (width, height)
    assert 2 * Image.MAX_IMAGE_PIXELS < 16_384 * 12_288 < MAX_PIXELS
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)
    path = put(tmp_path, "larger.png", png_header(16_384, 16_385))
    refused(DataError, "16384 x 16385 pixels is over the limit", lambda: open_image(path))


def test_a_mark_of_encapsulated_postscript_starts_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow would hand it to Ghostscript."""
    started = []
    monkeypatch.setattr("subprocess.check_call", lambda *words, **options: started.append(words))
    path = put(tmp_path, "a.jpg", eps())
    refused(DataError, "of no known format", lambda: load_image(path))
    assert not started


def special(folder: Path) -> dict[str, str]:
    """What is no file of bytes, by name, and what is said of it."""
    os.mkfifo(folder / "pipe.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "nowhere.png").symlink_to(folder / "no.png")
    return {
        "pipe.png": "is no regular file",
        "zero.png": "is no regular file",
        "loop.png": "cannot be read",
        "nowhere.png": "cannot be read",
    }


def test_pipes_devices_and_loops_are_not_waited_for(tmp_path: Path) -> None:
    for name, says in special(tmp_path).items():
        path = tmp_path / name
        refused(DataError, says, lambda path=path: load_photo(path, ColourEncoder().preprocess, 16))
        refused(DataError, f"{path}: ", lambda path=path: load_image(path))
    folder = tmp_path / "folder.png"
    folder.mkdir()
    refused(DataError, "is no regular file", lambda: load_image(folder))


def test_a_folder_of_all_of_them_is_indexed(tmp_path: Path) -> None:
    """What decodes is found, what does not is listed with its reason, and the run ends."""
    folder = tmp_path / "photos"
    for case in (*SOUND, *BROKEN):
        put(folder, case.name, case.content())
    unreadable = special(folder)
    (folder / "around").symlink_to(folder)
    paint(folder / os.fsdecode(b"caf\xe9.png"), "blue")
    index = ImageIndex.create_or_open(tmp_path / "index", ColourEncoder(), "model")
    report = index.update(folder, ColourEncoder())
    reasons = {path.name: reason for path, reason in report.skipped}
    assert reasons.keys() == {
        *(case.name for case in BROKEN),
        *unreadable,
        os.fsdecode(b"caf\xe9.png"),
    }
    for name, says in unreadable.items():
        assert says in reasons[name]
    assert (len(index), report.added) == (len(SOUND), len(SOUND))
    again = index.update(folder, ColourEncoder())
    assert (again.unchanged, again.added, again.removed) == (len(SOUND), 0, 0)
