"""Files added to a generation, pointed to other contents, and removed, within one change."""

from __future__ import annotations

import os
import sqlite3

from user_itr.search.found import photo_id
from user_itr.search.store.base import FileRow, fitting
from user_itr.search.store.conditions import moment_of, seconds_of
from user_itr.search.store.listing import HALF, date_of, number_of
from user_itr.search.store.marks import Edited


class FileChange:
    """What one change does to the files.

    Attributes:
        added: files that were not there before.

    Args:
        writer: a connection, in the middle of a change.
        generation: of the index.
        edited: what becomes of what people added to photos that were edited.
    """

    def __init__(
        self, writer: sqlite3.Connection, generation: int, edited: Edited | None = None
    ) -> None:
        self.added = 0
        self._writer = writer
        self._edited = edited
        self._files = f"files_{generation}"
        self._names = f"names_{generation}"
        self._content = (
            f"SELECT c.id, c.taken FROM contents c JOIN embeddings_{generation} e "
            "ON e.content = c.id WHERE c.hash = ?"
        )
        self._numbers: dict[tuple[str, str], int] = {}

    def write(self, row: FileRow) -> bool:
        """Insert or replace a file; False, and nothing is done, if its content is not known."""
        content = self._writer.execute(self._content, (bytes.fromhex(row.hash),)).fetchone()
        if content is None:
            return False
        state, taken = row.state, row.taken or date_of(content[1])
        size, mtime_ns, ctime_ns, inode = map(fitting, state)
        values = {
            "root": self._number("roots", row.root),
            "content": content[0],
            "moment": moment_of(taken, mtime_ns),
            "size": size,
            "mtime_ns": mtime_ns,
            "ctime_ns": ctime_ns,
            "inode": inode,
            "sidecar_size": None if row.sidecar is None else fitting(row.sidecar[0]),
            "sidecar_mtime_ns": None if row.sidecar is None else fitting(row.sidecar[1]),
            "sidecar_taken": None if row.taken is None else seconds_of(row.taken),
        }
        folder, name = os.path.split(row.path)
        if self._edited is not None:
            self._edited.inherit(folder, name, row.hash)
        place = {"folder": self._number("folders", folder), "name": name}
        before = self._find(row.path)
        if before is not None:
            assigned = ", ".join(f"{column} = :{column}" for column in values)
            self._writer.execute(
                f"UPDATE {self._files} SET {assigned} WHERE id = :id", {**values, "id": before}
            )
            return True
        id = self._free_id(row.path)
        values |= {"id": id, **place}
        self._writer.execute(
            f"INSERT INTO {self._files} ({', '.join(values)}) "
            f"VALUES ({', '.join(f':{column}' for column in values)})",
            values,
        )
        self._writer.execute(
            f"INSERT INTO {self._names} (rowid, name, folder) VALUES (?, ?, ?)", (id, name, folder)
        )
        self.added += 1
        return True

    def remove(self, path: str) -> bool:
        """Remove a file; False if there is none."""
        id = self._find(path)
        if id is None:
            return False
        self._writer.execute(f"DELETE FROM {self._files} WHERE id = ?", (id,))
        folder, name = os.path.split(path)
        self._writer.execute(  # the table of words keeps no texts, and is told which ones go
            f"INSERT INTO {self._names} ({self._names}, rowid, name, folder) "
            "VALUES ('delete', ?, ?, ?)",
            (id, name, folder),
        )
        return True

    def _find(self, path: str) -> int | None:
        found = self._writer.execute(
            f"SELECT f.id FROM folders d JOIN {self._files} f ON f.folder = d.id "
            "WHERE d.path = ? AND f.name = ?",
            os.path.split(path),
        ).fetchone()
        return None if found is None else int(found[0])

    def _free_id(self, path: str) -> int:
        """The number that the path's hash gives, or the next one that no other path has."""
        id = number_of(photo_id(path)) or 0
        taken = f"SELECT 1 FROM {self._files} WHERE id = ?"
        while self._writer.execute(taken, (id,)).fetchone() is not None:
            id = id + 1 if id + 1 < HALF else -HALF
        return id

    def _number(self, table: str, path: str) -> int:
        """The number of a folder or root, which is added where it is not there."""
        if (table, path) not in self._numbers:
            insert = f"INSERT INTO {table} (path) VALUES (?) ON CONFLICT (path) DO NOTHING"
            self._writer.execute(insert, (path,))
            find = f"SELECT id FROM {table} WHERE path = ?"
            (self._numbers[table, path],) = self._writer.execute(find, (path,)).fetchone()
        return self._numbers[table, path]
