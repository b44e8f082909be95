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
    values: tuple[int, ...]


ALL = Condition("1", ())


def condition_of(filters: Filters | None, folders: Sequence[tuple[int, str]]) -> Condition:
    """The condition that photos which may be found meet.

    Args:
        filters: None for all photos.
        folders: numbers and paths of all folders of the index.
    """
    if filters is None:
        return ALL
    parts: list[str] = []
    values: list[int] = []
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
    return Condition(" AND ".join(parts), tuple(values)) if parts else ALL


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
