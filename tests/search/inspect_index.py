"""What tests read from an index and its reports."""

from __future__ import annotations

from user_itr.search import update as update_module
from user_itr.search.index import ImageIndex

COUNTS = ("added", "updated", "unchanged", "removed")


def counts(report: update_module.IndexReport) -> tuple[int, ...]:
    return tuple(getattr(report, name) for name in COUNTS)


def content(index: ImageIndex) -> dict[str, tuple[object, ...]]:
    table = index._table._table.to_arrow().to_pylist()
    rows = {
        row["path"]: (row["size"], row["mtime_ns"], row["root"], *row["embedding"]) for row in table
    }
    assert len(rows) == len(table), "a path is in the index twice"
    return rows
