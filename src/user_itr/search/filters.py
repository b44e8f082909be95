"""Which photos of an index a search may find: by date, folder, size and what people add."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple

from user_itr.errors import ConfigError

Hidden = Literal["without", "with", "only"]
"""What is found of the photos that a person hid."""


class Area(NamedTuple):
    """Between two parallels and two meridians, all in degrees; they belong to it.

    With `west` greater than `east` it is the part that has the 180th meridian.
    """

    south: float
    west: float
    north: float
    east: float


@dataclass(frozen=True)
class Filters:
    """Limits on the photos; None is no limit.

    The day of a photo is the one it was taken on (EXIF), or else that of the file's last change.

    Args:
        after: first day.
        before: last day.
        folder: photos below this folder.
        min_width: pixels of the upright photo.
        min_height: pixels of the upright photo.
        min_bytes: of the file.
        max_bytes: of the file.
        album: number of an album that photos are in; see `albums.Albums`.
        favourites: only photos that are favourites.
        hidden: what is found of hidden photos.
        area: photos that say they were taken there (WGS 84).

    Raises:
        ConfigError: if a number is negative or too large, a range is empty, the folder's path is
            invalid, or the area lies outside of the globe.
    """

    after: date | None = None
    before: date | None = None
    folder: Path | None = None
    min_width: int | None = None
    min_height: int | None = None
    min_bytes: int | None = None
    max_bytes: int | None = None
    album: int | None = None
    favourites: bool = False
    hidden: Hidden = "without"
    area: Area | None = None

    def __post_init__(self) -> None:
        for name in ("min_width", "min_height", "min_bytes", "max_bytes"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 2**62:
                raise ConfigError(f"{name} is {value}; give a number of at least 0.")
        if self.after and self.before and self.after > self.before:
            raise ConfigError(
                f"no day is both after {self.after} and before {self.before}; swap the two."
            )
        if None not in (self.min_bytes, self.max_bytes) and self.min_bytes > self.max_bytes:  # type: ignore[operator]
            raise ConfigError(
                f"no file has both at least {self.min_bytes} and at most {self.max_bytes} bytes; "
                "swap the two."
            )
        if self.folder is not None:
            resolved(self.folder)
        if self.area is not None:
            _require_globe(self.area)

    def resolved_folder(self) -> Path | None:
        """The folder, absolute, links followed; None for no limit."""
        return None if self.folder is None else resolved(self.folder)


def _require_globe(area: Area) -> None:
    south, west, north, east = area
    if not (-90 <= south <= north <= 90 and -180 <= west <= 180 and -180 <= east <= 180):
        raise ConfigError(
            f"area {south:g},{west:g},{north:g},{east:g}: give south, west, north and east in "
            "degrees, the south from -90 up to the north, the others from -180 to 180."
        )


def resolved(folder: Path) -> Path:
    """A folder's absolute path, links followed.

    Raises:
        ConfigError: if the path is invalid.
    """
    try:
        found = folder.expanduser().resolve()
        str(found).encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"folder {str(folder)!a} is no valid UTF-8, and no such photo is indexed."
        ) from None
    except (OSError, RuntimeError, ValueError) as error:  # no such user, a loop of links, a NUL
        raise ConfigError(f"folder {str(folder)!r} is no path ({error}).") from None
    return found
