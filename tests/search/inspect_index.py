"""What tests read from an index and its reports."""

from __future__ import annotations

from user_itr.search.found import photo_id
from user_itr.search.index import ImageIndex
from user_itr.search.store.base import FileRow, PhotoStore
from user_itr.search.update import IndexReport

COUNTS = ("added", "updated", "unchanged", "removed")


def counts(report: IndexReport) -> tuple[int, ...]:
    return tuple(getattr(report, name) for name in COUNTS)


def files(index: ImageIndex) -> dict[str, FileRow]:
    """The rows of files by path."""
    rows = index.ask(lambda store: list(store.files()))
    by_path = {row.path: row for row in rows}
    assert len(by_path) == len(rows) == len(index), "a path is in the index twice"
    return by_path


def content(index: ImageIndex) -> dict[str, tuple[object, ...]]:
    """What the index has of each photo, by path; a path that is there twice is an error."""
    found = stored(index)
    rows = {row[0]: row[1:] for row in found}
    assert len(rows) == len(found), "a path is in the index twice"
    return rows


def stored(index: ImageIndex) -> list[tuple[object, ...]]:
    """Every photo by path: the file, what was found in it, and its embedding.

    Inode and time of the inode's change are left out: they are of one run, not of one file.
    """

    def read(store: PhotoStore) -> list[tuple[object, ...]]:
        found = []
        for row in sorted(store.files()):
            id = photo_id(row.path)
            [facts], embeddings = store.facts([id]), store.embeddings([id])
            assert len(embeddings) == 1, f"{row.path} has no embedding"
            shape = facts.taken, facts.width, facts.height
            size, mtime_ns, *_ = row.state
            read = row.path, row.root, row.hash, size, mtime_ns, row.sidecar
            found.append((*read, *shape, embeddings.tobytes()))
        return found

    return index.ask(read)
