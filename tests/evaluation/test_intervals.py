from __future__ import annotations

import json

import numpy as np
import pytest

from user_itr.errors import DataError
from user_itr.evaluation.cross_modal import CrossModalRanks
from user_itr.evaluation.intervals import recall_intervals
from user_itr.evaluation.metrics import CrossModalMetrics
from user_itr.evaluation.ranks import BestRanks

KS = (1, 5)


def best_ranks(queries: np.ndarray, random: np.random.Generator, scale: float) -> BestRanks:
    ahead, tied, companions = (
        random.exponential(size, len(queries)).astype(np.int64) for size in (scale, 0.7, 0.7)
    )
    return BestRanks(queries, queries, ahead, tied, companions, 1000)


def random_ranks(seed: int, images: int = 40) -> tuple[CrossModalRanks, np.ndarray]:
    """Images with one to four captions, captions in any order, and image 3 with none."""
    random = np.random.default_rng(seed)
    counts = random.integers(1, 5, images)
    counts[3] = 0
    caption_image = random.permutation(np.repeat(np.arange(images), counts))
    i2t = best_ranks(np.flatnonzero(counts), random, 2)
    return CrossModalRanks(i2t, best_ranks(np.arange(counts.sum()), random, 3)), caption_image


@pytest.mark.parametrize("ties", ["pessimistic", "expected"])
def test_against_plain_resampling(ties: str) -> None:
    ranks, caption_image = random_ranks(0)
    images = ranks.i2t.queries
    found = recall_intervals(ranks, caption_image, KS, ties=ties, resamples=20_000)

    def figures(drawn: np.ndarray) -> list[float]:
        values: list[float] = []
        rows = (
            [int(np.flatnonzero(images == image)[0]) for image in drawn],
            [row for image in drawn for row in np.flatnonzero(caption_image == image)],
        )
        for best, kept in zip((ranks.i2t, ranks.t2i), rows, strict=True):
            values += [100 * best.hits(k, ties)[kept].mean() for k in KS]
            values += [np.median(best.ranks(ties)[kept]), best.ranks(ties)[kept].mean()]
        return [*values, sum(values[i] for i in (0, 1, 4, 5))]

    random = np.random.default_rng(9)
    draws = [figures(random.choice(images, len(images))) for _ in range(2000)]
    intervals = [
        one
        for side in (found.i2t, found.t2i)
        for one in (*side.recall.values(), side.median_rank, side.mean_rank)
    ]
    values = zip([*intervals, found.rsum], figures(images), np.array(draws).T, strict=True)
    for one, value, column in values:
        assert one.value == pytest.approx(value)
        for bound, share in ((one.low, 0.025), (one.high, 0.975)):  # shares known to 0.0035
            assert (column < bound - 1e-9).mean() < share + 0.012
            assert (column <= bound + 1e-9).mean() > share - 0.012


def test_values_are_the_metrics_and_lie_inside() -> None:
    ranks, caption_image = random_ranks(1)
    metrics = CrossModalMetrics.of(ranks, KS)
    found = recall_intervals(ranks, caption_image, KS, resamples=501)
    assert found.rsum.value == pytest.approx(metrics.rsum)
    for side, expected in ((found.i2t, metrics.i2t), (found.t2i, metrics.t2i)):
        values = {name: one["value"] for name, one in side.to_dict().items()}
        known = expected.to_dict()
        assert values == pytest.approx({name: known[name] for name in values})
        for one in side.to_dict().values():
            assert one["low"] <= one["value"] <= one["high"]
    document = json.loads(json.dumps(found.to_dict()))
    assert document["resamples"] == 501
    assert document["i2t"]["R@1"] == found.i2t.recall[1].to_dict()


def test_small_blocks_change_nothing_and_the_seed_does(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks, caption_image = random_ranks(2)
    once = recall_intervals(ranks, caption_image, KS, resamples=300)
    monkeypatch.setattr("user_itr.evaluation.intervals._BLOCK_QUERIES", 1)
    assert recall_intervals(ranks, caption_image, KS, resamples=300) == once
    assert recall_intervals(ranks, caption_image, KS, resamples=300, seed=1) != once


def test_a_perfect_model_has_no_spread() -> None:
    queries = np.arange(6)
    zeros = np.zeros(6, np.int64)
    perfect = BestRanks(queries, queries, zeros, zeros, zeros, 6)
    found = recall_intervals(CrossModalRanks(perfect, perfect), queries, KS, resamples=50)
    assert (found.rsum.low, found.rsum.value, found.rsum.high) == (400, 400, 400)
    assert (found.t2i.median_rank.low, found.t2i.median_rank.high) == (1, 1)


def test_without_queries_there_is_no_interval() -> None:
    ranks, caption_image = random_ranks(0)
    empty = CrossModalRanks(ranks.i2t.take(np.array([], np.int64)), ranks.t2i)
    with pytest.raises(DataError, match="no query with a positive"):
        recall_intervals(empty, caption_image, KS)
