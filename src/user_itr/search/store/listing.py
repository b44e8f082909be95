"""Rows of the SQLite file as the facts of photos, and back."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from user_itr.search.filters import Area
from user_itr.search.found import PhotoFacts
from user_itr.search.store.base import Cluster, FileRow, FileState
from user_itr.search.store.conditions import EPOCH

FACTS = """SELECT f.id, d.path, f.name, f.size, f.mtime_ns, coalesce(f.sidecar_taken, c.taken),
    c.width, c.height, r.path
FROM files_{g} f JOIN folders d ON d.id = f.folder JOIN roots r ON r.id = f.root
    JOIN contents c ON c.id = f.content
WHERE {where} ORDER BY f.moment DESC, f.id LIMIT ? OFFSET ?"""
"""Of files, the latest first."""

CLUSTERS = """SELECT count(*), avg(c.latitude), avg(c.longitude), min(c.latitude), min(c.longitude),
    max(c.latitude), max(c.longitude), f.id
FROM files_{g} f JOIN contents c ON c.id = f.content
WHERE c.latitude IS NOT NULL AND {where}
GROUP BY cast((c.latitude + 90) / ? AS INTEGER), cast((c.longitude + 180) / ? AS INTEGER)
ORDER BY count(*) DESC, f.id LIMIT ?"""
"""Of files, by the cells of a grid; `f.id` is that of any file in a cell."""

FILES = """SELECT d.path, f.name, r.path, f.size, f.mtime_ns, f.ctime_ns, f.inode, c.hash,
    f.sidecar_size, f.sidecar_mtime_ns, f.sidecar_taken
FROM files_{g} f JOIN folders d ON d.id = f.folder JOIN roots r ON r.id = f.root
    JOIN contents c ON c.id = f.content"""
"""Of files, as an update compares them."""

HALF = 2**63

ACCENTS = re.compile("[\u0300-\u036f]")
"""Marks that FTS5 takes for parts of the letters before them, and leaves out of its words."""


def file_of(row: Sequence[Any]) -> FileRow:
    """The file in a row of `FILES`."""
    folder, name, root, size, mtime_ns, ctime_ns, inode, digest, *sidecar, taken = row
    return FileRow(
        joined(folder, name),
        root,
        FileState(size, mtime_ns, ctime_ns, inode),
        digest.hex(),
        None if sidecar[0] is None else (sidecar[0], sidecar[1]),
        date_of(taken),
    )


def facts_of(row: Sequence[Any]) -> PhotoFacts:
    """The facts in a row of `FACTS`."""
    id, folder, name, size, mtime_ns, taken, width, height, root = row
    return PhotoFacts(
        shown_id(id),
        Path(joined(folder, name)),
        size,
        modified(mtime_ns),
        date_of(taken),
        width,
        height,
        Path(root),
    )


def cluster_of(row: Sequence[Any]) -> Cluster:
    """The cluster in a row of `CLUSTERS`."""
    count, latitude, longitude, *area, id = row
    return Cluster(count, latitude, longitude, Area(*area), shown_id(id))


def joined(folder: str, name: str) -> str:
    """A path out of a folder, which may be the topmost one, and a name."""
    return folder + name if folder.endswith(os.sep) else f"{folder}{os.sep}{name}"


def shown_id(number: int) -> str:
    """A file's id, 16 hex digits, out of its number in the database, which has a sign."""
    return f"{number % (2 * HALF):016x}"


def number_of(id: str) -> int | None:
    """A file's number out of its id; None, which no file has, out of anything else."""
    if not re.fullmatch("[0-9a-f]{16}", id):
        return None
    number = int(id, 16)
    return number - 2 * HALF if number >= HALF else number


def date_of(seconds: int | None) -> datetime | None:
    """A date without a zone out of seconds since 1970."""
    return None if seconds is None else EPOCH + timedelta(seconds=seconds)


def numbers_of(ids: Iterable[str]) -> list[int]:
    """Numbers of files out of their ids, each once; anything else is left out."""
    found = (number_of(id) for id in dict.fromkeys(ids))
    return [number for number in found if number is not None]


def match_of(words: str) -> str | None:
    """Words as FTS5 is asked for rows that have all of them, each by its beginning."""
    plain = ACCENTS.sub("", unicodedata.normalize("NFD", words))
    found = re.findall(r"[^\W_]+", unicodedata.normalize("NFC", plain))
    return " ".join(f'"{word}"*' for word in found) or None


def modified(mtime_ns: int) -> datetime:
    """When a file was changed, local time, or the nearest date that there is."""
    try:
        return datetime.fromtimestamp(mtime_ns / 1e9)
    except (OSError, OverflowError, ValueError):  # outside of the years that Python has
        return datetime.max if mtime_ns > 0 else datetime.min
