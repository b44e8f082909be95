"""Which photos of an index a search may find: by date, folder and size."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

from user_itr.errors import ConfigError


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

    Raises:
        ConfigError: if a number is negative, or a range is empty.
    """

    after: date | None = None
    before: date | None = None
    folder: Path | None = None
    min_width: int | None = None
    min_height: int | None = None
    min_bytes: int | None = None
    max_bytes: int | None = None

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

    def sql(self) -> str | None:
        """The condition on the rows of an index, or None where every photo may be found."""
        parts = []
        if self.after is not None:
            parts.append(_day_condition(">=", self.after))
        if self.before is not None:
            parts.append(_day_condition("<", self.before + timedelta(days=1)))
        if self.folder is not None:
            prefix = os.path.join(self.folder.expanduser().resolve(), "")  # noqa: PTH118
            parts.append(f"starts_with(path, {quoted(prefix)})")
        for column, operator, value in (
            ("width", ">=", self.min_width),
            ("height", ">=", self.min_height),
            ("size", ">=", self.min_bytes),
            ("size", "<=", self.max_bytes),
        ):
            if value is not None:
                parts.append(f"{column} {operator} {value:d}")
        return " AND ".join(parts) or None


def quoted(text: str) -> str:
    """Text as a literal of SQL, in which only the quote itself is special."""
    return "'" + text.replace("'", "''") + "'"


def _day_condition(operator: str, day: date) -> str:
    start = datetime.combine(day, time())
    changed = int(start.timestamp()) * 1_000_000_000  # local midnight, as the file system counts
    return (
        f"((taken IS NOT NULL AND taken {operator} timestamp '{start:%Y-%m-%d %H:%M:%S}')"
        f" OR (taken IS NULL AND mtime_ns {operator} {changed}))"
    )
