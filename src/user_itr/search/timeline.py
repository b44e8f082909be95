"""All photos of an index in order of the days that they were taken on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from user_itr.data.dates import FIRST_YEAR

MOST_WIDE = 20.0
"""The widest shape that is told, and the tallest the other way round."""

_DAY = 86_400
_EPOCH = date(1970, 1, 1)

ROW = np.dtype(
    [("id", "<i8"), ("moment", "<i8"), ("taken", "?"), ("width", "<i8"), ("height", "<i8")]
)
"""What a timeline is made of: a photo's number, when it was taken or else changed in seconds since
1970, whether it says when it was taken, and its size in pixels."""


@dataclass(frozen=True, eq=False)
class Timeline:
    """The photos whose date is sound by that date, then all others; the latest first in each.

    Attributes:
        ids: (N,) int64, numbers of the photos; see `listing.shown_id`.
        days: (N,) int64, days since 1970, of the first `dated` photos the day they were taken on.
        ratios: (N,) uint16, width by height in thousandths.
        dated: photos that say when they were taken, and no day that cannot be.
    """

    ids: np.ndarray
    days: np.ndarray
    ratios: np.ndarray
    dated: int

    def __len__(self) -> int:
        return len(self.ids)

    def counts(self) -> list[tuple[date, int]]:
        """Days that photos were taken on, the latest first, each with the number of photos."""
        days, counts = np.unique(self.days[: self.dated], return_counts=True)
        pairs = zip(days[::-1].tolist(), counts[::-1].tolist(), strict=True)
        return [(_EPOCH + timedelta(days=day), count) for day, count in pairs]


def timeline_of(rows: Iterable[tuple[int, int, bool, int, int]], count: int) -> Timeline:
    """A timeline out of photos in any order.

    Args:
        rows: of each photo what `ROW` says.
        count: number of rows.
    """
    read = np.fromiter(rows, ROW, count)
    days = read["moment"] // _DAY
    first, last = (date(FIRST_YEAR, 1, 1) - _EPOCH).days, (date.today() - _EPOCH).days + 1
    sound = read["taken"] & (days >= first) & (days <= last)
    order = np.lexsort((read["id"], -read["moment"], ~sound))
    ratios = read["width"] / np.maximum(read["height"], 1)
    thousandths = np.rint(1_000 * np.clip(ratios, 1 / MOST_WIDE, MOST_WIDE)).astype("<u2")
    return Timeline(read["id"][order], days[order], thousandths[order], int(sound.sum()))
