from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_bytes import (
    ASCII,
    BYTE,
    LONG,
    ORIENTATION,
    ORIGINAL,
    RATIONAL,
    Tag,
    exif,
    rationals,
    short,
    text,
)

from user_itr.data.exif import Exif, numbers_of, text_of

SIX = short(ORIENTATION, 6)
PARIS = [
    text(1, "N"),
    rationals(2, (48, 1), (51, 1), (30, 1)),
    text(3, "E"),
    rationals(4, (2, 1), (17, 1), (40, 1)),
]


@pytest.mark.parametrize(
    ("tag", "orientation"),
    [
        (short(ORIENTATION, 6), 6),
        ((ORIENTATION, LONG, 1, struct.pack("<I", 8)), 8),
        ((ORIENTATION, BYTE, 1, b"\x03"), 3),
        ((ORIENTATION, ASCII, 2, b"6\0"), 6),
        ((ORIENTATION, RATIONAL, 1, struct.pack("<II", 12, 2)), 6),
        ((ORIENTATION, 3, 2, struct.pack("<HH", 6, 1)), 6),
        (short(ORIENTATION, 0), None),
        (short(ORIENTATION, 9), None),
        ((ORIENTATION, ASCII, 3, b"up\0"), None),
        ((ORIENTATION, RATIONAL, 1, bytes(8)), None),
        ((ORIENTATION, 99, 1, b"\6\0\0\0"), None),
    ],
)
def test_orientation_of_any_type(tag: Tag, orientation: int | None) -> None:
    assert Exif(exif([tag])).orientation == orientation
    assert Exif(b"Exif\0\0" + exif([tag])).orientation == orientation


@pytest.mark.parametrize("data", [b"", b"garbage", b"II*\0", b"Exif\0\0", b"II*\0" + b"\xff" * 90])
def test_what_is_no_exif_holds_no_tags(data: bytes) -> None:
    tags = Exif(data)
    assert (tags.orientation, tags.location, tags.camera(ORIGINAL)) == (None, None, None)


@pytest.mark.parametrize(
    ("tags", "place"),
    [
        (PARIS, (48.858333, 2.294444)),
        ([text(1, "S"), PARIS[1], text(3, "W"), PARIS[3]], (-48.858333, -2.294444)),
        ([text(1, "south"), PARIS[1], PARIS[3]], (-48.858333, 2.294444)),
        (
            [
                text(1, "N"),
                rationals(2, (-48, 1), (30, 1), (0, 1), signed=True),
                text(3, "E"),
                rationals(4, (2, 1), (0, 1), (0, 1)),
            ],
            (-48.5, 2),
        ),
        (
            [rationals(2, (97, 2), (0, 1), (0, 0)), rationals(4, (5, 2), (0, 1), (0, 0))],
            (48.5, 2.5),
        ),
        ([rationals(2, (97, 2)), rationals(4, (5, 2))], (48.5, 2.5)),
        ([text(2, "48.5"), text(4, "2, 30, 0")], (48.5, 2.5)),
        ([rationals(2, (0, 0)), rationals(4, (5, 2))], None),
        ([rationals(2, (91, 1)), rationals(4, (5, 1))], None),
        ([rationals(2, (9, 1)), rationals(4, (181, 1))], None),
        ([rationals(2, (0, 1)), rationals(4, (0, 1))], None),
        (PARIS[:2], None),
        ([], None),
    ],
)
def test_places(tags: list[Tag], place: tuple[float, float] | None) -> None:
    assert Exif(exif([SIX], None, tags)).location == (
        place if place is None else pytest.approx(place, abs=1e-6)
    )


def test_one_damaged_tag_hides_no_other() -> None:
    camera = [(ORIGINAL - 1, 99, 1, b"\1"), text(ORIGINAL, "2021:05:06 10:11:12")]
    gone = [(282, RATIONAL, 1, b""), (33432, RATIONAL, 9_999_999, b"\xff" * 8)]
    tags = Exif(exif([SIX, *gone], camera, [(0, ASCII, 4, b"2200"), *PARIS]))
    assert tags.orientation == 6
    assert text_of(tags.camera(ORIGINAL)) == "2021:05:06 10:11:12"
    assert tags.location == pytest.approx((48.858333, 2.294444), abs=1e-6)


def test_values_as_text_and_numbers() -> None:
    assert text_of("né".encode().decode("latin-1")) == "né"  # UTF-8, as Pillow gives it
    assert text_of(b"n\xe9\0rest") == "né"
    assert text_of(12) == text_of(None) == ""
    assert numbers_of("51 deg 30' 12.5") == [51, 30, 12.5]
    assert numbers_of((1, "x")) == [1]
    assert numbers_of(None) == []


@given(st.binary(max_size=40), st.integers(0, 400), st.sampled_from([b"", b"\xff", bytes(4)]))
def test_any_damage_gives_values_and_no_error(damage: bytes, place: int, filling: bytes) -> None:
    sound = bytearray(exif([SIX], [text(ORIGINAL, "2021:05:06 10:11:12")], PARIS))
    sound[place : place + len(damage)] = damage
    tags = Exif(bytes(sound) + filling)
    assert tags.orientation in {None, *range(1, 9)}
    assert tags.location is None or abs(tags.location[0]) <= 90
    tags.camera(ORIGINAL)
