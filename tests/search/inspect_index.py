"""What tests read from an index and its reports."""

from __future__ import annotations

from user_itr.search.index import ImageIndex
from user_itr.search.photos import photo_id
from user_itr.search.store.base import FileRow
from user_itr.search.update import IndexReport

COUNTS = ("added", "updated", "unchanged", "removed")


def counts(report: IndexReport) -> tuple[int, ...]:
    return tuple(getattr(report, name) for name in COUNTS)


def files(index: ImageIndex) -> dict[str, FileRow]:
    rows = index.ask(lambda store: list(store.files()))
    by_path = {row.path: row for row in rows}
    assert len(by_path) == len(rows) == len(index), "a path is in the index twice"
    return by_path


def content(index: ImageIndex) -> dict[str, tuple[object, ...]]:
    """Of each path: size, time and root of the file, and its embedding."""
    found = {}
    for path, row in files(index).items():
        embedding = index.embedding_of(photo_id(path))
        assert embedding is not None
        found[path] = (row.state.size, row.state.mtime_ns, row.root, *embedding.tolist())
    return found
