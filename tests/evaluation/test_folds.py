from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.folds import FoldedMetrics, evaluate_folds, fold_size
from user_itr.evaluation.metrics import CrossModalMetrics, RetrievalMetrics, evaluate_embeddings
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import MatrixScores


def noisy(rng, counts, width=10, noise=0.8):
    """Images with `counts` captions each; the captions in shuffled order."""
    images = rng.normal(size=(len(counts), width))
    caption_image = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    captions = images[caption_image] + noise * rng.normal(size=(len(caption_image), width))
    return images, captions, caption_image


def folded(images, captions, caption_image, *args, **kwargs):
    relevance = Relevance.from_caption_image(caption_image, len(images))
    return evaluate_folds(EmbeddingScores(images, captions), relevance, *args, **kwargs)


def sorted_ranks(scores, right):
    """Rank of the best right candidate of each row, from one full argsort."""
    ranks = []
    for row, wanted in zip(scores, right, strict=True):
        order = np.argsort(-row, kind="stable")
        ranks.append(1 + min(int(np.flatnonzero(order == c)[0]) for c in np.flatnonzero(wanted)))
    return ranks


def oracle(images, captions, caption_image, folds, ks):
    """Per direction: mean over the folds of the recalls, the median and the mean rank."""
    size = len(images) // folds
    each = {"i2t": [], "t2i": []}
    for fold in range(folds):
        rows = list(range(fold * size, (fold + 1) * size))
        columns = [c for c, image in enumerate(caption_image) if image in rows]
        scores = np.array([[images[i] @ captions[c] for c in columns] for i in rows])
        right = np.array([[caption_image[c] == i for c in columns] for i in rows])
        for direction, ranks in (
            ("i2t", sorted_ranks(scores, right)),
            ("t2i", sorted_ranks(scores.T, right.T)),
        ):
            recalls = [100 * sum(r <= k for r in ranks) / len(ranks) for k in ks]
            each[direction].append([*recalls, float(np.median(ranks)), sum(ranks) / len(ranks)])
    return {direction: np.mean(values, axis=0) for direction, values in each.items()}


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize(
    ("counts", "folds"),
    [([5] * 20, 5), ([5] * 20, 4), ([1] * 12, 3), ([1, 4, 2, 3, 7, 1, 5, 3], 2), ([2] * 6, 6)],
    ids=["five", "four folds", "one caption", "uneven", "an image a fold"],
)
def test_equals_sorting_each_fold_alone(kind, counts, folds):
    images, captions, caption_image = noisy(np.random.default_rng(len(counts)), counts)
    found = folded(kind(images), kind(captions), caption_image, folds, (1, 3))
    expected = oracle(images, captions, caption_image, folds, (1, 3))
    for direction in ("i2t", "t2i"):
        mean = found.mean(direction)
        names = ("R@1", "R@3", "median_rank", "mean_rank")
        assert [mean[name] for name in names] == pytest.approx(list(expected[direction]))
    assert found.rsum == pytest.approx(expected["i2t"][:2].sum() + expected["t2i"][:2].sum())
    assert found.mean("i2t")["queries"] == len(counts) / folds
    assert found.mean("t2i")["queries"] == sum(counts) / folds


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_a_fold_sees_its_own_images_and_captions_alone(folds, size, captions_each, seed):
    images, captions, caption_image = noisy(
        np.random.default_rng(seed), [captions_each] * (folds * size), width=3
    )
    found = folded(images, captions, caption_image, folds)
    for fold, one in enumerate(found.folds):
        assert (one.i2t.queries, one.i2t.candidates) == (size, size * captions_each)
        inside = caption_image // size == fold
        alone = evaluate_embeddings(
            images[fold * size : (fold + 1) * size],
            captions[inside],
            caption_image[inside] - fold * size,
        )
        assert one == alone
    whole = evaluate_embeddings(images, captions, caption_image)
    assert found.rsum >= whole.rsum - 1e-9  # fewer candidates never rank a query worse
    if folds == 1:
        assert found.folds == (whole,)


def test_means_by_hand():
    def one(first, tenth, median, queries):
        return RetrievalMetrics({1: first, 10: tenth}, median, 2 * median, queries, 50)

    both = FoldedMetrics(
        (
            CrossModalMetrics(one(40.0, 80.0, 2.0, 10), one(30.0, 70.0, 3.0, 50)),
            CrossModalMetrics(one(50.0, 90.0, 1.0, 10), one(20.0, 60.0, 4.0, 49)),
        )
    )
    assert both.rsum == 220.0
    document = both.to_dict()
    assert document["mean"] == {
        "i2t": {
            "R@1": 45.0, "R@10": 85.0, "median_rank": 1.5, "mean_rank": 3.0,
            "queries": 10, "candidates": 50,
        },
        "t2i": {
            "R@1": 25.0, "R@10": 65.0, "median_rank": 3.5, "mean_rank": 7.0,
            "queries": 49.5, "candidates": 50,
        },
        "rsum": 220.0,
    }  # fmt: skip
    assert document["folds"] == [fold.to_dict() for fold in both.folds]


def test_ties_count_against_the_model_in_every_fold():
    row = np.ones((1, 4))
    images, captions = np.repeat(row, 6, axis=0), np.repeat(row, 12, axis=0)
    caption_image = np.repeat(np.arange(6), 2)
    assert folded(images, captions, caption_image, 2, (1, 2)).rsum == 0
    assert folded(images, captions, caption_image, 2, ties="optimistic").rsum == 600


@pytest.mark.parametrize("folds", [0, -5, 3, 7, 5001])
def test_folds_that_do_not_divide_the_images(folds):
    with pytest.raises(
        ConfigError,
        match=rf"^folds is {folds}, and 5,000 images do not fall into {folds} equal folds; "
        "give a number that divides 5,000.$",
    ):
        fold_size(5000, folds)
    assert fold_size(5000, 5) == 1000


def test_images_and_captions_out_of_order_are_copied_by_row():
    rng = np.random.default_rng(1)
    images, captions, caption_image = noisy(rng, [3] * 6)
    matrix = images @ captions.T
    relevance = Relevance.from_caption_image(caption_image, 6)
    by_matrix = evaluate_folds(MatrixScores(matrix), relevance, 3)
    assert by_matrix == folded(images, captions, caption_image, 3)


def test_ground_truth_of_other_items():
    scores = EmbeddingScores(np.ones((4, 2)), np.ones((4, 2)))
    relevance = Relevance.from_caption_image(np.array([0, 1, 2]), 4)
    with pytest.raises(DataError, match="4 captions are scored, and the ground truth is of 4 and"):
        evaluate_folds(scores, relevance, 2)
    relevance = Relevance.from_caption_image(np.array([0, 1, 1, 1]), 4)
    with pytest.raises(DataError, match="images 2 to 3 have no captions, so their fold cannot"):
        evaluate_folds(scores, relevance, 2)
