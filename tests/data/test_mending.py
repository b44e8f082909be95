"""Metadata never decides over pixels: damaged files decode to the pixels of the sound ones."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_bytes import (
    ORIENTATION,
    ORIGINAL,
    blocks,
    chunk,
    encoded,
    exif,
    jpeg,
    jpeg_with_exif,
    png,
    rationals,
    segment,
    short,
    text,
    webp,
    xmp,
)
from PIL import Image

from user_itr.data.images import load_image
from user_itr.errors import DataError

SIX = short(ORIENTATION, 6)
TAGS = exif(
    [SIX, text(271, "Maker of cameras"), rationals(282, (72, 1))],
    [text(ORIGINAL, "2021:05:06 10:11:12"), (37500, 7, 60, b"maker" * 12)],
    [text(1, "N"), rationals(2, (48, 1), (51, 1), (30, 1))],
)
PIXELS = np.asarray(blocks())
TURNED = np.asarray(blocks().transpose(Image.Transpose.ROTATE_270))


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(load_image(Path("a"), None, content))


def same(content: bytes, wanted: np.ndarray = PIXELS) -> None:
    """The fields of the picture, give or take what a lossy format changes."""
    found = decoded(content)
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).mean() < 12


ODD = {
    "XResolution as text": [(282, 2, 3, b"72\0")],
    "YCbCrPositioning as text": [(531, 2, 2, b"1\0")],
    "Copyright as a rational": [(33432, 5, 1, struct.pack("<II", 5, 1))],
    "a type that is none": [(271, 77, 4, b"abcd")],
    "a value beyond the end": [(271, 2, 9_999, struct.pack("<I", 1))],
    "four thousand million values": [(271, 5, 0xFFFFFFFF, b"\xff" * 8)],
    "a rational of nothing": [(282, 5, 1, bytes(8)), (283, 10, 1, bytes(8))],
    "no values": [(271, 2, 0, b"")],
    "offsets as text": [(513, 2, 2, b"x\0"), (514, 2, 2, b"y\0")],
    "a directory of the camera that is none": [(0x8769, 2, 5, b"none\0")],
    "a directory of the camera beyond the end": [(0x8769, 4, 1, struct.pack("<I", 1 << 31))],
    "a directory of the camera that is itself": [(0x8769, 4, 1, struct.pack("<I", 8))],
    "sizes of strips": [(273, 4, 1, struct.pack("<I", 1 << 31)), (279, 2, 2, b"x\0")],
}
ODD_GPS = {
    "GPSVersionID as text": [(0, 2, 4, b"2200")],
    "GPSAltitudeRef as text": [(5, 2, 2, b"0\0")],
    "a signed latitude": [text(1, "N"), rationals(2, (-1, 1), (0, 1), (0, 1), signed=True)],
    "an empty latitude": [(2, 5, 0, b"")],
    "a time of nothing": [rationals(7, (0, 0), (0, 0), (0, 0))],
}


@pytest.mark.parametrize("tags", [*ODD.values(), *ODD_GPS.values()], ids=[*ODD, *ODD_GPS])
def test_odd_exif_is_turned_all_the_same(tags: list, request: pytest.FixtureRequest) -> None:
    is_gps = request.node.callspec.id in ODD_GPS
    odd = exif([SIX], None, tags) if is_gps else exif([SIX, *tags])
    same(jpeg_with_exif(odd), TURNED)
    same(png(chunk(b"eXIf", odd)), TURNED)
    same(png(chunk(b"eXIf", b"Exif\0\0" + odd)), TURNED)
    same(webp(b"Exif\0\0" + odd), TURNED)
    same(webp(odd), TURNED)


GARBAGE = [b"", b"garbage", b"II*\0" + struct.pack("<I", 60_000), b"Exif\0\0", b"MM\0*", bytes(90)]


@pytest.mark.parametrize("garbage", GARBAGE, ids=repr)
def test_garbage_for_exif(garbage: bytes) -> None:
    same(jpeg_with_exif(garbage))
    same(png(chunk(b"eXIf", garbage)))
    same(png()[:-12] + chunk(b"eXIf", garbage) + png()[-12:])
    if garbage:
        same(webp(garbage))


@pytest.mark.parametrize("garbage", [b"garbage!", b"\0\0\0\0garbage", bytes(40)], ids=repr)
@pytest.mark.parametrize("format", ["AVIF", "HEIF"])
def test_garbage_for_exif_in_heic_and_avif(garbage: bytes, format: str) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    tags = exif([SIX], [text(ORIGINAL, "2021:05:06 10:11:12")])
    sound = encoded(blocks(), format, exif=tags, quality=95)
    place = sound.index(b"II*\0")
    wanted = decoded(sound)
    damaged = sound[:place] + garbage + sound[place + len(garbage) :]
    same(damaged, wanted)
    damaged = sound[: place - 8] + garbage + sound[place - 8 + len(garbage) :]
    same(damaged, wanted)


@pytest.mark.parametrize(
    "part",
    [
        segment(0xE2, b"ICC_PROFILE\0\1\1broken"),
        segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xE2, b"ICC_PROFILE\0\2\1" + bytes(60)),
        segment(0xE2, b"MPF\0garbage"),
        segment(0xE2, b"MPF\0" + TAGS),
        segment(0xE0, b"JFIF\0"),
        segment(0xE0, b"JFIF\0\1\1\1\0"),
        segment(0xEE, b"Adobe"),
        segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\1x"),
        segment(0xED, b"Photoshop 3.0\x008BIM"),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<broken"),
        segment(0xFE, b"\xff\xfe\xff" * 20),
        b"\xff\xff\xff" + segment(0xFE, b"fillings before it"),
        b"junk between segments",
    ],
)
def test_odd_segments_of_a_jpeg(part: bytes) -> None:
    same(jpeg(part))
    same(jpeg(part, segment(0xE1, b"Exif\0\0" + TAGS)), TURNED)


@pytest.mark.parametrize(
    "part",
    [
        chunk(b"tEXt", b"Comment\0text", 1),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"text"), 1),
        chunk(b"zTXt", b"Comment\0\0not deflated"),
        chunk(b"zTXt", b"Comment\0\7?"),
        chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(64_000_000), 9)),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(bytes(64_000_000), 9)),
        chunk(b"iTXt", b"short"),
        chunk(b"tEXt", b"key\0" + b"x" * 3_000_000),
        chunk(b"iCCP", b"profile\0\0broken"),
        chunk(b"iCCP", b"profile\0\1" + zlib.compress(b"x")),
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(64_000_000), 9)),
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(b"x"), 1),
        chunk(b"iCCP", b""),
        chunk(b"eXIf", exif(), 1),
        chunk(b"gAMA", b""),
        chunk(b"pHYs", b"\0"),
        chunk(b"cHRM", b"\1\2"),
        chunk(b"sRGB", b""),
        chunk(b"tRNS", b""),
        chunk(b"acTL", b""),
        chunk(b"tIME", b"??"),
        chunk(b"abCd", b"of somebody", 7),
    ],
)
def test_odd_chunks_of_a_png(part: bytes) -> None:
    same(png(part))
    same(png(part, chunk(b"eXIf", TAGS)), TURNED)
    same(png(part, chunk(b"eXIf", TAGS, 5)), TURNED)
    plain = png()
    same(plain[:-12] + part + plain[-12:])
    same(plain[:-12] + part)


def test_wrong_checksums_of_a_png_whose_pixels_are_sound() -> None:
    plain = bytearray(png())
    plain[29] ^= 1  # of the header
    same(bytes(plain))
    plain[-13] ^= 1  # of the pixels
    same(bytes(plain))


def test_odd_chunks_of_a_webp() -> None:
    sound = webp(b"Exif\0\0" + TAGS)
    same(sound, TURNED)
    same(sound + b"trailing", TURNED)
    same(sound[:4] + struct.pack("<I", 1 << 30) + sound[8:], TURNED)
    same(sound[:-20], TURNED)  # in the middle of its EXIF
    for name in (b"ICCP", b"XMP ", b"odd!"):
        odd = sound + name + struct.pack("<I", 1 << 20) + b"short"
        same(odd[:4] + struct.pack("<I", len(odd) - 8) + odd[8:], TURNED)


def test_odd_tags_of_a_tiff() -> None:
    odd = {
        271: "maker",
        305: "editor",
        700: b"<broken",
        33432: "x",
        34675: b"profile",
    }
    for tag, value in odd.items():
        same(encoded(blocks(), "TIFF", tiffinfo={ORIENTATION: 6, tag: value}), TURNED)
    sound = encoded(blocks(), "TIFF", tiffinfo={ORIENTATION: 6, 271: "maker of this camera"})
    assert sound.startswith(b"II")
    place = sound.index(struct.pack("<HH", 271, 2))
    for kind in (3, 5, 12, 77):
        same(sound[: place + 2] + struct.pack("<HI", kind, 1 << 20) + sound[place + 8 :], TURNED)


@pytest.mark.parametrize(
    "entry",
    [
        struct.pack("<HHIf", ORIENTATION, 11, 1, 6.0),
        struct.pack("<HHIHH", ORIENTATION, 3, 2, 6, 1),
        struct.pack("<HHI4s", ORIENTATION, 2, 2, b"6\0\0\0"),
        struct.pack("<HHII", ORIENTATION, 4, 1, 6),
    ],
)
def test_odd_orientations_of_a_tiff(entry: bytes) -> None:
    sound = encoded(blocks(), "TIFF", tiffinfo={ORIENTATION: 6})
    usual = struct.pack("<HHIHH", ORIENTATION, 3, 1, 6, 0)
    assert sound.count(usual) == 1
    same(sound.replace(usual, entry), TURNED)
    same(sound.replace(usual, struct.pack("<HHII", ORIENTATION, 5, 1, 1 << 31)))


def large(format: str, **options: object) -> bytes:
    noise = np.random.default_rng(1).integers(0, 256, (80, 60, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((240, 320), Image.Resampling.BICUBIC)
    return encoded(picture, format, **options)


@pytest.mark.parametrize(
    "content",
    [
        large("JPEG", quality=90),
        large("JPEG", quality=90, progressive=True),
        large("PNG"),
        large("BMP"),
        large("TIFF"),
    ],
    ids=["JPEG", "progressive JPEG", "PNG", "BMP", "TIFF"],
)
def test_files_cut_short(content: bytes) -> None:
    whole = decoded(content)
    for missing in (1, 2, 5, 11, 13, len(content) // 20, len(content) // 5):
        found = decoded(content[:-missing])
        there = int(len(whole) * 0.7)
        if content[:2] == b"BM":  # from the last row to the first
            found, wanted = found[::-1], whole[::-1]
        else:
            wanted = whole
        assert np.abs(found[:there].astype(int) - wanted[:there]).mean() < 8
    for kept in (10, 100, 300):
        with pytest.raises(DataError, match="cannot be decoded"):
            decoded(content[:kept])


@pytest.mark.parametrize("options", [{"quality": 90}, {"quality": 90, "exif": b"Exif\0\0" + TAGS}])
def test_half_a_jpeg_is_refused_with_its_share(options: dict) -> None:
    content = large("JPEG", **options)
    for draft in (None, 40):
        with pytest.raises(DataError, match=r"cut short, with [45]\d% of its rows there"):
            load_image(Path("a.jpg"), draft, content[: len(content) // 2])


def test_half_a_png_is_refused() -> None:
    content = large("PNG")
    with pytest.raises(DataError, match="cannot be decoded"):
        decoded(content[: len(content) // 2])


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_grey_picture_is_no_missing_one(options: dict) -> None:
    """Grey is also what decoders fill in."""
    grey = blocks(64, 64)
    grey.paste((128, 128, 128), (0, 16, 64, 64))
    content = encoded(grey, "JPEG", quality=90, **options)
    assert np.array_equal(decoded(content[:-2]), decoded(content))
    assert load_image(Path("a"), 20, content[:-2]).size == (32, 32)


@pytest.mark.parametrize("before", [b"\n", b"\xef\xbb\xbf", bytes(128), b"HTTP/1.1 200 OK\r\n\r\n"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "AVIF"])
def test_bytes_before_and_behind(format: str, before: bytes) -> None:
    sound = encoded(blocks(), format)
    wanted = decoded(sound)
    for content in (before + sound, sound + b"MotionPhoto" * 99, before + sound + bytes(99)):
        assert np.array_equal(decoded(content), wanted)


@pytest.mark.parametrize("first", [b"%PDF-1.7\n", b"<html>", b"ID3\3", b"8BPS", b"PK\3\4"])
def test_pictures_inside_of_other_files_are_not_taken_for_them(first: bytes) -> None:
    with pytest.raises(DataError, match="of no known format"):
        decoded(first + encoded(blocks(), "JPEG"))


def test_far_bytes_before_are_too_many() -> None:
    with pytest.raises(DataError):
        decoded(b"?" * 2_000 + encoded(blocks(), "JPEG"))


def with_segments(place: int, damage: bytes) -> bytes:
    """A JPEG some bytes of whose metadata are others."""
    profile = segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(100))
    packet = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp('xmp:CreateDate="2021-05-06"'))
    parts = [segment(0xE1, b"Exif\0\0" + TAGS), profile, packet, segment(0xED, b"Photoshop 3.0\0x")]
    number, place = divmod(place, 100)
    part = parts[number % len(parts)]
    place = 4 + place * (len(part) - 4) // 100  # lengths stay
    damaged = part[:place] + damage[: len(part) - place] + part[place + len(damage) :]
    parts[number % len(parts)] = damaged
    return jpeg(*parts)


def with_chunks(place: int, damage: bytes) -> bytes:
    kinds = [b"eXIf", b"iCCP", b"zTXt", b"iTXt", b"tEXt", b"pHYs", b"gAMA", b"tIME", b"cHRM"]
    number, place = divmod(place, 100)
    content = (TAGS + bytes(20))[: 20 + place]
    return png(chunk(kinds[number % len(kinds)], damage + content, place or None))


def with_webp_exif(place: int, damage: bytes) -> bytes:
    return webp((TAGS[: place % len(TAGS)] + damage + TAGS[place % len(TAGS) :]) or b"x")


@pytest.mark.parametrize("made", [with_segments, with_chunks, with_webp_exif])
@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 999), damage=st.binary(max_size=30))
def test_no_change_of_metadata_refuses_a_picture(
    made: Callable[[int, bytes], bytes], place: int, damage: bytes
) -> None:
    found = decoded(made(place, damage))
    assert found.shape in {PIXELS.shape, TURNED.shape}
    upright = found if found.shape == PIXELS.shape else np.rot90(found)
    ways = [upright, upright[::-1], upright[:, ::-1], upright[::-1, ::-1]]
    assert min(np.abs(way.astype(int) - PIXELS).mean() for way in ways) < 12


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=20),
    st.integers(0, 4_000),
    st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "GIF", "BMP", "JPEG2000"]),
)
def test_any_damage_ends_in_a_picture_or_a_sentence(damage: bytes, place: int, format: str) -> None:
    sound = encoded(blocks(), format)
    place %= len(sound)
    content = sound[:place] + damage + sound[place + len(damage) :]
    with suppress(DataError):
        assert load_image(Path("a"), None, content).mode == "RGB"


def test_what_is_decoded_says_no_more_how_it_lies() -> None:
    image = load_image(Path("a"), None, jpeg_with_exif(TAGS))
    assert image.getexif().get(ORIENTATION) is None
    again = load_image(Path("a"), None, encoded(image, "PNG"))
    assert again.size == image.size
