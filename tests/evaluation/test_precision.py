from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.positive_ranks import positive_ranks
from user_itr.evaluation.precision import (
    Placement,
    PrecisionMetrics,
    average_precision_at_r,
    ndcg,
    r_precision,
)
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import MatrixScores


def random_case(seed: int, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Scores (Q, C), tied where there are few levels, and relevance (Q, C) with empty rows."""
    random = np.random.default_rng(seed)
    shape = (int(random.integers(1, 8)), int(random.integers(1, 12)))
    scores = random.normal(size=shape)
    if levels is not None:
        scores = random.integers(0, levels, shape) - 1.0
    right = random.random(shape) < random.random()
    right[random.integers(shape[0]), random.integers(shape[1])] = True
    return scores, right


def placement_of(scores: np.ndarray, right: np.ndarray, ties: str = "pessimistic") -> Placement:
    relevance = Relevance.from_pairs(*np.nonzero(right), *right.shape)
    return Placement.of(positive_ranks(MatrixScores(scores), relevance), ties)


def ranked(scores: np.ndarray, right: np.ndarray, ties: str) -> list[list[bool]]:
    """Whether each place holds a right candidate, query by query that has one."""
    lists = []
    for row, good in zip(scores.tolist(), right.tolist(), strict=True):
        if any(good):
            first = (lambda one: one) if ties == "pessimistic" else (lambda one: not one)
            pairs = sorted(zip(row, good, strict=True), key=lambda p: (-p[0], first(p[1])))
            lists.append([good for _, good in pairs])
    return lists


def plain(found: list[bool], k: int | None = None) -> tuple[float, float, float]:
    """AP@R, R-Precision and nDCG@k of one ranked list."""
    positives = sum(found)
    precisions = [
        sum(found[:place]) / place if found[place - 1] else 0 for place in range(1, positives + 1)
    ]
    depth = len(found) if k is None else min(k, len(found))
    gain = sum(1 / math.log2(place + 2) for place in range(depth) if found[place])
    ideal = sum(1 / math.log2(place + 2) for place in range(min(depth, positives)))
    return sum(precisions) / positives, sum(found[:positives]) / positives, gain / ideal


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 100_000),
    st.sampled_from([None, 1, 2, 4]),
    st.sampled_from(["pessimistic", "optimistic"]),
    st.sampled_from([None, 1, 3, 10]),
)
def test_against_sorted_lists(seed: int, levels: int | None, ties: str, k: int | None) -> None:
    scores, right = random_case(seed, levels)
    placement = placement_of(scores, right, ties)
    np.testing.assert_array_equal(placement.queries, np.flatnonzero(right.any(axis=1)))
    expected = np.array([plain(found, k) for found in ranked(scores, right, ties)])
    found = [average_precision_at_r(placement), r_precision(placement), ndcg(placement, k)]
    np.testing.assert_allclose(np.column_stack(found), expected, rtol=1e-12)


def test_a_worked_example() -> None:
    """Three positives at places 1, 3 and 5 of six."""
    scores = np.array([[6.0, 5, 4, 3, 2, 1]])
    right = np.array([[True, False, True, False, True, False]])
    placement = placement_of(scores, right)
    assert average_precision_at_r(placement) == pytest.approx([(1 + 2 / 3) / 3])
    assert r_precision(placement) == pytest.approx([2 / 3])
    gain = 1 + 1 / 2 + 1 / math.log2(6)
    assert ndcg(placement) == pytest.approx([gain / (1 + 1 / math.log2(3) + 1 / 2)])
    assert ndcg(placement, 1) == pytest.approx([1.0])


def test_a_perfect_ranking_is_100_and_a_constant_one_is_not() -> None:
    right = np.random.default_rng(0).random((6, 30)) < 0.2
    right[:, 0] = True
    relevance = Relevance.from_pairs(*np.nonzero(right), *right.shape)
    ranks = positive_ranks(MatrixScores(right.astype(float)), relevance)
    perfect = PrecisionMetrics.of(Placement.of(ranks))
    assert perfect.to_dict() == {
        "mAP@R": pytest.approx(100),
        "R-Precision": pytest.approx(100),
        "nDCG": pytest.approx(100),
        "nDCG@10": pytest.approx(100),
        "queries": 6,
        "positives": int(right.sum()),
    }
    flat = positive_ranks(MatrixScores(np.zeros(right.shape)), relevance)
    constant = PrecisionMetrics.of(Placement.of(flat))
    assert constant.map_at_r == constant.r_precision == 0
    assert constant.ndcg < 60
    optimistic = PrecisionMetrics.of(Placement.of(flat, "optimistic"))
    assert optimistic.map_at_r == pytest.approx(100)


def test_positives_that_are_no_candidates_are_never_found() -> None:
    """The second query has one positive of three among the candidates, the third none of one."""
    scores = np.array([[2.0, 1], [2, 1], [2, 1]])
    relevance = Relevance.from_pairs(np.array([0, 1]), np.array([0, 0]), 3, 2)
    placement = Placement.of(
        positive_ranks(MatrixScores(scores), relevance), missing=np.array([0, 2, 1])
    )
    np.testing.assert_array_equal(placement.counts, [1, 3, 1])
    np.testing.assert_allclose(average_precision_at_r(placement), [1, 1 / 3, 0])
    np.testing.assert_allclose(r_precision(placement), [1, 1 / 3, 0])
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    np.testing.assert_allclose(ndcg(placement), [1, 1 / ideal, 0])


def test_what_has_no_precision_is_refused() -> None:
    scores, right = np.zeros((2, 3)), np.zeros((2, 3), bool)
    with pytest.raises(DataError, match="no query has a positive"):
        placement_of(scores, right)
    right[0, 0] = True
    with pytest.raises(ConfigError, match="takes pessimistic or optimistic"):
        placement_of(scores, right, "expected")
    with pytest.raises(ConfigError, match="k is 0"):
        ndcg(placement_of(scores, right), 0)
