"""What people add to photos: favourites, hidden photos and albums.

It is kept by the hash of contents and not by their rows: a rebuild, a photo that is forgotten and
comes back, a rename, a move or a disk that is not there changes nothing here. A photo that was
edited is new contents at the path of the old; `inherit` says when it gets what the old ones had.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from typing import Any, Literal, NamedTuple

import numpy as np

from user_itr.errors import ConfigError
from user_itr.search.store import listing
from user_itr.search.store.base import fitting
from user_itr.search.store.database import Database, in_parts, marks
from user_itr.search.store.embeddings import DTYPE
from user_itr.search.store.schema import MARKS_VERSION, generations

Table = Literal["favourites", "hidden"]

EDITED_COSINE = 0.9
"""How alike a photo without a date is to the one whose place it takes, to count as it, edited."""

_PUT_IN = "INSERT INTO album_photos VALUES (?, ?) ON CONFLICT DO NOTHING"
_MARK = "INSERT INTO {table} VALUES (?) ON CONFLICT DO NOTHING"


class NoSuchAlbumError(ConfigError):
    """An album is not there, or not any more."""

    @classmethod
    def of(cls, album: int) -> NoSuchAlbumError:
        """The error about an album's number."""
        return cls(f"there is no album of number {album}; it may have been deleted.")


class Album(NamedTuple):
    """An album.

    Attributes:
        id: its number, which no other album gets.
        name: unique.
        created: when it was made.
        photos: files of the index that are in it, hidden ones too.
    """

    id: int
    name: str
    created: datetime
    photos: int


class PhotoMarks(NamedTuple):
    """What people added to a photo.

    Attributes:
        favourite: whether it is one.
        hidden: whether it is left out of lists and searches.
        albums: numbers of the albums that it is in.
    """

    favourite: bool
    hidden: bool
    albums: tuple[int, ...]


class Kept(NamedTuple):
    """All that people added, by the hashes of contents.

    Attributes:
        albums: of each its name, when it was made, and what is in it.
        favourites: hashes.
        hidden: hashes.
    """

    albums: tuple[tuple[str, datetime, tuple[str, ...]], ...]
    favourites: tuple[str, ...]
    hidden: tuple[str, ...]


class Marks:
    """Reads and changes what people added. Changes need no lock of the index.

    Args:
        database: of the index.
        generation: whose photos are meant by their ids.
    """

    def __init__(self, database: Database, generation: int) -> None:
        self._database = database
        self._files = f"files_{generation}"
        self._hash = (
            f"SELECT DISTINCT c.hash FROM files_{generation} f JOIN contents c ON c.id = f.content "
            "WHERE f.id"
        )

    def albums(self) -> list[Album]:
        """All albums, by name."""
        rows = self._read(
            "SELECT a.id, a.name, a.created, (SELECT count(*) FROM album_photos p "
            f"JOIN contents c ON c.hash = p.hash JOIN {self._files} f ON f.content = c.id "
            "WHERE p.album = a.id) FROM albums a"
        )
        found = [Album(id, name, _moment(created), photos) for id, name, created, photos in rows]
        return sorted(found, key=lambda album: (album.name.casefold(), album.name))

    def count(self, table: Table) -> int:
        """How many files of the index are favourites, or hidden."""
        rows = self._read(
            f"SELECT count(*) FROM {table} p JOIN contents c ON c.hash = p.hash "
            f"JOIN {self._files} f ON f.content = c.id"
        )
        return int(rows[0][0]) if rows else 0

    def of(self, ids: Sequence[str]) -> dict[str, PhotoMarks]:
        """By id, what was added to photos; those that the index lacks are left out."""
        found: dict[str, PhotoMarks] = {}
        for part in in_parts(listing.numbers_of(ids)):
            rows = self._read(
                "SELECT f.id, c.hash IN (SELECT hash FROM favourites), "
                "c.hash IN (SELECT hash FROM hidden), "
                "(SELECT group_concat(a.id) FROM albums a WHERE EXISTS (SELECT 1 FROM album_photos "
                "p WHERE p.album = a.id AND p.hash = c.hash)) "
                f"FROM {self._files} f JOIN contents c ON c.id = f.content "
                f"WHERE f.id IN ({marks(part)})",
                part,
            )
            for id, favourite, hidden, albums in rows:
                numbers = tuple(int(one) for one in (albums or "").split(",") if one)
                found[listing.shown_id(id)] = PhotoMarks(bool(favourite), bool(hidden), numbers)
        return found

    def among(self, table: Table, ids: Sequence[str]) -> set[str]:
        """Those of photos that are favourites, or hidden."""
        found: set[str] = set()
        for part in in_parts(listing.numbers_of(ids)):
            rows = self._read(
                f"SELECT f.id FROM {self._files} f JOIN contents c ON c.id = f.content "
                f"JOIN {table} m ON m.hash = c.hash WHERE f.id IN ({marks(part)})",
                part,
            )
            found.update(listing.shown_id(id) for (id,) in rows)
        return found

    def create(self, name: str) -> int:
        """Make an album; returns its number.

        Raises:
            ConfigError: if there is one of that name.
        """
        with self._change() as writer:
            _refuse_taken(writer, name)
            added = writer.execute(
                "INSERT INTO albums (name, created) VALUES (?, ?)", (name, _now())
            )
            assert added.lastrowid is not None
            return added.lastrowid

    def rename(self, album: int, name: str) -> None:
        """Give an album another name.

        Raises:
            NoSuchAlbumError: if it is not there.
            ConfigError: if another one has that name.
        """
        with self._change() as writer:
            _require(writer, album)
            _refuse_taken(writer, name, besides=album)
            writer.execute("UPDATE albums SET name = ? WHERE id = ?", (name, album))

    def delete(self, album: int) -> None:
        """Delete an album; its photos stay where they are.

        Raises:
            NoSuchAlbumError: if it is not there.
        """
        with self._change() as writer:
            _require(writer, album)
            writer.execute("DELETE FROM albums WHERE id = ?", (album,))

    def put_in(self, album: int, ids: Sequence[str]) -> int:
        """Put photos into an album; returns how many contents were not in it.

        Raises:
            NoSuchAlbumError: if it is not there.
        """
        return self._of_album(_PUT_IN, album, ids)

    def take_out(self, album: int, ids: Sequence[str]) -> int:
        """Take photos out of an album; returns how many contents were in it.

        Raises:
            NoSuchAlbumError: if it is not there.
        """
        return self._of_album("DELETE FROM album_photos WHERE album = ? AND hash = ?", album, ids)

    def mark(self, table: Table, ids: Sequence[str], on: bool) -> int:
        """Make photos favourites or hide them, or undo it; returns how many contents changed."""
        with self._change() as writer:
            values = [(digest,) for digest in self._hashes(writer, ids)]
            statement = _MARK if on else "DELETE FROM {table} WHERE hash = ?"
            return _each(writer, statement.format(table=table), values)

    def all(self) -> Kept:
        """All that is kept, that of photos which the index does not have now too."""
        albums = [
            (name, _moment(created), self._sorted("album_photos WHERE album = ?", [id]))
            for id, name, created in self._read("SELECT id, name, created FROM albums ORDER BY id")
        ]
        return Kept(tuple(albums), self._sorted("favourites"), self._sorted("hidden"))

    def add(self, kept: Kept) -> None:
        """Add what was kept elsewhere, or earlier, to what is here; nothing is taken away."""
        with self._change() as writer:
            for name, created, hashes in kept.albums:
                writer.execute(
                    "INSERT INTO albums (name, created) VALUES (?, ?) ON CONFLICT DO NOTHING",
                    (name, int(created.timestamp())),
                )
                find = "SELECT id FROM albums WHERE name = ?"
                [id] = writer.execute(find, (name,)).fetchone()
                _each(writer, _PUT_IN, [(id, bytes.fromhex(one)) for one in hashes])
            for table, hashes in (("favourites", kept.favourites), ("hidden", kept.hidden)):
                values = [(bytes.fromhex(one),) for one in hashes]
                _each(writer, _MARK.format(table=table), values)

    def paths(self, hashes: Collection[str]) -> dict[str, list[str]]:
        """By hash, the files of the index that hold these contents."""
        found: dict[str, list[str]] = {}
        for part in in_parts([bytes.fromhex(one) for one in set(hashes)]):
            rows = self._database.read(
                f"SELECT c.hash, d.path, f.name FROM contents c JOIN {self._files} f "
                "ON f.content = c.id JOIN folders d ON d.id = f.folder "
                f"WHERE c.hash IN ({marks(part)}) ORDER BY d.path, f.name",
                part,
            )
            for digest, folder, name in rows:
                found.setdefault(digest.hex(), []).append(listing.joined(folder, name))
        return found

    def _of_album(self, statement: str, album: int, ids: Sequence[str]) -> int:
        """Change what is in an album; returns how many contents that was."""
        with self._change() as writer:
            _require(writer, album)
            values = [(album, digest) for digest in self._hashes(writer, ids)]
            return _each(writer, statement, values)

    def _sorted(self, table: str, values: Sequence[int] = ()) -> tuple[str, ...]:
        rows = self._read(f"SELECT hash FROM {table} ORDER BY hash", values)
        return tuple(digest.hex() for (digest,) in rows)

    def _hashes(self, writer: sqlite3.Connection, ids: Sequence[str]) -> list[bytes]:
        found: list[bytes] = []
        for part in in_parts(listing.numbers_of(ids)):
            rows = writer.execute(f"{self._hash} IN ({marks(part)})", part)
            found += [digest for (digest,) in rows]
        return found

    def _read(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        if self._database.schema_version() < MARKS_VERSION:
            return []
        return self._database.read(statement, values)

    def _change(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._database.short_change()


class Edited:
    """Gives photos that were edited what their contents of before had.

    New contents at the path of old ones are an edited photo if both were taken in the same second,
    or else look alike (`EDITED_COSINE`). All others are another photo that got the name of one that
    is gone, and get nothing. Contents that the index knew before were moved there, and keep what
    they have.

    Args:
        writer: a connection, in the middle of a change.
        generation: of the index.
        hashes: of the contents that the change adds; asked for before they are added.
    """

    def __init__(self, writer: sqlite3.Connection, generation: int, hashes: Iterable[str]) -> None:
        self._writer = writer
        self._generation = generation
        self._new: set[str] = set()
        tables = ("favourites", "hidden", "album_photos")
        any_kept = " OR ".join(f"EXISTS (SELECT 1 FROM {table})" for table in tables)
        if writer.execute(f"SELECT {any_kept}").fetchone()[0]:
            known = "SELECT 1 FROM contents WHERE hash = ?"
            self._new = {
                one
                for one in hashes
                if writer.execute(known, (bytes.fromhex(one),)).fetchone() is None
            }

    def inherit(self, folder: str, name: str, digest: str) -> None:
        """Called before the file in `folder` is pointed to the contents of hash `digest`."""
        if digest not in self._new:
            return
        others = [one for one in generations(self._writer) if one != self._generation]
        for generation in (self._generation, *others):  # others: a rebuild is under way
            before = self._writer.execute(
                f"SELECT c.id, c.hash, c.taken FROM folders d JOIN files_{generation} f "
                "ON f.folder = d.id JOIN contents c ON c.id = f.content "
                "WHERE d.path = ? AND f.name = ?",
                (folder, name),
            ).fetchone()
            if before is not None:
                break
        else:
            return
        after = self._writer.execute(
            "SELECT id, hash, taken FROM contents WHERE hash = ?", (bytes.fromhex(digest),)
        ).fetchone()
        same_second = before[2] is not None and before[2] == after[2]
        if same_second or self._alike(before[0], after[0]):
            hashes = (after[1], before[1])
            for table in ("favourites", "hidden"):
                select = f"SELECT ? FROM {table} WHERE hash = ?"
                self._writer.execute(f"INSERT OR IGNORE INTO {table} {select}", hashes)
            self._writer.execute(
                "INSERT OR IGNORE INTO album_photos "
                "SELECT album, ? FROM album_photos WHERE hash = ?",
                hashes,
            )

    def _alike(self, one: int, other: int) -> bool:
        rows = self._writer.execute(
            f"SELECT vector FROM embeddings_{self._generation} WHERE content IN (?, ?)",
            (one, other),
        ).fetchall()
        if len(rows) < 2:  # the contents of before are of another model
            return False
        a, b = (np.frombuffer(vector, DTYPE).astype(np.float32) for (vector,) in rows)
        lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
        return float(a @ b) >= EDITED_COSINE * lengths > 0


def _each(writer: sqlite3.Connection, statement: str, values: Sequence[tuple[object, ...]]) -> int:
    return sum(writer.execute(statement, one).rowcount for one in values)


def _require(writer: sqlite3.Connection, album: int) -> None:
    found = "SELECT 1 FROM albums WHERE id = ?"
    if writer.execute(found, (fitting(album),)).fetchone() is None:
        raise NoSuchAlbumError.of(album)


def _refuse_taken(writer: sqlite3.Connection, name: str, besides: int | None = None) -> None:
    row = writer.execute("SELECT id FROM albums WHERE name = ?", (name,)).fetchone()
    if row is not None and row[0] != besides:
        raise ConfigError(f"there is an album {name!r} already; choose another name.")


def _now() -> int:
    return int(datetime.now(timezone.utc).timestamp())


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
