"""What an update tells when it is done."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from user_itr.search.photos import Skipped


@dataclass(frozen=True, slots=True)
class Kept:
    """Photos that stay in the index though they cannot be found.

    Attributes:
        folder: that is missing, empty or cannot be read; its photos are below it.
        photos: how many stay.
        reason: what is the matter with the folder.
    """

    folder: Path
    photos: int
    reason: str


@dataclass(slots=True)
class IndexReport:
    """What an update did.

    Attributes:
        folder: the photos' folder, absolute; the photo, where one was named.
        added: photos that were not in the index, copies of others included.
        updated: photos whose contents, or whose sidecar, had changed.
        moved: photos that the index knew from a path where they are no longer.
        unchanged: photos that were left as they were.
        removed: photos that left the index, because the file is gone, no longer decodes, or is
            passed over now.
        encoded: photos that the model encoded: those with contents that the index did not know.
        skipped: what should have been taken in and was not, and why.
        seconds: wall-clock time.
        kept: photos whose folder is missing, empty or unreadable.
        passed_over: files and folders that are not looked for, by reason or ending.
        excluded: those of `removed` that are there, and are passed over now.
        differed: photos that `verify` found to be others than the index had, by nothing else.
    """

    folder: Path
    added: int = 0
    updated: int = 0
    moved: int = 0
    unchanged: int = 0
    removed: int = 0
    encoded: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    seconds: float = 0.0
    kept: list[Kept] = field(default_factory=list)
    passed_over: dict[str, int] = field(default_factory=dict)
    excluded: int = 0
    differed: int = 0
