"""Any sequence of changes leaves a store that answers as plain dictionaries do."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kinds import Kind
from made_rows import content, file, hash_of, kept, unit

from user_itr.search.found import photo_id
from user_itr.search.location import location_of
from user_itr.search.store.base import FileRow, PhotoStore

DIM = 6
NAMES = [f"/p/{folder}/{name}.jpg" for folder in "ab" for name in ("1", "2", "it's", "é")]
CONTENTS = range(6)
EMBEDDINGS = unit(len(CONTENTS), DIM, seed=3)

PATHS = st.sampled_from(NAMES)
FILES = st.dictionaries(PATHS, st.sampled_from(CONTENTS), max_size=5)
CHANGES = st.one_of(
    st.tuples(st.just("write"), FILES, st.lists(PATHS, max_size=3)),
    st.tuples(st.just("point"), FILES, st.lists(PATHS, max_size=3)),
    st.tuples(st.just("remove"), st.lists(PATHS, max_size=4, unique=True)),
    st.tuples(st.just("finish")),
    st.tuples(st.just("open again")),
    st.tuples(st.just("other generation"), FILES),
)


class Model:
    """What a store holds: files by path, and the contents that they may point to."""

    def __init__(self) -> None:
        self.files: dict[str, FileRow] = {}

    def held(self) -> set[str]:
        return {row.hash for row in self.files.values()}

    def write(self, rows: list[FileRow], known: set[str], gone: list[str]) -> list[str]:
        unknown = [row.path for row in rows if row.hash not in known]
        self.files |= {row.path: row for row in rows if row.hash in known}
        for path in gone:
            self.files.pop(path, None)
        return unknown


def row_of(path: str, number: int, step: int) -> FileRow:
    return file(path, number, size=step + 1, mtime_ns=step * 10**9, root=f"/p/{path[3]}")


def contents_of(files: dict[str, int]) -> list[Any]:
    return [
        content(n, EMBEDDINGS[n], taken=datetime(2020, 1, 1 + n) if n % 2 else None, width=n)
        for n in sorted(set(files.values()))
    ]


def check(store: PhotoStore, model: Model, half: bool) -> None:
    files = model.files
    assert {row.path: row for row in store.files()} == files
    assert len(store) == store.count() == len(files)
    assert store.roots() == dict(sorted(Counter(row.root for row in files.values()).items()))
    assert sum(store.folders().values()) == len(store.timeline()) == len(files)
    numbers = {hash_of(n): n for n in CONTENTS}
    assert model.held() <= store.known(list(numbers))
    newest = store.newest(99)
    assert {str(facts.path) for facts in newest} == files.keys()
    moments = [facts.taken or facts.modified for facts in newest]
    assert moments == sorted(moments, reverse=True)
    wanted = kept(EMBEDDINGS, half)
    query = unit(1, DIM, seed=4)[0]
    for path, row in files.items():
        number = numbers[row.hash]
        np.testing.assert_allclose(store.embeddings([photo_id(path)])[0], wanted[number], atol=1e-7)
        assert [facts.width for facts in store.facts([photo_id(path)])] == [number]
    score = {path: wanted[numbers[row.hash]] @ query for path, row in files.items()}
    best = sorted(files, key=lambda path: (-score[path], path))
    for k in (1, 3, 99):
        assert [str(hit.path) for hit in store.nearest(query, k)] == best[:k]


def run(kind: Kind, changes: list[tuple[Any, ...]]) -> None:
    store, model, others = kind.open(create=True), Model(), Model()
    reader = kind.open()
    for step, (what, *given_) in enumerate(changes):
        if what in ("write", "point"):
            files, gone = given_
            rows = [row_of(path, number, step) for path, number in files.items()]
            new = contents_of(files) if what == "write" else []
            known = store.known([hash_of(n) for n in CONTENTS]) | {one.hash for one in new}
            unknown = store.write(rows, new, gone=gone)
            assert sorted(unknown) == sorted(model.write(rows, known, gone))
        elif what == "remove":
            [gone] = given_
            assert store.remove(gone) == len(model.files.keys() & set(gone))
            model.write([], set(), gone)
        elif what == "finish":
            store.finish()
            assert store.known([hash_of(n) for n in CONTENTS]) == model.held()
        elif what == "open again":
            store, reader = kind.open(create=True), kind.open()
        else:
            [files] = given_
            other = kind.open(create=True, generation=2)
            rows = [row_of(path, number, step) for path, number in files.items()]
            other.write(rows, contents_of(files))
            others.write(rows, {row.hash for row in rows}, [])
            other.finish()
            check(other, others, kind.half)
        check(store, model, kind.half)
        check(reader, model, kind.half)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.lists(CHANGES, min_size=1, max_size=8))
def test_sqlite(changes: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(Kind("sqlite", location_of(Path(folder) / "index"), DIM), changes)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.lists(CHANGES, min_size=1, max_size=5))
def test_lance(changes: list[tuple[Any, ...]]) -> None:
    pytest.importorskip("lancedb", reason="the extra `s3` is not installed")
    with tempfile.TemporaryDirectory() as folder:
        run(Kind("lance in a folder", location_of(Path(folder) / "index"), DIM), changes)
