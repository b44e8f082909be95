from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import ColourEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import content, file, unit
from PIL import Image

from user_itr.search.albums import Albums
from user_itr.search.duplicates import (
    NEAR_COSINE,
    Seen,
    find_copies,
    may_be_copies,
    same_shape,
    stacked,
)
from user_itr.search.found import photo_id
from user_itr.search.index import ImageIndex
from user_itr.search.location import Folder
from user_itr.search.neighbours import search as neighbours_module
from user_itr.search.store.sqlite import SqliteStore


def names(groups: object) -> list[list[str]]:
    return [[copy.facts.path.name for copy in group] for group in groups]  # type: ignore[attr-defined]


def test_copies_are_grouped_the_largest_first(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    large = Image.new("RGB", (300, 200), (220, 20, 20))
    large.paste((20, 40, 220), (0, 0, 300, 90))
    large.save(photos / "large.png")
    large.resize((150, 100)).save(photos / "small.jpg")
    large.crop((0, 0, 200, 200)).save(photos / "square.png")
    shutil.copy(photos / "large.png", photos / "even" / "z.png")
    shutil.copy(photos / "red.png", photos / "red again.png")
    index.update(photos, encoder)
    groups = find_copies(index)
    assert names(groups) == [["z.png", "large.png", "small.jpg"], ["red again.png", "red.png"]]
    assert [copy.cosine >= NEAR_COSINE for copy in groups[0]] == [True] * 3
    assert groups[0][0].content == groups[0][1].content != groups[0][2].content
    assert sorted(names(find_copies(index, near=False))[0]) == ["large.png", "z.png"]
    Albums(index).hide([photo_id(str(photos / "large.png"))])
    assert len(find_copies(index)) == 1, "its copy has the same bytes, and is hidden too"
    assert len(find_copies(index, hidden=True)) == 2


def test_an_index_without_copies(index: ImageIndex, photos: Path, encoder: ColourEncoder) -> None:
    assert find_copies(index) == []
    index.update(photos / "even", encoder)
    assert find_copies(index) == []


DIM = 16


def alike(vectors: np.ndarray, names: list[int]) -> set[tuple[int, int]]:
    """Every pair compared with every other one, in float64."""
    rows = vectors.astype(np.float16).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    close = np.argwhere(rows @ rows.T >= NEAR_COSINE)
    return {(names[a], names[b]) for a, b in close.tolist() if a < b}


@pytest.mark.parametrize("graph", [False, True])
def test_pairs_are_those_of_a_plain_comparison(
    tmp_path: Path, graph: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of derived files, with and without a graph, beside rows that came and went since."""
    monkeypatch.setattr(neighbours_module, "APPROXIMATE_FROM", 1 if graph else 10**9)
    monkeypatch.setattr(neighbours_module, "STALE_SHARE", 0.5)
    dice = np.random.default_rng(5)
    base = unit(700, DIM, seed=5)
    twins = base[::7] + dice.normal(size=(100, DIM)) * 0.02
    late = base[3::35] + dice.normal(size=(20, DIM)) * 0.02
    vectors = np.concatenate([base, twins, late]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store = SqliteStore(Folder(tmp_path), 1, DIM, create=True)
    store.neighbours.approximate_from = neighbours_module.APPROXIMATE_FROM

    def put(rows: range) -> None:
        store.write([file(f"/p/{n}", n) for n in rows], [content(n, vectors[n]) for n in rows])

    put(range(800))
    store.finish()
    put(range(800, 820))
    store.remove([f"/p/{n}" for n in range(0, 820, 35)])
    store.finish()
    view = store.neighbours.view()
    assert view is not None
    assert (view.snapshot.graph is not None) == graph
    assert view.delta is not None
    kept = [n for n in range(820) if n % 35]
    contents = store.copies().contents([photo_id(f"/p/{n}") for n in kept])
    numbers = {contents[photo_id(f"/p/{n}")][0]: n for n in kept}
    pairs, scores = store.copies().alike(NEAR_COSINE)
    found = {tuple(sorted((numbers[a], numbers[b]))) for a, b in pairs.tolist()}
    assert found == alike(vectors[kept], kept)
    assert len(found) > 90
    assert len(pairs) == len(found)
    assert (scores >= NEAR_COSINE).all()


def test_many_copies_of_one_photo_are_one_group(tmp_path: Path) -> None:
    """More of them than the graph gives neighbours."""
    store = SqliteStore(Folder(tmp_path), 1, DIM, create=True)
    store.neighbours.approximate_from = 1
    [vector] = unit(1, DIM)
    others = unit(60, DIM, seed=2)
    rows = [content(n, vector if n < 40 else others[n - 40]) for n in range(100)]
    store.write([file(f"/p/{n}", n) for n in range(100)], rows)
    store.finish()
    pairs, _ = store.copies().alike(NEAR_COSINE)
    parents = {int(n): int(n) for n in pairs.flat}
    for a, b in pairs.tolist():
        old, new = parents[b], parents[a]
        parents = {n: new if top == old else top for n, top in parents.items()}
    assert len(parents) == 40
    assert len(set(parents.values())) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ((400, 300), (200, 150), True),
        ((400, 300), (400, 290), True),
        ((400, 300), (300, 400), False),
        ((400, 300), (300, 300), False),
        ((1, 1), (10_000, 10_000), True),
    ],
)
def test_shapes(one: tuple[int, int], other: tuple[int, int], same: bool) -> None:
    assert same_shape(one, other) == same_shape(other, one) == same


def test_photos_taken_at_two_times_are_no_copies() -> None:
    """As those of a burst; a program that made a copy may have dropped the time."""
    first, second = datetime(2024, 5, 3, 12, 30, 1), datetime(2024, 5, 3, 12, 30, 2)
    assert not may_be_copies(Seen(4, 3, first), Seen(4, 3, second))
    assert may_be_copies(Seen(4, 3, first), Seen(8, 6, first))
    assert may_be_copies(Seen(4, 3, first), Seen(4, 3, None))


@settings(max_examples=50, deadline=None)
@given(kinds=st.lists(st.integers(0, 4), max_size=12))
def test_a_list_is_stacked_on_the_first_of_each(kinds: list[int]) -> None:
    vectors = np.eye(5, dtype=np.float32)[kinds] if kinds else np.empty((0, 5), np.float32)
    firsts = stacked(kinds, vectors, [Seen(4, 3, None)] * len(kinds))
    assert firsts == [kinds.index(kind) for kind in kinds]


def test_a_list_hides_no_near_copy_without_a_time() -> None:
    vectors = np.ones((4, 1), np.float32)
    when = datetime(2024, 5, 3, 12, 30, 1)
    seen = [Seen(4, 3, None), Seen(4, 3, when), Seen(8, 6, when), Seen(8, 6, None)]
    assert stacked([1, 2, 3, 1], vectors, seen) == [0, 1, 1, 0]
