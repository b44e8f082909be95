"""EXIF as it is found in the wild: each tag is read by itself, whatever the others hold.

Pillow reads the directories; its own `Image.getexif` gives up on all tags where one is damaged.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from contextlib import suppress

from PIL import ExifTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

PREFIX = b"Exif\0\0"
_MOST_NUMBERS = 3
"""Degrees, minutes and seconds; hours, minutes and seconds."""


class Exif:
    """The tags of one picture; what is damaged counts as absent.

    Args:
        data: a TIFF structure, with or without "Exif\\0\\0" before it; a whole TIFF file, too. No
            bytes, or bytes that are something else, hold no tags.
    """

    def __init__(self, data: bytes = b"") -> None:
        while data.startswith(PREFIX):
            data = data[len(PREFIX) :]
        self._data = data
        self._head = _head(data)
        self._read: dict[int, ImageFileDirectory_v2 | None] = {}

    def __bool__(self) -> bool:
        """Whether there can be tags at all."""
        return bool(self._head)

    def image(self, tag: int) -> object:
        """The value of a tag of the first directory, as Pillow gives it; None without it."""
        return _value(self._directory(0), tag)

    def camera(self, tag: int) -> object:
        """As `image`, of the directory of the camera's settings."""
        return _value(self._directory(ExifTags.IFD.Exif), tag)

    def gps(self, tag: int) -> object:
        """As `image`, of the directory of the place."""
        return _value(self._directory(ExifTags.IFD.GPSInfo), tag)

    @property
    def orientation(self) -> int | None:
        """How the picture lies, 1 to 8 as TIFF 6.0 numbers it; None if that is not said."""
        if not self:
            return None
        numbers = numbers_of(self.image(ExifTags.Base.Orientation))
        return int(numbers[0]) if numbers and numbers[0] in range(1, 9) else None

    @property
    def location(self) -> tuple[float, float] | None:
        """Latitude and longitude in degrees (WGS 84), south and west negative.

        None where the tags are missing or cannot be right: out of range, or exactly 0, 0, which
        devices write that do not know.
        """
        if not self:
            return None
        gps = ExifTags.GPS
        north = self._angle(gps.GPSLatitude, gps.GPSLatitudeRef, "S", 90)
        east = self._angle(gps.GPSLongitude, gps.GPSLongitudeRef, "W", 180)
        if north is None or east is None or north == east == 0:
            return None
        return north, east

    def _angle(self, tag: int, reference: int, negative: str, most: int) -> float | None:
        numbers = numbers_of(self.gps(tag))
        if not numbers or math.isnan(numbers[0]):
            return None
        parts = [0.0 if math.isnan(number) else abs(number) for number in numbers]
        degrees = sum(part / 60**power for power, part in enumerate(parts))
        side = text_of(self.gps(reference)).strip().upper()
        if side.startswith(negative) or any(number < 0 for number in numbers):
            degrees = -degrees
        return degrees if abs(degrees) <= most else None

    def _directory(self, pointer: int) -> ImageFileDirectory_v2 | None:
        """The directory that a tag of the first one points to; 0 is the first."""
        if pointer not in self._read:
            self._read[pointer] = self._load(pointer)
        return self._read[pointer]

    def _load(self, pointer: int) -> ImageFileDirectory_v2 | None:
        if not self._head:
            return None
        with warnings.catch_warnings(), suppress(Exception):
            warnings.simplefilter("ignore")
            directory = ImageFileDirectory_v2(self._head, group=pointer or None)
            offset = directory.next
            if pointer:
                offset = int(numbers_of(self.image(pointer))[0])
            stream = io.BytesIO(self._data)
            stream.seek(offset)
            with suppress(Exception):  # the tags before the damage stay
                directory.load(stream)
            return directory
        return None


def text_of(value: object) -> str:
    """A tag's value as text up to its first zero; in an encoding that fits. "" for other types."""
    if isinstance(value, str):
        value = value.encode("latin-1", "ignore")  # as Pillow decodes text, whatever it is
    if not isinstance(value, bytes):
        return ""
    value = value.removeprefix(b"ASCII\0\0\0").split(b"\0")[0]
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def numbers_of(value: object) -> list[float]:
    """A tag's value as at most three numbers, whatever its type; 0/0 is NaN. [] without any."""
    if isinstance(value, bytes) and len(value) == 1:
        value = value[0]
    if isinstance(value, str | bytes):
        found = re.findall(r"-?\d+(?:\.\d+)?", text_of(value)[:64])
        return [float(number) for number in found[:_MOST_NUMBERS]]
    if not isinstance(value, tuple):
        value = (value,)
    numbers = []
    for part in value[:_MOST_NUMBERS]:
        try:
            numbers.append(float(part))
        except (TypeError, ValueError, ZeroDivisionError, OverflowError):
            return numbers
    return numbers


def _head(data: bytes) -> bytes:
    """The header for Pillow; raw photographs have letters of their maker in the place of 42."""
    if data[:4] == b"II+\0":
        return data[:16]
    if data[:2] == b"II":
        return b"II*\0" + data[4:8]
    return b"MM\0*" + data[4:8] if data[:2] == b"MM" else b""


def _value(directory: ImageFileDirectory_v2 | None, tag: int) -> object:
    if directory is None or tag not in directory:
        return None
    with warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")
        value: object = directory[tag]
        return value[0] if isinstance(value, tuple) and len(value) == 1 else value
    return None
