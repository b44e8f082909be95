"""What the nearest files are, against NumPy on the embeddings that a store keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kinds import Kind
from made_rows import content, file, kept, paths, put, unit

from user_itr.search.filters import Filters
from user_itr.search.found import Hit, photo_id
from user_itr.search.store import nearest as nearest_module
from user_itr.search.store.base import PhotoStore


class Photos:
    """Files with contents, some of which several files hold, and what a search has to find.

    The width of the contents number n is n; every tenth file lies in a folder of its own.
    """

    def __init__(self, count: int, dim: int, half: bool, *, seed: int = 0, copies: int = 3) -> None:
        centres = unit(12, dim, seed)
        rows = centres[np.arange(count) % 12] + 0.4 * unit(count, dim, seed + 1)
        self.embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        self.stored = kept(self.embeddings, half)
        self.files = {f"/p/{number:05}": number for number in range(count)}
        for number in range(0, count, 7):
            for copy in range(copies):
                self.files[f"/copies/{copy}/{number:05}"] = number

    def write(self, store: PhotoStore) -> None:
        rows = [file(path, number) for path, number in self.files.items()]
        contents = [content(n, row, width=n) for n, row in enumerate(self.embeddings)]
        assert store.write(rows, contents) == []

    def best(
        self, query: np.ndarray, k: int, filters: Filters | None = None
    ) -> list[tuple[str, float]]:
        """Paths and scores, the best first, ties by path."""
        scores = self.stored @ query.astype(np.float64)
        found = [
            (path, float(scores[number]))
            for path, number in self.files.items()
            if filters is None
            or (
                (number >= (filters.min_width or 0))
                and (filters.folder is None or Path(path).is_relative_to(filters.folder))
            )
        ]
        return sorted(found, key=lambda one: (-one[1], one[0]))[:k]

    def check(
        self, hits: list[Hit], query: np.ndarray, k: int, filters: Filters | None = None
    ) -> None:
        """Hits are the best; places change only where float32 cannot tell two scores apart."""
        best = self.best(query, k, filters)
        assert len(hits) == len(best)
        np.testing.assert_allclose([hit.score for hit in hits], [s for _, s in best], atol=2e-6)
        exact = self.stored @ query.astype(np.float64)
        own = [exact[self.files[path]] for path in paths(hits)]
        np.testing.assert_allclose([hit.score for hit in hits], own, atol=2e-6)
        assert len(set(paths(hits))) == len(hits)
        assert [(-hit.score, str(hit.path)) for hit in hits] == sorted(
            (-hit.score, str(hit.path)) for hit in hits
        )
        assert [hit.rank for hit in hits] == [*range(1, len(hits) + 1)]
        for hit in hits:
            assert hit.id == photo_id(str(hit.path))
            assert hit.width == self.files[hit.path.as_posix()]
            if filters is not None:
                assert hit.width >= (filters.min_width or 0)


FILTERS = [
    None,
    Filters(min_width=250),
    Filters(folder=Path("/copies")),
    Filters(folder=Path("/copies/1"), min_width=40),
    Filters(min_width=10_000),
]


@pytest.mark.parametrize("filters", FILTERS)
def test_all_kinds_find_what_numpy_finds(kind: Kind, filters: Filters | None) -> None:
    photos, store = Photos(300, 8, kind.half), kind.open(create=True)
    photos.write(store)
    for finished in (False, True):
        if finished:
            store.finish()
        for query in unit(3, 8, seed=5):
            for k in (1, 10, 1_000):
                for exact in (False, True):
                    photos.check(store.nearest(query, k, filters, exact=exact), query, k, filters)


def test_copies_of_one_content_are_all_found_and_tie_by_path(store: PhotoStore) -> None:
    same, other = unit(2, 8)
    names = [f"/p/{name}" for name in "dbeca"]
    store.write([file(name, "same") for name in names], [content("same", same)])
    put(store, ["/p/0"], other[None])
    for finished in (False, True):
        if finished:
            store.finish()
        for k in range(1, 6):
            assert paths(store.nearest(same, k)) == sorted(names)[:k]
        assert len({hit.score for hit in store.nearest(same, 5)}) == 1
        assert paths(store.nearest(same, 6))[-1] == "/p/0"
        found = store.nearest(same, 2, Filters(folder=Path("/p"), min_width=1))
        assert paths(found) == ["/p/a", "/p/b"]


@pytest.fixture
def graph(kind: Kind) -> tuple[PhotoStore, Photos]:
    """2,000 contents with a graph over them; the answers of it are exact scores too."""
    if kind.name != "sqlite":
        pytest.skip("LanceDB has an index of its own")
    store, photos = kind.open(create=True), Photos(2_000, 8, kind.half)
    store.neighbours.approximate_from = 500  # type: ignore[attr-defined]
    photos.write(store)
    store.finish()
    return store, photos


@pytest.mark.parametrize("few", [20_000, 10])
@pytest.mark.parametrize("filters", FILTERS)
def test_a_graph_finds_nearly_all(
    graph: tuple[PhotoStore, Photos],
    filters: Filters | None,
    few: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nearest_module, "FEW", few)  # so that the graph is asked with a condition
    store, photos = graph
    shared = []
    for query in unit(10, 8, seed=7):
        for _ in range(2):  # the second time the condition is known
            hits = store.nearest(query, 20, filters)
            best = photos.best(query, 20, filters)
            assert len(hits) == len(best)
            exact = photos.stored @ query.astype(np.float64)
            own = [exact[photos.files[path]] for path in paths(hits)]
            np.testing.assert_allclose([hit.score for hit in hits], own, atol=2e-6)
            if best:
                shared.append(len({*paths(hits)} & {path for path, _ in best}) / len(best))
        photos.check(store.nearest(query, 20, filters, exact=True), query, 20, filters)
    assert not shared or np.mean(shared) >= 0.95


def test_with_a_graph_what_comes_and_goes_is_seen_at_once(graph: tuple[PhotoStore, Photos]) -> None:
    store, photos = graph
    query = unit(1, 8, seed=8)[0]
    gone = [path for path, _ in photos.best(query, 10)]
    assert store.remove(gone) == 10
    for path in gone:
        del photos.files[path]
    new = len(photos.embeddings)
    photos.embeddings = np.concatenate([photos.embeddings, query[None]])
    photos.stored = np.concatenate([photos.stored, kept(query[None], True)])
    photos.files |= {"/new/1": new, "/new/2": new}
    store.write([file("/new/1", "new"), file("/new/2", "new")], [content("new", query, width=new)])
    for finished in (False, True):
        if finished:
            store.finish()
        for filters in (None, Filters(folder=Path("/new")), Filters(min_width=100)):
            for exact in (False, True):
                hits = store.nearest(query, 2, filters, exact=exact)
                assert paths(hits) == ["/new/1", "/new/2"]
        photos.check(store.nearest(query, 30, exact=True), query, 30)


def test_more_contents_without_files_than_are_asked_for(kind: Kind) -> None:
    """Until `finish`, contents that no file holds any more are among the nearest."""
    store, photos = kind.open(create=True), Photos(200, 8, kind.half, copies=0)
    photos.write(store)
    store.finish()
    query = unit(1, 8, seed=8)[0]
    gone = [path for path, _ in photos.best(query, 150)]
    store.remove(gone)
    for path in gone:
        del photos.files[path]
    photos.check(store.nearest(query, 5), query, 5)
    photos.check(store.nearest(query, 99), query, 99)
