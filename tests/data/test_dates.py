from __future__ import annotations

import struct
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_bytes import (
    BYTE,
    DATE_TIME,
    DIGITIZED,
    ORIGINAL,
    RATIONAL,
    UNDEFINED,
    Tag,
    blocks,
    chunk,
    encoded,
    exif,
    jpeg,
    jpeg_with_exif,
    png,
    rationals,
    segment,
    text,
    webp,
    xmp,
)

from user_itr.data.dates import parse_date, sidecar_taken, taken_of
from user_itr.data.exif import Exif
from user_itr.data.images import decode_image
from user_itr.data.metadata import Metadata
from user_itr.data.xmp import xmp_dates

MOMENT = datetime(2021, 5, 6, 10, 11, 12)
DAY = datetime(2021, 5, 6)
NOON, MIDNIGHT = datetime(2021, 5, 6, 12, 11, 12), datetime(2021, 5, 6, 0, 11, 12)
EVENING = datetime(2021, 5, 6, 22, 11, 12)


@pytest.mark.parametrize(
    ("written", "date"),
    [
        ("2021:05:06 10:11:12", MOMENT),
        ("2021:05:06 10:11:12\0\0", MOMENT),
        ("  2021:05:06  10:11:12 ", MOMENT),
        ("2021-05-06 10:11:12", MOMENT),
        ("2021/05/06 10:11:12", MOMENT),
        ("2021.05.06 10.11.12", MOMENT),
        ("2021:05:06:10:11:12", MOMENT),
        ("2021:5:6 10:11:12", MOMENT),
        ("2021: 5: 6 10:11:12", MOMENT),
        ("2021-05-06T10:11:12", MOMENT),
        ("2021-05-06T10:11:12Z", MOMENT),
        ("2021-05-06T10:11:12+02:00", MOMENT),
        ("2021-05-06T10:11:12.25-0930", MOMENT),
        ("2021-05-06T10:11:12.123456789Z", MOMENT),
        ("2021:05:06 10:11:12+02:00", MOMENT),
        ("2021:05:06 10:11:12.50", MOMENT),
        ("2021:05:06 10:11:12 UTC", MOMENT),
        ("2021-05-06T10:11", datetime(2021, 5, 6, 10, 11)),
        ("2021-05-06T10:11+02:00", datetime(2021, 5, 6, 10, 11)),
        ("20210506T101112", MOMENT),
        ("20210506_101112", MOMENT),
        ("20210506 10:11:12", MOMENT),
        ("20210506", DAY),
        ("2021年05月06日 10:11:12", MOMENT),
        ("٢٠٢١:٠٥:٠٦ ١٠:١١:١٢", MOMENT),
        ("2021:05:06 10:11:12 AM", MOMENT),
        ("2021:05:06 10:11:12 PM", EVENING),
        ("2021:05:06 10:11:12 p.m.", EVENING),
        ("2021:05:06 12:11:12 pm", NOON),
        ("2021:05:06 12:11:12 AM", MIDNIGHT),
        ("2021:05:06 22:11:12 PM", EVENING),
        ("2021:05:06 下午10:11:12", EVENING),
        ("2021:05:06 10:11:12 오후", EVENING),
        ("2021-05-06", DAY),
        ("2021:05:06", DAY),
        ("2021/05/06", DAY),
        ("2021-05-06Z", DAY),
        ("2021-05-06+02:00", DAY),
        ("2021:05:06   :  :  ", DAY),
        ("2021:05:06 24:00:00", datetime(2021, 5, 7)),
        ("2021:05:06 10:11:60", datetime(2021, 5, 6, 10, 11, 59)),
        ("Thu, 06 May 2021 10:11:12 +0000", MOMENT),
        ("6 May 2021 10:11:12 GMT", MOMENT),
        ("Thu May  6 10:11:12 2021", MOMENT),
        ("1826:01:01 00:00:00", datetime(1826, 1, 1)),
        ("2100:12:31 23:59:59", datetime(2100, 12, 31, 23, 59, 59)),
        ("2020:02:29 10:11:12", datetime(2020, 2, 29, 10, 11, 12)),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("0000-00-00", None),
        ("9999:12:31 23:59:59", None),
        ("2101:01:01 00:00:00", None),
        ("1825:12:31 00:00:00", None),
        ("2021:13:06 10:11:12", None),
        ("2021:02:29 10:11:12", None),
        ("2021:05:06 25:00:00", None),
        ("2021:05:06 10:61:00", None),
        ("2021:05:06 24:00:01", None),
        ("2021:00:00 00:00:00", None),
        ("2021-05", None),
        ("2021", None),
        ("yesterday", None),
        ("", None),
        ("\0", None),
        ("-2021:05:06 10:11:12", None),
        ("12021:05:06 10:11:12", None),
    ],
)
def test_spellings(written: str, date: datetime | None) -> None:
    assert parse_date(written) == date


@given(st.datetimes(datetime(1826, 1, 1), datetime(2100, 12, 31)))
def test_every_moment_in_every_order_of_fields(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    for form in (
        "%Y:%m:%d %H:%M:%S",
        "%Y-%m-%dT%H:%M:%S",
        "%Y/%m/%d %H:%M:%S",
        "%Y%m%dT%H%M%S",
        "%Y:%m:%d %I:%M:%S %p",
        "%Y-%m-%dT%H:%M:%S.000+05:30",
        "%a, %d %b %Y %H:%M:%S +0100",
    ):
        assert parse_date(moment.strftime(form)) == moment, form


@given(st.text(max_size=30) | st.from_regex(r"[0-9]{4}[:/-][0-9 ]{1,2}[:/-][0-9]{2}.{0,20}"))
def test_any_text_is_a_possible_date_or_none(written: str) -> None:
    date = parse_date(written)
    assert date is None or 1826 <= date.year <= 2101
    assert date is None or date.tzinfo is None


def taken(content: bytes) -> datetime | None:
    return taken_of(decode_image(Path("a"), None, content).metadata)


GOOD = "2021:05:06 10:11:12"
OTHER = "2019:01:02 03:04:05"
GPS_DAY = [text(29, "2021:05:06"), rationals(7, (10, 1), (11, 1), (12, 1))]


@pytest.mark.parametrize(
    ("image", "camera", "gps", "date"),
    [
        ([text(DATE_TIME, OTHER)], [text(ORIGINAL, GOOD), text(DIGITIZED, OTHER)], [], MOMENT),
        ([text(DATE_TIME, OTHER)], [text(DIGITIZED, GOOD)], [], MOMENT),
        ([text(DATE_TIME, GOOD)], [], [], MOMENT),
        ([text(DATE_TIME, GOOD)], [text(ORIGINAL, "0000:00:00 00:00:00")], [], MOMENT),
        ([text(DATE_TIME, GOOD)], [text(ORIGINAL, "9999:99:99 10:11:12")], [], MOMENT),
        (
            [],
            [(ORIGINAL, RATIONAL, 1, struct.pack("<II", 7, 1)), text(DIGITIZED, GOOD)],
            [],
            MOMENT,
        ),
        ([], [(ORIGINAL, UNDEFINED, 20, GOOD.encode() + b"\0")], [], MOMENT),
        ([], [(ORIGINAL, BYTE, 20, GOOD.encode() + b"\0")], [], MOMENT),
        ([], [(ORIGINAL, 99, 20, GOOD.encode()), text(DIGITIZED, GOOD)], [], MOMENT),
        ([text(ORIGINAL, GOOD)], [], [], MOMENT),
        ([text(DATE_TIME, OTHER)], [], GPS_DAY, datetime(2019, 1, 2, 3, 4, 5)),
        ([], [], GPS_DAY, MOMENT),
        ([], [text(0x9011, "+02:00")], GPS_DAY, datetime(2021, 5, 6, 12, 11, 12)),
        ([], [], [text(29, "2021:05:06")], DAY),
        ([], [], [text(29, "2021:05:06"), rationals(7, (10, 0), (0, 0), (1, 1))], DAY),
        ([], [], [text(29, "0000:00:00"), GPS_DAY[1]], None),
        ([], [], [GPS_DAY[1]], None),
        ([], [], [], None),
    ],
)
def test_dates_of_exif(
    image: list[Tag], camera: list[Tag], gps: list[Tag], date: datetime | None
) -> None:
    tags = exif(image, camera, gps)
    assert taken_of(Metadata(Exif(tags))) == date
    assert taken(jpeg_with_exif(tags)) == date
    assert taken(png(chunk(b"eXIf", tags))) == date
    assert taken(webp(b"Exif\0\0" + tags)) == date


@pytest.mark.parametrize(
    ("body", "date"),
    [
        ('exif:DateTimeOriginal="2021-05-06T10:11:12.30+02:00"', MOMENT),
        ("|<exif:DateTimeOriginal>2021-05-06T10:11:12Z</exif:DateTimeOriginal>", MOMENT),
        ("|<photoshop:DateCreated>\n 2021-05-06T10:11:12\n</photoshop:DateCreated>", MOMENT),
        ('xmp:CreateDate="2021-05-06T10:11:12"', MOMENT),
        ('photoshop:DateCreated="2021-05-06"', DAY),
        ('xmp:CreateDate="2019-01-01" exif:DateTimeOriginal="2021-05-06T10:11:12"', MOMENT),
        ('exif:DateTimeOriginal="0000-00-00" xmp:CreateDate="2021-05-06T10:11:12"', MOMENT),
        ('xmlns:n="http://ns.adobe.com/exif/1.0/" n:DateTimeOriginal="2021-05-06"', DAY),
        ('xmp:CreateDate="2021-05-06T10&#58;11:12"', MOMENT),
        ('xmp:ModifyDate="2021-05-06T10:11:12"', None),
        ('xmp:Label="exif:DateTimeOriginal=2021-05-06"', None),
        ("|<!-- <xmp:CreateDate>2021-05-06</xmp:CreateDate> -->", None),
        ('xmp:CreateDate="2021-05-06T10:11:12"|<unclosed', MOMENT),
        ('other:thing="1" xmp:CreateDate="2021-05-06"', DAY),
        ("", None),
    ],
)
def test_dates_of_xmp_inside_and_beside(body: str, date: datetime | None) -> None:
    packet = xmp(body)
    assert sidecar_taken(packet) == date
    assert sidecar_taken(b"\xef\xbb\xbf" + packet + bytes(40)) == date
    assert sidecar_taken(packet.decode().encode("utf-16")) == date
    assert taken(jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet))) == date
    inside = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)
    assert taken(png(inside)) == date
    assert taken(encoded(blocks(), "WEBP", xmp=packet)) == date
    assert taken(encoded(blocks(), "TIFF", tiffinfo={700: packet})) == date


def test_dates_of_heic_and_avif() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    tags = exif([], [text(ORIGINAL, GOOD)])
    packet = xmp('xmp:CreateDate="2021-05-06T10:11:12"')
    for format in ("HEIF", "AVIF"):
        assert taken(encoded(blocks(), format, exif=tags)) == MOMENT
        assert taken(encoded(blocks(), format, xmp=packet)) == MOMENT


def test_exif_goes_before_xmp_and_xmp_before_the_last_change() -> None:
    packet = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp('xmp:CreateDate="2019-01-01"'))
    original = segment(0xE1, b"Exif\0\0" + exif([], [text(ORIGINAL, GOOD)]))
    changed = segment(0xE1, b"Exif\0\0" + exif([text(DATE_TIME, GOOD)]))
    assert taken(jpeg(original, packet)) == MOMENT
    assert taken(jpeg(changed, packet)) == datetime(2019, 1, 1)


def test_dates_of_png() -> None:
    time = chunk(b"tIME", struct.pack(">HBBBBB", 2021, 5, 6, 10, 11, 12))
    created = chunk(b"tEXt", b"Creation Time\0Thu, 06 May 2021 10:11:12 +0000")
    later = chunk(b"tIME", struct.pack(">HBBBBB", 2022, 1, 1, 0, 0, 0))
    assert taken(png(time)) == MOMENT
    assert taken(png(later, created)) == MOMENT
    assert taken(png(chunk(b"tIME", b"\xff" * 7))) is None
    assert taken(png(chunk(b"tIME", b"short"))) is None
    plain = png()
    behind = plain[:-12] + chunk(b"eXIf", exif([], [text(ORIGINAL, GOOD)])) + plain[-12:]
    assert taken(behind) == MOMENT
    profile = exif([], [text(ORIGINAL, GOOD)]).hex()
    wrapped = f"\nexif\n    {len(profile) // 2}\n{profile}\n".encode()
    assert taken(png(chunk(b"tEXt", b"Raw profile type exif\0" + wrapped))) == MOMENT


def test_xmp_that_unfolds_is_not_unfolded() -> None:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 20))
    bomb = (
        f'<!DOCTYPE x [<!ENTITY e0 "2021-05-06">{levels}]><x xmp:CreateDate="2021-05-06">'
        "<xmp:CreateDate>&e19;</xmp:CreateDate></x>"
    ).encode()
    assert sidecar_taken(bomb) is None
    outside = b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x xmp:CreateDate="2021-05-06"/>'
    assert sidecar_taken(outside) == DAY
    assert xmp_dates(b"<a>" * 100_000) == []


@given(st.binary(max_size=60), st.integers(0, 700))
def test_any_damage_of_a_sidecar_gives_a_date_or_none(damage: bytes, place: int) -> None:
    packet = xmp('exif:DateTimeOriginal="2021-05-06T10:11:12"')
    date = sidecar_taken(packet[:place] + damage + packet[place:])
    assert date is None or date.tzinfo is None
    sidecar_taken(damage)
