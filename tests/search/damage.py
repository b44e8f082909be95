"""What is wrong with an index's SQLite file, without a line of user-itr."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def faults(file: Path) -> list[str]:
    """Where a file contradicts itself; none for one that is whole.

    It is read with the log beside it, if there is one, as it was left.
    """
    try:
        connection = sqlite3.connect(file, isolation_level=None)
        try:
            return [fault for fault, there in _questions(connection) if there]
        finally:
            connection.close()
    except sqlite3.Error as error:
        return [str(error)]


def _questions(connection: sqlite3.Connection) -> list[tuple[str, bool]]:
    def ask(statement: str) -> list[tuple[object, ...]]:
        return connection.execute(statement).fetchall()

    asked = [
        ("damaged", ask("PRAGMA integrity_check") != [("ok",)]),
        ("a row points to nothing", bool(ask("PRAGMA foreign_key_check"))),
    ]
    for g, files, embeddings in ask("SELECT generation, files, embeddings FROM counters"):
        lost = (
            f"SELECT 1 FROM files_{g} f LEFT JOIN embeddings_{g} e ON e.content = f.content "
            f"LEFT JOIN contents c ON c.id = f.content WHERE e.vector IS NULL OR c.id IS NULL"
        )
        names = (
            f"SELECT f.name FROM files_{g} f EXCEPT SELECT n.name FROM names_{g} n "
            f"JOIN files_{g} f ON f.id = n.rowid"
        )
        asked += [
            ("a file has no embedding", bool(ask(lost))),
            ("files are counted wrongly", ask(f"SELECT count(*) FROM files_{g}") != [(files,)]),
            (
                "embeddings are counted wrongly",
                ask(f"SELECT count(*) FROM embeddings_{g}") != [(embeddings,)],
            ),
            ("names are counted wrongly", ask(f"SELECT count(*) FROM names_{g}") != [(files,)]),
            ("a name is another's", bool(ask(names))),
        ]
    return asked
