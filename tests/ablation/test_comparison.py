from __future__ import annotations

import numpy as np
import pytest
from measured import GRID, RESULTS, measured

from user_itr.ablation.comparison import student_interval, summarise
from user_itr.ablation.measurement import METRICS
from user_itr.ablation.runner import Result
from user_itr.evaluation.bootstrap import paired_bootstrap


def test_figures_are_shares_of_queries() -> None:
    one = measured(0, 4)
    assert list(one.figures) == list(METRICS)
    assert one.figures["i2t R@5"] == pytest.approx(100 * np.mean(one.i2t_ranks <= 5))
    assert one.figures["t2i R@1"] == pytest.approx(100 * np.mean(one.t2i_ranks <= 1))
    assert one.figures["rsum"] == pytest.approx(sum(list(one.figures.values())[:6]))


def test_mean_and_deviation_over_seeds_and_the_test_over_shared_ones() -> None:
    base, new, odd = summarise(GRID, RESULTS)
    first, second = (measured(seed, 8).figures for seed in (0, 1))
    for key in METRICS:
        assert base.mean[key] == pytest.approx((first[key] + second[key]) / 2)
        assert base.deviation[key] == pytest.approx(abs(first[key] - second[key]) / 2**0.5)
        assert new.deviation[key] is None
    assert list(base.measured) == [0, 1]
    assert base.difference is None
    assert odd.difference is None
    assert new.difference is not None
    expected = paired_bootstrap([measured(2, 3).hits], [measured(0, 8).hits])  # seed 0 alone
    assert tuple(new.difference.values()) == expected
    rsum = new.difference["rsum"]
    assert rsum.value == pytest.approx(new.mean["rsum"] - first["rsum"])
    assert 0 < rsum.low < rsum.value < rsum.high


@pytest.mark.parametrize(
    ("values", "half"),
    [
        ([1.0, 3.0], 12.7062 * 2**0.5 / 2**0.5),
        ([0.0, 2.0, 4.0, 6.0, 8.0], 2.7764 * 10**0.5 / 5**0.5),
        ([0.0, 1.0] * 61, 1.9799 * (122 / 4 / 121) ** 0.5 / 122**0.5),
    ],
)
def test_student_interval(values: list[float], half: float) -> None:
    low, high = student_interval(values)
    mean = sum(values) / len(values)
    assert (low, high) == pytest.approx((mean - half, mean + half), rel=1e-4)


def test_the_interval_over_seeds_is_of_paired_differences() -> None:
    both = [
        Result(row, seed, measured(seed, noise), "")
        for row, noise in (("base", 8), ("new", 3))
        for seed in (0, 1)
    ]
    base, new = summarise(GRID, both)
    assert base.over_seeds is None
    assert new.over_seeds is not None
    gains = [
        measured(seed, 3).figures["rsum"] - measured(seed, 8).figures["rsum"] for seed in (0, 1)
    ]
    assert new.over_seeds["rsum"] == pytest.approx(student_interval(gains))
    assert summarise(GRID, RESULTS)[1].over_seeds is None  # one seed in common


def test_without_the_reference_nothing_is_tested() -> None:
    [new] = summarise(GRID, RESULTS[2:4])
    assert new.name == "new"
    assert new.difference is None
    assert summarise(GRID, []) == []
