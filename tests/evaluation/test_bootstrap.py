from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from user_itr.evaluation.bootstrap import HitsByImage, hits_by_image, paired_bootstrap

KS = (1, 5)


def random_ranks(
    random: np.random.Generator, caption_image: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    images = len(np.unique(caption_image))
    return (
        1 + random.exponential(scale, images).astype(int),
        1 + random.exponential(1.5 * scale, len(caption_image)).astype(int),
    )


def recalls(
    i2t: np.ndarray, t2i: np.ndarray, caption_image: np.ndarray, drawn: np.ndarray
) -> list[float]:
    """R@K of both directions and rsum where the queries are those of the drawn images."""
    image_ranks = [i2t[image] for image in drawn]
    caption_ranks = [
        rank
        for image in drawn
        for rank, owner in zip(t2i, caption_image, strict=True)
        if owner == image
    ]
    found = [
        100 * sum(rank <= k for rank in ranks) / len(ranks)
        for ranks in (image_ranks, caption_ranks)
        for k in KS
    ]
    return [*found, sum(found)]


def test_against_plain_resampling() -> None:
    """Captions an image differ in number, and a recall is a mean over two seeds."""
    random = np.random.default_rng(0)
    caption_image = np.repeat(np.arange(30), random.integers(1, 5, 30))
    row = [random_ranks(random, caption_image, 2) for _ in range(2)]
    reference = [random_ranks(random, caption_image, 3) for _ in range(2)]

    def difference(drawn: np.ndarray) -> np.ndarray:
        mean = [
            np.mean([recalls(*ranks, caption_image, drawn) for ranks in side], axis=0)
            for side in (row, reference)
        ]
        return mean[0] - mean[1]

    count = 3000
    found = paired_bootstrap(
        [hits_by_image(*ranks, caption_image, KS) for ranks in row],
        [hits_by_image(*ranks, caption_image, KS) for ranks in reference],
        resamples=20_000,
    )
    plain = np.array([difference(random.integers(0, 30, 30)) for _ in range(count)])
    assert len(found) == 2 * len(KS) + 1
    for one, value, draws in zip(found, difference(np.arange(30)), plain.T, strict=True):
        assert one.value == pytest.approx(value)
        spread = draws.std()  # quantiles of 3,000 draws are known to a few hundredths of it
        assert one.low == pytest.approx(np.quantile(draws, 0.025), abs=0.2 * spread)
        assert one.high == pytest.approx(np.quantile(draws, 0.975), abs=0.2 * spread)
        tail = min((draws <= 1e-9).mean(), (draws >= -1e-9).mean())
        assert one.p_value == pytest.approx(min(1, 2 * tail), abs=0.04)


def test_hits_are_summed_by_image() -> None:
    """Image 1 has no caption: it is no query, and its row is not there."""
    hits = hits_by_image(np.array([1, 7]), np.array([2, 1, 9]), np.array([2, 0, 2]), KS)
    np.testing.assert_array_equal(hits.hits, [[1, 1, 1, 1], [0, 0, 0, 1]])
    np.testing.assert_array_equal(hits.queries, [[1, 1, 1, 1], [1, 1, 2, 2]])
    with pytest.raises(ValueError, match="3 i2t ranks for 2 images"):
        hits_by_image(np.array([1, 7, 1]), np.array([2, 1, 9]), np.array([2, 0, 2]), KS)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_equal_models_do_not_differ(seed: int, seeds: int) -> None:
    random = np.random.default_rng(seed)
    caption_image = random.integers(0, 20, 60)
    ones = [
        hits_by_image(*random_ranks(random, caption_image, 3), caption_image, KS)
        for _ in range(seeds)
    ]
    for found in paired_bootstrap(ones, ones[::-1], resamples=200):
        assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_a_model_that_answers_everything_better_is_better_for_certain() -> None:
    caption_image = np.repeat(np.arange(50), 2)
    good = hits_by_image(np.ones(50), np.ones(100), caption_image, KS)
    bad = hits_by_image(np.full(50, 9), np.full(100, 9), caption_image, KS)
    for found, size in zip(paired_bootstrap([good], [bad]), [100] * 4 + [400], strict=True):
        assert (found.value, found.low, found.high) == (size, size, size)
        assert found.p_value == pytest.approx(2 / 10_001)
    for found in paired_bootstrap([bad], [good]):
        assert found.value < 0
        assert found.p_value == pytest.approx(2 / 10_001)


def test_the_known_spread_of_a_mean() -> None:
    """Wins of 1 on a share p of N images: the resampled mean has variance p (1 - p) / N."""
    images, share = 400, 0.2
    won = np.zeros((images, 1))
    won[: int(share * images)] = 1
    ones = np.ones((images, 1))
    found, rsum = paired_bootstrap(
        [HitsByImage(won, ones)], [HitsByImage(np.zeros((images, 1)), ones)], resamples=20_000
    )
    deviation = 100 * np.sqrt(share * (1 - share) / images)
    assert found == rsum
    assert found.value == pytest.approx(100 * share)
    assert found.high - found.low == pytest.approx(2 * 1.96 * deviation, rel=0.05)


def test_captions_of_an_image_count_as_one_draw() -> None:
    """Five captions that are won or lost together say no more than one."""
    random = np.random.default_rng(1)
    better = np.where(random.random(200) < 0.5, 1, 9)

    def width(captions: int) -> float:
        owner = np.repeat(np.arange(200), captions)
        row = hits_by_image(better, better[owner], owner, (5,))
        reference = hits_by_image(np.full(200, 9), np.full(len(owner), 9), owner, (5,))
        found = paired_bootstrap([row], [reference])[1]
        return found.high - found.low

    assert width(5) == pytest.approx(width(1))


def test_the_same_seed_gives_the_same_figures() -> None:
    random = np.random.default_rng(2)
    owner = np.repeat(np.arange(40), 3)
    row, reference = (
        [hits_by_image(*random_ranks(random, owner, scale), owner, KS)] for scale in (2, 3)
    )
    assert paired_bootstrap(row, reference) == paired_bootstrap(row, reference)
    assert paired_bootstrap(row, reference) != paired_bootstrap(row, reference, seed=1)
    odd = paired_bootstrap(row, reference, resamples=777)  # the last block is short
    assert all(found.low < found.high for found in odd)


def test_what_cannot_be_paired_is_refused() -> None:
    owner = np.repeat(np.arange(4), 2)
    one = hits_by_image(np.ones(4), np.ones(8), owner, KS)
    other = hits_by_image(np.ones(4), np.ones(8), np.array([0, 0, 0, 1, 2, 2, 3, 3]), KS)
    with pytest.raises(ValueError, match="1 and 2 seeds"):
        paired_bootstrap([one], [one, one])
    with pytest.raises(ValueError, match="answer other queries"):
        paired_bootstrap([one], [other])
