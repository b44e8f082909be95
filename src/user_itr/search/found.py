"""What an index tells of photos."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from user_itr.search.matching.match import Match


def photo_id(path: str) -> str:
    """The id of an indexed photo, from its path: 64 bits of BLAKE2b, 16 hex digits."""
    return hashlib.blake2b(path.encode(), digest_size=8).hexdigest()


class Hit(NamedTuple):
    """One search result.

    Attributes:
        rank: 1 is the best.
        id: of the photo in the index, 16 hex digits.
        path: the photo.
        score: cosine of query and photo, in [-1, 1].
        width: pixels of the upright photo.
        height: pixels of the upright photo.
        match: how well it fits the words; None where a search is not by one sentence alone.
    """

    rank: int
    id: str
    path: Path
    score: float
    width: int
    height: int
    match: Match | None = None


def ranked(found: Sequence[tuple[float, tuple[str, Path, str, int, int]]], k: int) -> list[Hit]:
    """The best k of photos, ties by path.

    Args:
        found: of each photo its score, and its path as text and as a path, id, width and height.
        k: hits at most.
    """
    best_first = sorted(found, key=lambda one: (-one[0], one[1][0]))[:k]
    return [
        Hit(rank, id, path, score if -1 <= score <= 1 else float(round(score)), width, height)
        for rank, (score, (_, path, id, width, height)) in enumerate(best_first, start=1)
    ]


@dataclass(frozen=True, slots=True)
class PhotoFacts:
    """What the index knows of a photo.

    Attributes:
        id: 16 hex digits, from the path.
        path: the file.
        bytes: of the file.
        modified: when the file was last changed, local time.
        taken: when the photo was taken, by the camera's clock; None where the file does not say.
        width: pixels of the upright photo.
        height: pixels of the upright photo.
        root: the folder that was indexed.
    """

    id: str
    path: Path
    bytes: int
    modified: datetime
    taken: datetime | None
    width: int
    height: int
    root: Path
