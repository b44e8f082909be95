from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_bytes import chunk, encoded
from PIL import Image

from user_itr.data.images import load_image
from user_itr.data.tones import eight_bits, to_rgb


def shown(content: bytes) -> list[list[int]]:
    """The rows of the first colour of a file."""
    return np.asarray(load_image(Path("a"), None, content))[..., 0].tolist()


def deep_tiff(
    values: list[int] | list[float],
    kind: str,
    bits: int,
    order: str = "<",
    sample_format: int = 1,
    photometric: int = 1,
    colours: int = 1,
    more: tuple[tuple[int, int, int | float], ...] = (),
) -> bytes:
    """An uncompressed TIFF of one row; `more` has tags of one SHORT (3) or FLOAT (11)."""
    data = struct.pack(f"{order}{len(values)}{kind}", *values)
    tags = [
        (256, 3, len(values) // colours),
        (257, 3, 1),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric if colours == 1 else 2),
        (273, 4, 8),
        (277, 3, colours),
        (278, 3, 1),
        (279, 4, len(data)),
        (339, 3, sample_format),
        *more,
    ]
    data += b"\0" * (len(data) % 2)
    start = 8 + len(data)
    entries = b""
    for tag, tag_kind, value in sorted(tags):
        packed = struct.pack(order + {3: "H", 4: "I", 11: "f"}[tag_kind], value)
        entries += struct.pack(order + "HHI", tag, tag_kind, 1) + packed.ljust(4, b"\0")
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(order + "I", start)
    return head + data + struct.pack(order + "H", len(tags)) + entries + bytes(4)


def colour_png(values: list[list[tuple[int, ...]]], colours: int = 2) -> bytes:
    """A PNG of 16 bits a sample."""
    height, width = len(values), len(values[0])
    header = struct.pack(">IIBBBBB", width, height, 16, colours, 0, 0, 0)
    rows = b"".join(
        b"\0" + b"".join(struct.pack(f">{len(pixel)}H", *pixel) for pixel in row) for row in values
    )
    idat = zlib.compress(rows)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", idat) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        # 65,535 / 255 = 257; 128 * 257 = 32,896 and half of 257 more rounds up
        (np.array([0, 32_896, 32_896 + 129, 65_535], np.uint16), [0, 128, 129, 255]),
        # 40 * 257: a dark picture of 16 bits stays dark
        (np.array([0, 10_280], np.uint16), [0, 40]),
        # 2,048 / 4,095 * 255 = 127.53
        (np.array([0, 2_048, 4_095], np.uint16), [0, 128, 255]),
        (np.array([0, 4_096], np.uint16), [0, 16]),
        # 512 / 1,023 * 255 = 127.62
        (np.array([0, 512, 1_023], np.uint16), [0, 128, 255]),
        (np.array([0, 7, 255], np.uint16), [0, 7, 255]),
        (np.array([0, 7, 255], np.int64), [0, 7, 255]),
        (np.array([0, 32_896, 65_535], np.int32), [0, 128, 255]),
        (np.array([0, 1 << 30, 1 << 31], np.uint32), [0, 128, 255]),
        (np.array([-100, 0, 100], np.int32), [0, 128, 255]),
        (np.array([0.0, 0.5, 1.0], np.float32), [0, 128, 255]),
        (np.array([0.25, 0.5], np.float64), [64, 128]),
        (np.array([0.0, 100.4, 255.0], np.float32), [0, 100, 255]),
        (np.array([0.0, 32_896.0, 65_535.0], np.float32), [0, 128, 255]),
        (np.array([0.0, 2.5, 5.0], np.float32), [0, 128, 255]),
        (np.array([-1.0, 0.0, 1.0], np.float32), [0, 128, 255]),
        (np.array([0.0, 1e6, 2e6], np.float32), [0, 128, 255]),
        (np.array([np.nan, 0.5, np.inf, -np.inf], np.float32), [0, 128, 255, 0]),
        (np.array([np.nan], np.float32), [0]),
        (np.array([0, 0], np.uint16), [0, 0]),
    ],
)
def test_the_scale_by_hand(values: np.ndarray, wanted: list[int]) -> None:
    found = eight_bits(values)
    assert found.dtype == np.uint8
    assert found.tolist() == wanted


def test_a_stated_scale_goes_before_a_guessed_one() -> None:
    values = np.array([100, 150, 200], np.uint16)
    assert eight_bits(values, (100, 200)).tolist() == [0, 128, 255]
    assert eight_bits(values, (120, 180)).tolist() == [0, 128, 255]


@given(st.lists(st.integers(0, 65_535), min_size=1, max_size=50))
def test_brighter_stays_brighter(values: list[int]) -> None:
    deep = np.array(sorted(values), np.uint16)
    assert (np.diff(eight_bits(deep).astype(int)) >= 0).all()
    if deep[-1] > 4_095:
        assert eight_bits(deep).tolist() == [int(value / 257 + 0.5) for value in deep]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("values", "kind", "bits", "sample_format", "wanted"),
    [
        ([0, 32_896, 65_535], "H", 16, 1, [0, 128, 255]),
        ([0, 2_048, 4_095], "H", 16, 1, [0, 128, 255]),
        ([-32_768, 0, 32_767], "h", 16, 2, [0, 128, 255]),
        ([0, 1 << 29, 1 << 30], "i", 32, 2, [0, 128, 255]),
        ([0.0, 0.5, 1.0], "f", 32, 3, [0, 128, 255]),
        ([0.0, 128.0, 255.0], "f", 32, 3, [0, 128, 255]),
    ],
)
def test_deep_tiffs(
    values: list[int], kind: str, bits: int, sample_format: int, wanted: list[int], order: str
) -> None:
    assert shown(deep_tiff(values, kind, bits, order, sample_format)) == [wanted]


def test_unsigned_tiffs_of_32_bits() -> None:
    assert shown(deep_tiff([0, 1 << 31, (1 << 32) - 1], "I", 32)) == [[0, 128, 255]]


def test_what_a_tiff_says_of_its_scale() -> None:
    said = ((340, 3, 1_000), (341, 3, 3_000))
    assert shown(deep_tiff([1_000, 2_000, 3_000], "H", 16, more=said)) == [[0, 128, 255]]
    wrong = ((340, 3, 3_000), (341, 3, 1_000))
    assert shown(deep_tiff([0, 32_896, 65_535], "H", 16, more=wrong)) == [[0, 128, 255]]
    floats = ((340, 11, 10.0), (341, 11, 30.0))
    assert shown(deep_tiff([10.0, 20.0, 30.0], "f", 32, "<", 3, more=floats)) == [[0, 128, 255]]


def test_a_tiff_whose_zero_is_white() -> None:
    assert shown(deep_tiff([0, 32_896, 65_535], "H", 16, photometric=0)) == [[255, 127, 0]]


def test_deep_pngs_and_modes_of_pillow() -> None:
    ramp = np.array([[0, 32_896, 65_535]])
    assert shown(encoded(Image.fromarray(ramp.astype(np.uint16)), "PNG")) == [[0, 128, 255]]
    for image in (
        Image.fromarray(ramp.astype(np.int32)),
        Image.fromarray(ramp.astype(np.float32)),
        Image.fromarray(ramp.astype(">u2")),
        Image.fromarray((ramp / 65_535).astype(np.float32)),
    ):
        assert np.asarray(to_rgb(image))[..., 0].tolist() == [[0, 128, 255]]


def test_colours_of_16_bits() -> None:
    full = [[(65_535, 32_896, 0), (0, 0, 0)]]
    assert load_image(Path("a"), None, colour_png(full)).getpixel((0, 0)) == (255, 128, 0)
    twelve = [[(4_095, 2_048, 0), (0, 16, 4_095)]]
    found = load_image(Path("a"), None, colour_png(twelve))
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(255, 128, 0), (0, 1, 255)]
    clear = [[(4_095, 2_048, 0, 65_535), (0, 0, 0, 0)]]
    found = load_image(Path("a"), None, colour_png(clear, 6))
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(255, 128, 0), (255, 255, 255)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_colours_of_12_bits_in_a_tiff(order: str) -> None:
    samples = [4_095, 2_048, 0, 0, 16, 4_095]
    found = load_image(Path("a"), None, deep_tiff(samples, "H", 16, order, colours=3))
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(255, 128, 0), (0, 1, 255)]
    full = [65_535, 32_896, 0, 0, 257, 65_535]
    found = load_image(Path("a"), None, deep_tiff(full, "H", 16, order, colours=3))
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(255, 128, 0), (0, 1, 255)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_colours_of_12_bits_in_a_packed_tiff(order: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    values = np.array([[(4_095, 2_048, 0), (0, 16, 4_095)]], order + "u2")
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, photometric="rgb", byteorder=order, compression="zlib")
    found = load_image(Path("a"), None, stream.getvalue())
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(255, 128, 0), (0, 1, 255)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [None, "zlib"])
@pytest.mark.parametrize("kind", ["u2", "u4", "u8", "i4", "f2", "f4", "f8"])
def test_every_kind_of_number_in_a_tiff(kind: str, packed: str | None, order: str) -> None:
    """By tifffile, which knows more of them than Pillow reads."""
    tifffile = pytest.importorskip("tifffile")
    most = {"u2": 65_535, "u4": 2**32 - 1, "u8": 2**40, "i4": 2**31 - 1}.get(kind, 1)
    ramp = np.array([[0, most // 2 + 1 if most > 1 else 0.5, most]]).astype(order + kind)
    for values, photometric, wanted in (
        (ramp, "minisblack", [0, 128, 255]),
        (ramp, "miniswhite", [255, 127, 0]),
        (np.stack([ramp, ramp, ramp[:, ::-1]], 2), "rgb", [0, 128, 255]),
    ):
        stream = io.BytesIO()
        turned = [(274, "H", 1, 6, True)]
        tifffile.imwrite(
            stream,
            values,
            photometric=photometric,
            byteorder=order,
            compression=packed,
            extratags=turned,
        )
        found = np.asarray(load_image(Path("a"), None, stream.getvalue()))
        assert found.shape == (3, 1, 3)
        assert found[:, 0, 0].tolist() == wanted
        assert found[:, 0, 2].tolist() == (wanted[::-1] if photometric == "rgb" else wanted)


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        (Image.new("1", (2, 2), 1), (255, 255, 255)),
        (Image.new("L", (2, 2), 90), (90, 90, 90)),
        (Image.new("LA", (2, 2), (90, 0)), (255, 255, 255)),
        (Image.new("RGBA", (2, 2), (10, 20, 30, 255)), (10, 20, 30)),
        (Image.new("RGBA", (2, 2), (0, 0, 0, 51)), (204, 204, 204)),
        (Image.new("CMYK", (2, 2), (0, 255, 255, 0)), (255, 0, 0)),
        (Image.new("HSV", (2, 2), (0, 255, 255)), (255, 0, 0)),
        (Image.new("YCbCr", (2, 2), (255, 128, 128)), (255, 255, 255)),
        (Image.new("LAB", (2, 2), (255, 128, 128)), (255, 255, 255)),
        (Image.new("PA", (2, 2), (0, 0)), (255, 255, 255)),
    ],
)
def test_every_mode(image: Image.Image, wanted: tuple[int, int, int]) -> None:
    assert to_rgb(image).getpixel((0, 0)) == pytest.approx(wanted, abs=2)


def test_transparency_of_palettes_and_of_one_colour() -> None:
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([0, 0, 0, 200, 30, 30])
    palette.putpixel((1, 0), 1)
    found = load_image(Path("a"), None, encoded(palette, "PNG", transparency=0))
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (200, 30, 30)]
    colours = Image.new("RGB", (2, 1), (0, 0, 0))
    colours.putpixel((1, 0), (200, 30, 30))
    found = load_image(Path("a"), None, encoded(colours, "PNG", transparency=(0, 0, 0)))
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (200, 30, 30)]
    deep = Image.fromarray(np.array([[0, 65_535, 32_896]], np.uint16))
    found = load_image(Path("a"), None, encoded(deep, "PNG", transparency=0))
    assert np.asarray(found)[..., 0].tolist() == [[255, 255, 128]]
