"""When a photograph was taken, in whatever way cameras, phones and editors write it.

A date is the camera's local clock to the second, without a zone: what a person remembers as the
day and the hour. Zones and fractions of a second are read and left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import parsedate

from PIL import ExifTags

from user_itr.data.exif import Exif, numbers_of, text_of
from user_itr.data.metadata import Metadata
from user_itr.data.xmp import xmp_dates

FIRST_YEAR, LAST_YEAR = 1826, 2100
"""Dates outside are taken for mistakes: the first photograph that is left is of 1826. A camera
whose clock is some years ahead keeps its date."""

_ORIGINAL, _DIGITIZED = ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized
_DATE_TIME = ExifTags.Base.DateTime
_DAY = re.compile(
    r"(\d{4})\s*[:/.\-年]\s*(\d{1,2})\s*[:/.\-月]\s*(\d{1,2})(?!\d)日?(.*)", re.DOTALL
)
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:[T _-]?(\d\d):?(\d\d)(?::?(\d\d))?)?(?!\d)")
_TIME = re.compile(r"[T\s,_:]+[^\d+\-]{0,12}?(\d{1,2})\s*[:.]\s*(\d{1,2})(?:\s*[:.]\s*(\d{1,2}))?")
_ZONE = re.compile(r"\s*[+-]\d\d(?::?\d\d)?\s*$")
_MORNING = re.compile(r"\ba\.?\s?m\b|上午|午前|오전", re.IGNORECASE)
_EVENING = re.compile(r"\bp\.?\s?m\b|下午|午後|오후", re.IGNORECASE)


def taken_of(metadata: Metadata) -> datetime | None:
    """When a picture was taken, as far as it says so.

    The first possible one of: EXIF DateTimeOriginal and DateTimeDigitized; the dates of XMP; EXIF
    DateTime; the "Creation Time" of a PNG; the date and time of GPS, which are UTC, moved by EXIF's
    offset where there is one; the time of the last change of a PNG.
    """
    return _first_possible(_candidates(metadata))


def sidecar_taken(content: bytes) -> datetime | None:
    """When a photo was taken, after the bytes of the XMP file beside it; None if it does not say.

    Any bytes may be given; damaged XMP gives what stands before the damage.
    """
    return _first_possible(xmp_dates(content))


def parse_date(text: str) -> datetime | None:
    """Read one date; a day alone is its midnight. None where the text
    is not a date, or the date cannot be.

    Example:
        >>> parse_date("2021:05:06 10:11:12")
        datetime.datetime(2021, 5, 6, 10, 11, 12)
        >>> parse_date("2021-05-06T10:11:12.25+02:00")
        datetime.datetime(2021, 5, 6, 10, 11, 12)
        >>> parse_date("0000:00:00 00:00:00")
    """
    text = text.split("\0")[0].strip()[:64]
    with suppress(ValueError, OverflowError):
        if day := _DAY.match(text):
            year, month, date = (int(part) for part in day.groups()[:3])
            return _possible(year, month, date, _clock(day[4]))
        if compact := _COMPACT.match(text):
            year, month, date, *clock = (int(part or 0) for part in compact.groups())
            return _possible(year, month, date, tuple(clock))
        if spelled := parsedate(text):  # Thu, 06 May 2021 10:11:12 +0000
            return _possible(*spelled[:3], spelled[3:6])
    return None


def _candidates(metadata: Metadata) -> Iterator[str]:
    """From the surest to the least sure; read one after another, so that most are not read."""
    exif = metadata.exif
    if exif:
        yield text_of(exif.camera(_ORIGINAL))
        yield text_of(exif.camera(_DIGITIZED))
        yield text_of(exif.image(_ORIGINAL))  # where some editors put it
    if metadata.xmp:
        yield from xmp_dates(metadata.xmp)
    if exif:
        yield text_of(exif.image(_DATE_TIME))
    yield metadata.texts.get("Creation Time", "")
    if exif:
        yield _gps_clock(exif)
    yield metadata.changed()


def _gps_clock(exif: Exif) -> str:
    day = parse_date(text_of(exif.gps(ExifTags.GPS.GPSDateStamp)))
    time = numbers_of(exif.gps(ExifTags.GPS.GPSTimeStamp))
    if day is None or len(time) < 3:
        return "" if day is None else str(day)
    offset = timedelta()
    for tag in (ExifTags.Base.OffsetTimeOriginal, ExifTags.Base.OffsetTime):
        if found := re.match(r"\s*([+-])(\d\d):(\d\d)", text_of(exif.camera(tag))):
            sign = -1 if found[1] == "-" else 1
            offset = sign * timedelta(hours=int(found[2]), minutes=int(found[3]))
            break
    with suppress(ValueError, OverflowError):  # of NaN, or far out of range
        hours, minutes, seconds = (int(part) for part in time)
        if _in_a_day(hours, minutes, seconds):
            moment = day + timedelta(hours=hours, minutes=minutes, seconds=seconds) + offset
            return moment.isoformat()
    return str(day)


def _first_possible(texts: Iterable[str]) -> datetime | None:
    return next((date for text in texts if text and (date := parse_date(text)) is not None), None)


def _clock(rest: str) -> tuple[int, int, int]:
    """Hours, minutes and seconds of what stands behind a day.

    Raises:
        ValueError: if it is something else than a time, a zone or fillings.
    """
    time = _TIME.match(rest)
    if time is None:
        if re.search(r"\d", _ZONE.sub("", rest)):
            raise ValueError(rest)
        return 0, 0, 0
    hours, minutes, seconds = (int(part or 0) for part in time.groups())
    if _EVENING.search(rest) and hours < 12:
        hours += 12
    elif _MORNING.search(rest) and hours == 12:
        hours = 0
    return hours, minutes, seconds


def _possible(year: int, month: int, day: int, clock: tuple[int, ...]) -> datetime | None:
    if not (FIRST_YEAR <= year <= LAST_YEAR and _in_a_day(*clock)):
        return None
    hours, minutes, seconds = clock
    return datetime(year, month, day) + timedelta(
        hours=hours, minutes=minutes, seconds=min(seconds, 59)
    )


def _in_a_day(hours: int, minutes: int, seconds: int) -> bool:
    """Whether a clock can show it; 24:00:00 and leap seconds are written, too."""
    if hours == 24:
        return minutes == seconds == 0
    return 0 <= hours < 24 and 0 <= minutes < 60 and 0 <= seconds <= 60
