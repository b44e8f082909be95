"""The conditions of SQL that search filters are, on the tables of `schema.py`."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from datetime import date, datetime, timezone
from typing import NamedTuple

from user_itr.search.filters import Filters
from user_itr.search.store.base import fitting

DAY = 86_400

EPOCH = datetime(1970, 1, 1)


class Condition(NamedTuple):
    """A condition on rows of files `f` and contents `c`.

    Attributes:
        text: of SQL.
        values: of its parameters.
    """

    text: str
    values: tuple[float, ...]


ALL = Condition("1", ())


class Kept(NamedTuple):
    """What a database has of what people add to photos.

    Attributes:
        tables: whether it has the tables; a file of an earlier user-itr has none.
        hidden: whether any photo is hidden.
    """

    tables: bool
    hidden: bool


def condition_of(
    filters: Filters | None, folders: Sequence[tuple[int, str]], kept: Kept
) -> Condition:
    """The condition that photos which may be found meet.

    Args:
        filters: None for no limits, which leaves hidden photos out.
        folders: numbers and paths of all folders of the index.
        kept: of the database.
    """
    filters = Filters() if filters is None else filters
    parts, values = _of_marks(filters, kept)
    for text, value in (
        ("f.moment >= ?", None if filters.after is None else _seconds(filters.after)),
        ("f.moment < ?", None if filters.before is None else _seconds(filters.before) + DAY),
        ("c.width >= ?", filters.min_width),
        ("c.height >= ?", filters.min_height),
        ("f.size >= ?", filters.min_bytes),
        ("f.size <= ?", filters.max_bytes),
    ):
        if value is not None:
            parts.append(text)
            values.append(fitting(value))
    if filters.folder is not None:
        wanted = unicodedata.normalize("NFC", str(filters.resolved_folder()))
        below = [
            id for id, path in folders if _is_below(unicodedata.normalize("NFC", path), wanted)
        ]
        parts.append(f"f.folder IN ({','.join(map(str, below))})")
    if filters.area is not None:
        south, west, north, east = filters.area
        parts.append("c.latitude BETWEEN ? AND ?")
        word = "AND" if west <= east else "OR"
        parts.append(f"(c.longitude >= ? {word} c.longitude <= ?)")
        values += [south, north, west, east]
    return Condition(" AND ".join(parts), tuple(values)) if parts else ALL


def _of_marks(filters: Filters, kept: Kept) -> tuple[list[str], list[float]]:
    """Conditions on favourites, an album and hidden photos, with their parameters."""
    if not kept.tables:
        asks = filters.favourites or filters.album is not None or filters.hidden == "only"
        return (["0"] if asks else []), []
    parts: list[str] = []
    values: list[float] = []
    if filters.hidden == "only" or (filters.hidden == "without" and kept.hidden):
        word = "IN" if filters.hidden == "only" else "NOT IN"
        parts.append(f"f.content {word} ({_CONTENTS.format(table='hidden')})")
    if filters.favourites:
        parts.append(f"f.content IN ({_CONTENTS.format(table='favourites')})")
    if filters.album is not None:
        table = _CONTENTS.format(table="album_photos")
        parts.append(f"f.content IN ({table} WHERE m.album = ?)")
        values.append(fitting(filters.album))
    return parts, values


_CONTENTS = "SELECT x.id FROM {table} m JOIN contents x ON x.hash = m.hash"
"""Contents in one of the tables of what people add."""


def moment_of(taken: datetime | None, mtime_ns: int) -> int:
    """Seconds since 1970 by the clock on the wall, when a photo was taken or else changed."""
    if taken is not None:
        return seconds_of(taken)
    seconds = mtime_ns // 1_000_000_000
    try:
        zone = datetime.fromtimestamp(seconds, timezone.utc).astimezone().utcoffset()
    except (OSError, OverflowError, ValueError):  # outside of the years that Python has
        return seconds
    return seconds + (0 if zone is None else int(zone.total_seconds()))


def seconds_of(taken: datetime) -> int:
    """Seconds since 1970 of a date without a zone."""
    return (taken - EPOCH) // (datetime(1970, 1, 1, 0, 0, 1) - EPOCH)


def _seconds(day: date) -> int:
    return (day - date(1970, 1, 1)).days * DAY


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))  # noqa: PTH118
