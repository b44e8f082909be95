from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tables import unit

from user_itr.search.neighbours import scan as scan_module
from user_itr.search.neighbours.scan import SLACK, Vectors, best, nearest


def both(full: np.ndarray) -> Vectors:
    return Vectors(full, full.astype(np.float16))


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
    if close:  # closer to each other than float16 can tell
        full = np.float32(1e-4) * full + unit(1, dim, seed + 1)
        full /= np.linalg.norm(full, axis=1, keepdims=True)
    query = unit(1, dim, seed + 2)[0]
    dice = np.random.default_rng(seed)
    allowed = None if share is None else dice.random(count) < share
    rows, scores = nearest(both(full), query, k, allowed)
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
    rows, scores = nearest(both(full), full[17], 2)
    assert rows.tolist() == copies  # all that tie with the second
    assert len(set(scores.tolist())) == 1


@pytest.mark.parametrize("tile", [1, 64, 1_000])
def test_parts_are_compared_as_the_whole_is(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, query = both(unit(1_000, seed=6)), unit(1, seed=7)[0]
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
    rows, scores = nearest(both(full), query, 5)
    assert rows.tolist() == np.argsort(-(full.astype(np.float64) @ query))[:5].tolist()
    assert (scores < 0).all()


@pytest.mark.parametrize("dim", [64, 512, 1024])
def test_rounding_stays_within_the_slack(dim: int) -> None:
    # Nearly parallel vectors of numbers with the most to lose: just above a power of two.
    full = np.full((2, dim), 2**-5 * (1 + 2**-11), np.float32)
    full /= np.linalg.norm(full, axis=1, keepdims=True)
    for vectors in (full, unit(500, dim), np.abs(unit(500, dim))):
        rough = vectors.astype(np.float16).astype(np.float64)
        error = np.abs(rough @ rough[0] - vectors.astype(np.float64) @ vectors[0])
        assert error.max() < SLACK / 2


def test_best_keeps_ties_with_the_last() -> None:
    rows, scores = best(np.array([9, 2, 5, 1]), np.array([0.5, 0.7, 0.5, 0.1], np.float32), 2)
    assert rows.tolist() == [2, 5, 9]
    np.testing.assert_array_equal(scores, np.array([0.7, 0.5, 0.5], np.float32))
