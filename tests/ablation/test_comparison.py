from __future__ import annotations

import numpy as np
import pytest
from measured import GRID, RESULTS, measured

from user_itr.ablation.comparison import summarise
from user_itr.ablation.measurement import METRICS
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


def test_without_the_reference_nothing_is_tested() -> None:
    [new] = summarise(GRID, RESULTS[2:4])
    assert new.name == "new"
    assert new.difference is None
    assert summarise(GRID, []) == []
