from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import unit

from user_itr.search.neighbours import scan as scan_module
from user_itr.search.neighbours.scan import best, nearest, slack


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 3_000),
    dim=st.sampled_from([1, 3, 32, 65]),
    k=st.integers(1, 40),
    share=st.sampled_from([None, 0.0, 0.02, 0.5, 1.0]),
    close=st.booleans(),
)
def test_agrees_with_a_sort_of_all_scores(
    seed: int, count: int, dim: int, k: int, share: float | None, close: bool
) -> None:
    full = unit(count, dim, seed)
    if close:  # closer to each other than a product can tell
        full = np.float32(1e-6) * full + unit(1, dim, seed + 1)
        full /= np.linalg.norm(full, axis=1, keepdims=True)
    query = unit(1, dim, seed + 2)[0]
    dice = np.random.default_rng(seed)
    allowed = None if share is None else dice.random(count) < share
    rows, scores = nearest(full, query, k, allowed)
    each = np.einsum("rd,d->r", full, query)
    order = np.lexsort((np.arange(count), -each))
    order = order if allowed is None else order[allowed[order]]
    if len(order) > k:
        order = order[: np.count_nonzero(each[order] >= each[order[k - 1]])]
    assert rows.tolist() == order.tolist()
    np.testing.assert_array_equal(scores, each[order])


def test_equal_photos_tie_wherever_they_stand() -> None:
    full = unit(5_000, seed=3)
    copies = [0, 17, 1_023, 1_024, 4_999]
    full[copies] = full[17]
    rows, scores = nearest(full, full[17], 2)
    assert rows.tolist() == copies  # all that tie with the second
    assert len(set(scores.tolist())) == 1


@pytest.mark.parametrize("tile", [1, 64, 1_000])
def test_parts_are_compared_as_the_whole_is(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, query = unit(1_000, seed=6), unit(1, seed=7)[0]
    allowed = np.arange(1_000) % 5 == 0
    whole = [nearest(vectors, query, 9, mask) for mask in (None, allowed)]
    monkeypatch.setattr(scan_module, "TILE", tile)
    for mask, (rows, scores) in zip((None, allowed), whole, strict=True):
        again = nearest(vectors, query, 9, mask)
        assert again[0].tolist() == rows.tolist()
        np.testing.assert_array_equal(again[1], scores)


def test_all_scores_negative() -> None:
    full = -np.abs(unit(300, seed=4))
    query = np.abs(unit(1, seed=5)[0])
    rows, scores = nearest(full, query, 5)
    assert rows.tolist() == np.argsort(-(full.astype(np.float64) @ query))[:5].tolist()
    assert (scores < 0).all()


@pytest.mark.parametrize("dim", [1, 64, 512, 1024, 4096])
def test_any_order_of_sums_stays_within_the_slack(dim: int) -> None:
    for vectors in (unit(300, dim), np.abs(unit(300, dim)), np.full((1, dim), dim**-0.5, "f")):
        one_by_one = np.zeros(len(vectors), np.float32)
        for column in range(dim):  # the order with the most to lose
            one_by_one += vectors[:, column] * vectors[0, column]
        exact = vectors.astype(np.float64) @ vectors[0].astype(np.float64)
        for scores in (one_by_one, vectors @ vectors[0]):
            assert np.abs(scores - exact).max() < slack(dim) / 4


def test_best_keeps_ties_with_the_last() -> None:
    rows, scores = best(np.array([9, 2, 5, 1]), np.array([0.5, 0.7, 0.5, 0.1], np.float32), 2)
    assert rows.tolist() == [2, 5, 9]
    np.testing.assert_array_equal(scores, np.array([0.7, 0.5, 0.5], np.float32))
