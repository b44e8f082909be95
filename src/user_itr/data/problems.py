"""One defect of a data set, as the readers report it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a captioned image set that a reader had to leave out.

    Args:
        file: the file (or folder) at fault.
        where: the place in it ("line 12", "images[3]", "row 7"); empty for the whole file.
        message: what is wrong, with the value received, and what to do about it.
    """

    file: Path
    where: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}: {self.where}" if self.where else str(self.file)
        return f"{place}: {self.message}"
