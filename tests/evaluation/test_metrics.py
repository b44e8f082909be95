from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.metrics import (
    evaluate_embeddings,
    mean_rank,
    median_rank,
    recall_at_k,
)


def oracle(images, captions, caption_image, ks):
    """Both directions from the full float64 matrix, one stable argsort a query."""
    scores = images.astype(np.float64) @ captions.astype(np.float64).T

    def best(row, is_right):
        # Ties: the wrong ones first, which is what the pessimistic rule says.
        order = np.lexsort((is_right, -row))
        return 1 + int(np.flatnonzero(is_right[order])[0])

    i2t = [
        best(scores[i], caption_image == i) for i in range(len(images)) if i in set(caption_image)
    ]
    every = np.arange(len(images))
    t2i = [best(scores[:, c], every == i) for c, i in enumerate(caption_image)]
    sides = []
    for ranks in (i2t, t2i):
        recall = {k: 100 * sum(r <= k for r in ranks) / len(ranks) for k in ks}
        sides.append((recall, float(np.median(ranks)), sum(ranks) / len(ranks)))
    return sides


def related(rng, counts, width=10, noise=0.6):
    """Images with `counts` noisy captions each, in shuffled order."""
    images = rng.normal(size=(len(counts), width))
    caption_image = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    captions = images[caption_image] + noise * rng.normal(size=(len(caption_image), width))
    return images, captions, caption_image


@pytest.mark.parametrize(
    "counts",
    [[1] * 30, [5] * 20, [1, 4, 2, 0, 7, 1, 0, 3], [0, 0, 2], [1], [3]],
    ids=["one", "five", "uneven", "mostly without", "1x1", "1x3"],
)
@pytest.mark.parametrize("ks", [(1, 5, 10), (3,), (100, 2)])
def test_equals_sorting(counts, ks):
    images, captions, caption_image = related(np.random.default_rng(len(counts)), counts)
    found = evaluate_embeddings(images, captions, caption_image, ks)
    expected = oracle(images, captions, caption_image, ks)
    for one, (recall, median, mean) in zip((found.i2t, found.t2i), expected, strict=True):
        assert list(one.recall) == sorted(ks)
        assert one.recall == pytest.approx(recall, abs=1e-12)
        assert (one.median_rank, one.mean_rank) == pytest.approx((median, mean), abs=1e-12)
    assert (found.i2t.queries, found.i2t.candidates) == (np.count_nonzero(counts), sum(counts))
    assert (found.t2i.queries, found.t2i.candidates) == (sum(counts), len(counts))


def test_equals_sorting_with_ties():
    rng = np.random.default_rng(8)
    images = rng.integers(-1, 2, size=(25, 3)).astype(np.float32)
    caption_image = rng.integers(0, 25, size=70)
    captions = rng.integers(-1, 2, size=(70, 3)).astype(np.float32)
    found = evaluate_embeddings(images, captions, caption_image)
    for one, (recall, median, mean) in zip(
        (found.i2t, found.t2i), oracle(images, captions, caption_image, (1, 5, 10)), strict=True
    ):
        assert one.recall == pytest.approx(recall, abs=1e-12)
        assert (one.median_rank, one.mean_rank) == pytest.approx((median, mean), abs=1e-12)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_hand_computed_with_an_image_without_captions(kind):
    images = kind(np.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]]))
    captions = kind(np.array([[0.6, 0.8], [1.0, 0.0], [0.0, 1.0]]))
    # scores, images down: .6 1 0 | .8 0 1 | .96 .8 .6; image 1 has no caption
    found = evaluate_embeddings(images, captions, np.array([0, 2, 0]), ks=(1, 2))
    assert found.to_dict() == {
        "i2t": {
            "R@1": 0.0, "R@2": 100.0, "median_rank": 2.0, "mean_rank": 2.0,
            "queries": 2, "candidates": 3,
        },
        "t2i": {
            "R@1": 0.0, "R@2": pytest.approx(100 / 3), "median_rank": 3.0,
            "mean_rank": pytest.approx(8 / 3), "queries": 3, "candidates": 3,
        },
        "rsum": pytest.approx(100 + 100 / 3),
        "mR": pytest.approx((100 + 100 / 3) / 4),
        "ties": "pessimistic",
    }  # fmt: skip


@pytest.mark.parametrize("width", [3, 256])
def test_a_constant_model_scores_nothing(width):
    row = np.random.default_rng(0).normal(size=(1, width)).astype(np.float32)
    caption_image = np.repeat(np.arange(40), 5)
    args = (np.repeat(row, 40, axis=0), np.repeat(row, 200, axis=0), caption_image)
    found = evaluate_embeddings(*args)
    assert found.rsum == 0
    assert (found.i2t.median_rank, found.t2i.median_rank) == (196, 40)
    lucky = evaluate_embeddings(*args, ties="optimistic")
    assert (lucky.rsum, lucky.ties) == (600, "optimistic")
    fair = evaluate_embeddings(*args, ties="expected")
    assert fair.t2i.recall == pytest.approx({1: 100 / 40, 5: 500 / 40, 10: 1000 / 40})
    miss = [math.comb(195, k) / math.comb(200, k) for k in (1, 5, 10)]
    assert list(fair.i2t.recall.values()) == pytest.approx([100 * (1 - p) for p in miss])
    assert fair.t2i.median_rank == pytest.approx(20.5)
    assert fair.i2t.median_rank == pytest.approx(1 + 195 / 6)


def test_perfect_model():
    images = np.eye(6, dtype=np.float32)
    found = evaluate_embeddings(images, np.repeat(images, 2, axis=0), np.repeat(np.arange(6), 2))
    assert found.rsum == pytest.approx(600)
    assert found.i2t.mean_rank == found.t2i.mean_rank == 1


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 40))
def test_recall_grows_with_k(ranks, k):
    ranks = np.array(ranks)
    assert 0 <= recall_at_k(ranks, k) <= recall_at_k(ranks, k + 1) <= 100
    assert recall_at_k(ranks, 40) == 100
    assert recall_at_k(ranks, k) == pytest.approx(100 * sum(r <= k for r in ranks) / len(ranks))


def test_summaries_of_ranks():
    ranks = np.array([1, 2, 10, 3])
    assert (recall_at_k(ranks, 2), median_rank(ranks), mean_rank(ranks)) == (50.0, 2.5, 4.0)
    for summary in (median_rank, mean_rank, lambda none: recall_at_k(none, 1)):
        with pytest.raises(DataError, match="no ranks"):
            summary(np.array([], np.int64))


@pytest.mark.parametrize("ks", [(), (0, 1), (5, -1)])
def test_bad_ks(ks):
    one = np.ones((1, 1))
    with pytest.raises(ConfigError, match="ks is"):
        evaluate_embeddings(one, one, np.array([0]), ks)


@pytest.mark.parametrize(
    ("caption_image", "message"),
    [
        ([0, 1], "3 captions are scored, and the ground truth is of 2 and 2"),
        ([0.0, 1.0, 1.0], "caption_image is float64"),
        ([[0, 1, 1]], r"caption_image is int64 of shape \(1, 3\)"),
        ([0, 2, 1], "pair 1: row 2 is outside the 2 images"),
        ([0, 1, -1], "pair 2: row -1 is outside the 2 images"),
    ],
)
def test_bad_ground_truth(caption_image, message):
    with pytest.raises(DataError, match=message):
        evaluate_embeddings(np.ones((2, 2)), np.ones((3, 2)), np.array(caption_image))


def test_bad_embeddings_are_named_by_their_own_row():
    images, captions = np.ones((4, 2)), np.ones((3, 2))
    caption_image = np.array([3, 3, 2])  # rows 0 and 1 are left out as queries
    images[3, 0] = np.nan
    with pytest.raises(DataError, match="images, row 3: holds NaN"):
        evaluate_embeddings(images, captions, caption_image)
    captions[1, 1] = np.inf
    images[3, 0] = 1
    with pytest.raises(DataError, match="captions, row 1: holds NaN, infinity"):
        evaluate_embeddings(images, captions, caption_image)
    with pytest.raises(DataError, match=r"captions have shape \(0, 2\)"):
        evaluate_embeddings(images, np.ones((0, 2)), np.array([], np.int64))
