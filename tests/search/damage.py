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
        asked += [
            ("a file has no embedding", bool(ask(lost))),
            ("files are counted wrongly", ask(f"SELECT count(*) FROM files_{g}") != [(files,)]),
            (
                "embeddings are counted wrongly",
                ask(f"SELECT count(*) FROM embeddings_{g}") != [(embeddings,)],
            ),
            (
                "names are counted wrongly",
                ask(f"SELECT count(*) FROM names_{g}_docsize") != [(files,)],
            ),
            ("a name is another's", _words(connection, f"names_{g}") != _words_anew(connection, g)),
        ]
    return asked


def _words_anew(connection: sqlite3.Connection, generation: object) -> list[tuple[object, ...]]:
    """The words that the paths of all files have, in a table made for it."""
    (made,) = connection.execute(
        "SELECT sql FROM sqlite_master WHERE name = ?", [f"names_{generation}"]
    ).fetchone()
    anew = sqlite3.connect(":memory:")
    anew.execute(made.replace(f"names_{generation}", "anew"))
    anew.executemany(
        "INSERT INTO anew (rowid, name, folder) VALUES (?, ?, ?)",
        connection.execute(
            f"SELECT f.id, f.name, d.path FROM files_{generation} f "
            "JOIN folders d ON d.id = f.folder"
        ),
    )
    return _words(anew, "anew")


def _words(connection: sqlite3.Connection, table: str) -> list[tuple[object, ...]]:
    connection.execute(f"CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, {table}, instance)")
    try:
        return connection.execute("SELECT term, doc FROM temp.words ORDER BY term, doc").fetchall()
    finally:
        connection.execute("DROP TABLE temp.words")
