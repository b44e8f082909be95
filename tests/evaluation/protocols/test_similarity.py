from __future__ import annotations

import random
from collections import Counter
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from user_itr.evaluation.protocols.similarity import (
    RatedPairs,
    _mean_ranks,
    sampled_correlation,
)


def plain_ranks(values: list[float]) -> list[float]:
    """Equal values share the mean of the places that they take."""
    counts = Counter(values)
    return [sum(other < value for other in values) + (counts[value] + 1) / 2 for value in values]


def plain_spearman(a: list[float], b: list[float]) -> float:
    x, y = plain_ranks(a), plain_ranks(b)
    mx, my = fmean(x), fmean(y)
    both = sum((p - mx) * (q - my) for p, q in zip(x, y, strict=True))
    return float(both / (sum((p - mx) ** 2 for p in x) * sum((q - my) ** 2 for q in y)) ** 0.5)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_ranks_of_equal_values(values: list[int]) -> None:
    found = _mean_ranks(np.array(values))
    assert found.tolist() == plain_ranks([float(one) for one in values])


def pairs(seed: int, queries: int = 40) -> tuple[RatedPairs, np.ndarray]:
    drawn = np.random.default_rng(seed)
    first = np.repeat(np.arange(queries), drawn.integers(1, 7, size=queries))
    first = drawn.permutation(first) * 3
    ratings = drawn.integers(0, 26, size=len(first)) / 5
    scores = ratings + drawn.normal(size=len(first)).round(1)
    return RatedPairs(first, np.arange(len(first)), ratings), scores


@pytest.mark.parametrize("seed", range(3))
def test_the_mean_over_draws_is_that_of_plain_draws(seed: int) -> None:
    """Another generator draws otherwise: the means agree to their standard error."""
    rated, scores = pairs(seed)
    found = sampled_correlation(rated, scores, samples=4_000)
    assert found is not None
    of_query: dict[int, list[int]] = {}
    for at, query in enumerate(rated.first.tolist()):
        of_query.setdefault(query, []).append(at)
    dice = random.Random(seed)
    values = []
    for _ in range(1_000):
        chosen = dice.sample(sorted(of_query), len(of_query) // 2)
        picked = [dice.choice(of_query[query]) for query in chosen]
        values.append(
            plain_spearman([rated.ratings[p] for p in picked], [scores[p] for p in picked])
        )
    spread = np.std(values)
    assert found.mean == pytest.approx(100 * fmean(values), abs=100 * 5 * spread / 1_000**0.5)
    assert found.deviation == pytest.approx(100 * spread, rel=0.15)
    assert (found.queries, found.pairs) == (40, len(scores))


def test_perfect_and_reversed_orders() -> None:
    rated, _ = pairs(0)
    distinct = RatedPairs(rated.first, rated.second, np.arange(len(rated.first)) / 100)
    for sign in (1, -1):
        found = sampled_correlation(distinct, sign * distinct.ratings**3, samples=20)
        assert found is not None
        assert found.mean == pytest.approx(100 * sign)
        assert found.deviation == pytest.approx(0, abs=1e-9)


def test_nothing_correlates_with_a_constant() -> None:
    rated, scores = pairs(1)
    assert sampled_correlation(rated, np.ones(len(scores))) is None
    flat = RatedPairs(rated.first, rated.second, np.ones(len(scores)))
    assert sampled_correlation(flat, scores) is None
    few = rated.first < 9
    small = RatedPairs(rated.first[few], rated.second[few], rated.ratings[few])
    assert sampled_correlation(small, scores[few]) is None


def test_pairs_that_were_rated_twice() -> None:
    rated = RatedPairs(
        np.array([0, 1, 2, 5, 0, 7]), np.array([1, 0, 3, 5, 1, 8]),
        np.array([2.4, 2.6, 5.0, 1.0, 2.0, 3.0]),
    )  # fmt: skip
    assert rated.rated_twice(2.5, same_side=True) == (1, 1)  # 0 with 1, in both orders
    assert rated.rated_twice(2.5, same_side=False) == (1, 0)  # 0 with 1, twice below 2.5
    assert rated.rated_twice(9.0, same_side=True) == (1, 0)
