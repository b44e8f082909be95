from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from user_itr.errors import DataError
from user_itr.evaluation.bootstrap import (
    Answers,
    CrossModalAnswers,
    hits_by_image,
    paired_bootstrap,
)
from user_itr.evaluation.cross_modal import CrossModalRanks
from user_itr.evaluation.paired_tests import compare_answers, compare_ranks, sign_test
from user_itr.evaluation.ranks import BestRanks

KS = (1, 5)
OWNER = np.repeat(np.arange(30), 3)


def ranked(ahead: np.ndarray) -> BestRanks:
    zeros = np.zeros_like(ahead)
    queries = np.arange(len(ahead))
    return BestRanks(queries, queries, ahead, zeros, zeros, 100)


def random_ranks(seed: int, scale: float) -> CrossModalRanks:
    random = np.random.default_rng(seed)
    sides = (random.exponential(scale, count).astype(np.int64) for count in (30, 90))
    return CrossModalRanks(*(ranked(ahead) for ahead in sides))


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_sign_test_counts_outcomes(wins: int, losses: int) -> None:
    n = wins + losses
    as_uneven = [i for i in range(n + 1) if abs(2 * i - n) >= abs(wins - losses)]
    expected = sum(math.comb(n, i) for i in as_uneven) / 2**n
    assert sign_test(wins, losses) == pytest.approx(expected)
    assert sign_test(wins, losses) == sign_test(losses, wins)


def test_known_p_values() -> None:
    assert sign_test(0, 0) == 1
    assert sign_test(10, 0) == pytest.approx(2 / 1024)
    assert sign_test(8, 2) == pytest.approx(112 / 1024)
    # Twenty thousand undecided queries: the normal limit with continuity correction is close.
    z = (10_150 - 9_850 - 1) / math.sqrt(20_000)
    assert sign_test(10_150, 9_850) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-3)


def test_a_comparison_counts_wins_and_bootstraps_differences() -> None:
    model, reference = random_ranks(0, 2), random_ranks(1, 4)
    found = compare_ranks(model, reference, OWNER, KS, resamples=999)
    for side in ("i2t", "t2i"):
        one, other = getattr(model, side).ranks(), getattr(reference, side).ranks()
        result = getattr(found, side)
        assert (result.ranks.wins, result.ranks.losses) == (
            (one < other).sum(),
            (one > other).sum(),
        )
        assert result.queries == len(one)
        for k in KS:
            wins = sum(a <= k < b for a, b in zip(one, other, strict=True))
            losses = sum(b <= k < a for a, b in zip(one, other, strict=True))
            assert (result.hits[k].wins, result.hits[k].losses) == (wins, losses)
            assert result.hits[k].p_value == sign_test(wins, losses)
            assert result.recall[k].value == pytest.approx(100 * (wins - losses) / len(one))
    hits = [hits_by_image(r.i2t.ranks(), r.t2i.ranks(), OWNER, KS) for r in (model, reference)]
    plain = paired_bootstrap(hits[:1], hits[1:], resamples=999)
    assert [*found.i2t.recall.values(), *found.t2i.recall.values(), found.rsum] == list(plain)
    document = json.loads(json.dumps(found.to_dict()))
    assert document["t2i"]["R@5"]["mcnemar"]["wins"] == found.t2i.hits[5].wins
    assert document["rsum"]["p_value"] == found.rsum.p_value


def test_a_model_does_not_differ_from_itself() -> None:
    model = random_ranks(0, 2)
    found = compare_ranks(model, model, OWNER, KS, resamples=100)
    assert (found.rsum.value, found.rsum.p_value) == (0, 1)
    assert (found.i2t.ranks.wins, found.i2t.ranks.losses, found.i2t.ranks.p_value) == (0, 0, 1)


def test_expected_hits_are_compared_as_probabilities() -> None:
    """One wrong candidate tied with the positive: a half of a hit, which beats none."""
    ones, zeros = np.ones(2, np.int64), np.zeros(2, np.int64)
    queries = np.arange(2)
    half = BestRanks(queries, queries, zeros, ones, zeros, 9)
    none = BestRanks(queries, queries, ones, zeros, zeros, 9)
    found = compare_ranks(
        CrossModalRanks(half, half), CrossModalRanks(none, none), queries, (1,), ties="expected"
    )
    assert found.i2t.recall[1].value == pytest.approx(50)
    assert (found.i2t.hits[1].wins, found.i2t.hits[1].losses) == (2, 0)


def test_other_queries_are_refused() -> None:
    model, other = random_ranks(0, 2), random_ranks(1, 2)
    fewer = CrossModalRanks(other.i2t.take(np.arange(1, 30)), other.t2i)
    with pytest.raises(DataError, match="30 and 29 queries that are not the same"):
        compare_ranks(model, fewer, OWNER, KS)
    answers = CrossModalAnswers.of(model, OWNER, KS)
    cut = Answers.from_ranks(answers.t2i.rank, answers.t2i.image, (1,))
    with pytest.raises(DataError, match="at other K"):
        compare_answers(answers, CrossModalAnswers(answers.i2t, cut))
