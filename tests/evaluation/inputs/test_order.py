from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from user_itr.data.captions import CaptionedImages
from user_itr.evaluation.inputs.order import chance, reorderings
from user_itr.evaluation.relevance import Relevance


def test_chance_is_the_mean_over_all_orders() -> None:
    """Three images with 1, 2 and no captions: every order of the candidates, one by one."""
    relevance = Relevance.from_pairs(np.array([0, 1, 1]), np.array([2, 0, 1]), 3, 3)
    total = Fraction(0)
    for side in (relevance, relevance.transpose()):
        for k in (1, 2):
            asked = [row for row in range(side.queries) if len(side.of(row))]
            orders = list(itertools.permutations(range(side.candidates)))
            hits = sum(
                bool(set(order[:k]) & set(side.of(row).tolist()))
                for row in asked
                for order in orders
            )
            total += Fraction(100 * hits, len(asked) * len(orders))
    found = chance(relevance, (1, 2))
    assert found.rsum == pytest.approx(float(total))
    assert found.bound > found.rsum


def test_random_scores_stay_below_the_bound() -> None:
    from user_itr.evaluation.metrics import evaluate_scores
    from user_itr.evaluation.scores import MatrixScores

    relevance = Relevance.from_caption_image(np.repeat(np.arange(60), 5), 60)
    expected = chance(relevance, (1, 5, 10))
    rsums = [
        evaluate_scores(
            MatrixScores(np.random.default_rng(seed).normal(size=(60, 300))), relevance
        ).rsum
        for seed in range(300)
    ]
    error = np.std(rsums) / 300**0.5
    assert np.mean(rsums) == pytest.approx(expected.rsum, abs=4 * error)
    assert max(rsums) < expected.bound < 200


def test_reorderings_are_of_the_same_pairs() -> None:
    items = CaptionedImages(
        "x", "test", ("c", "a", "b"), tuple("012345"), np.array([0, 0, 1, 1, 2, 2]),
        caption_ids=(9, 2, 4, 8, 1, 3), coco_ids=(7, 9, 8),
    )  # fmt: skip
    found = reorderings(items)
    for name, relevance in found.items():
        assert (relevance.queries, relevance.candidates) == (3, 6), name
        assert relevance.counts.tolist() == [2, 2, 2]
    by_name = found["images by name, captions grouped by image"]
    assert by_name.equals(Relevance.from_caption_image(np.array([0, 0, 1, 1, 2, 2]), 3)) is True
    # File rows: a, b, c; captions still those of c, c, a, a, b, b.
    assert [by_name.of(row).tolist() for row in range(3)] == [[0, 1], [2, 3], [4, 5]]
    annotated = found["captions by their number, the order of annotation"]
    # Captions 4, 1, 5, 2, 3, 0 of images b, c, b, a, a, c, which are rows 2, 0, 2, 1, 1, 0.
    assert [annotated.of(row).tolist() for row in range(3)] == [[1, 5], [3, 4], [0, 2]]
    turns = found["the first captions of all images, then the second ones"]
    assert [turns.of(row).tolist() for row in range(3)] == [[0, 3], [1, 4], [2, 5]]
