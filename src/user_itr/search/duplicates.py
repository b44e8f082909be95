"""Copies of photos: files of the same contents, and contents that look the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np

from user_itr.search.found import PhotoFacts
from user_itr.search.index import ImageIndex
from user_itr.search.store.base import PhotoStore

NEAR_COSINE = 0.90
"""From which cosine on photos of the same shape are near copies; `benchmarks/near_copies.py`."""

SHAPE = 1.06
"""How far the ratios of width to height of near copies may be apart, as a factor."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A file that holds a photo of which there are others.

    Attributes:
        facts: of the file.
        content: number of its contents in the index; equal for exact copies.
        cosine: of its contents and those of the first copy.
    """

    facts: PhotoFacts
    content: int
    cosine: float


def find_copies(
    index: ImageIndex,
    *,
    near: bool = True,
    hidden: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[Copy]]:
    """Photos that there are several of, as groups: those with the most files first.

    The first file of a group has the most pixels, and then the most bytes. Each other one holds
    the same contents, or is near the first: no chain leads from one to another that differs.

    Args:
        index: of the photos.
        near: also near copies; a large index takes a minute for these.
        hidden: also photos that a person hid.
        progress: called with (photos compared, photos).

    Raises:
        ConfigError: if the index is on object storage.
        IndexStoreError: if it cannot be read.
    """

    def read(store: PhotoStore) -> list[list[Copy]]:
        copies = store.copies()
        pairs, cosines = np.empty((0, 2), np.int64), np.empty(0, np.float32)
        if near:
            pairs, cosines = copies.alike(NEAR_COSINE, progress)
        several = copies.in_several_files()
        files = copies.files({*pairs.ravel().tolist(), *several}, hidden=hidden)
        seen = {n: Seen.of(one[0]) for n, one in files.items()}
        close: dict[int, dict[int, float]] = {number: {} for number in files}
        for (a, b), cosine in zip(pairs.tolist(), cosines.tolist(), strict=True):
            if a in seen and b in seen and may_be_copies(seen[a], seen[b]):
                close[a][b] = close[b][a] = min(cosine, 1.0)
        return _groups(files, close)

    return index.ask(read)


class Seen(NamedTuple):
    """What tells photos apart that look alike.

    Attributes:
        width: pixels.
        height: pixels.
        taken: when; None where that is not known.
    """

    width: int
    height: int
    taken: datetime | None

    @classmethod
    def of(cls, facts: PhotoFacts) -> Seen:
        """That of a photo."""
        return cls(facts.width, facts.height, facts.taken)


def may_be_copies(one: Seen, other: Seen) -> bool:
    """Whether photos that look alike may be copies: of one shape, and not taken at two times."""
    times = {one.taken, other.taken} - {None}
    return len(times) < 2 and same_shape(one[:2], other[:2])


def same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether photos of these widths and heights may be copies, one of them cropped a little."""
    a, b = one[0] * other[1], other[0] * one[1]
    return max(a, b) <= SHAPE * min(a, b)


def _groups(
    files: dict[int, list[PhotoFacts]], close: dict[int, dict[int, float]]
) -> list[list[Copy]]:
    def rank(number: int) -> tuple[int, int, str]:
        best = files[number][0]
        return -best.width * best.height, -best.bytes, str(best.path)

    taken: set[int] = set()
    groups: list[list[Copy]] = []
    for first in sorted(files, key=rank):
        if first in taken:
            continue
        members = {first: 1.0} | {n: c for n, c in close[first].items() if n not in taken}
        taken |= members.keys()
        group = [
            Copy(facts, number, members[number])
            for number in sorted(members, key=rank)
            for facts in files[number]
        ]
        if len(group) > 1:
            groups.append(group)
    return sorted(groups, key=lambda group: -len(group))


def stacked(contents: Sequence[int], vectors: np.ndarray, seen: Sequence[Seen]) -> list[int]:
    """Of photos in a list, the place of the first one that each is a copy of, else its own.

    A list hides nothing on a guess: near copies have to be taken at the same time, too.

    Args:
        contents: their numbers; equal for exact copies.
        vectors: (N, D) float32 unit vectors.
        seen: of each.
    """
    numbers = np.asarray(contents, np.int64)
    alike = (vectors @ vectors.T >= NEAR_COSINE) | (numbers[:, None] == numbers)
    firsts = list(range(len(contents)))
    for place, earlier in np.argwhere(np.tril(alike, -1)).tolist():  # each place's by ascending
        free = firsts[place] == place and firsts[earlier] == earlier
        same = contents[place] == contents[earlier]
        dated = seen[place].taken is not None and seen[earlier].taken is not None
        if free and (same or (dated and may_be_copies(seen[place], seen[earlier]))):
            firsts[place] = earlier
    return firsts
