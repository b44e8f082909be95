"""Several ground truths, symmetric scores, two matrices, devices: the ranks of each alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from user_itr.errors import DataError
from user_itr.evaluation import counting, embedding_scores
from user_itr.evaluation.cross_modal import CrossModalRanks, cross_modal_ranks, cross_modal_ranks_by
from user_itr.evaluation.directed import DirectedScores
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.ranks import BestRanks, best_ranks
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import MatrixScores, mean_scores


def equal(one: BestRanks, other: BestRanks) -> None:
    for name in ("queries", "positive", "ahead", "tied", "companions"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    assert one.candidates == other.candidates


def both_equal(one: CrossModalRanks, other: CrossModalRanks) -> None:
    equal(one.i2t, other.i2t)
    equal(one.t2i, other.t2i)


def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "ROWS", 7)
    monkeypatch.setattr(counting, "COLUMNS", 9)
    monkeypatch.setattr(counting, "_KERNEL", 1)


def some_pairs(random: np.random.Generator, queries: int, candidates: int) -> Relevance:
    count = random.integers(1, 40)
    return Relevance.from_pairs(
        random.integers(0, queries, count),
        random.integers(0, candidates, count),
        queries,
        candidates,
    )


@pytest.mark.parametrize("seed", range(4))
def test_ground_truths_together_and_alone(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    small_tiles(monkeypatch)
    random = np.random.default_rng(seed)
    sides = random.integers(-2, 3, size=(20, 3)), random.integers(-2, 3, size=(33, 3))
    scores = EmbeddingScores(*(side.astype(np.float32) for side in sides))
    truths = [some_pairs(random, 20, 33) for _ in range(3)]
    found = cross_modal_ranks_by(scores, [*truths, truths[1]])
    for one, truth in zip(found, [*truths, truths[1]], strict=True):
        both_equal(one, cross_modal_ranks(scores, truth))
    assert found[3] is found[1]  # counted once


@pytest.mark.parametrize("kind", ["embeddings", "mean"])
@pytest.mark.parametrize("size", [5, 9, 26, 40])
def test_half_of_symmetric_scores_is_enough(
    monkeypatch: pytest.MonkeyPatch, kind: str, size: int
) -> None:
    small_tiles(monkeypatch)
    random = np.random.default_rng(size)
    items = random.integers(-2, 3, size=(size, 3)).astype(np.float32)
    scores = EmbeddingScores(items, items[:1]).within()[0]
    if kind == "mean":
        scores = mean_scores([scores, scores], [1, 3])  # type: ignore[assignment]
    assert scores.symmetric
    truth = some_pairs(random, size, size)
    plain = MatrixScores(items.astype(np.float64) @ items.T.astype(np.float64))
    assert not plain.symmetric
    for alone in (False, True):
        equal(
            best_ranks(scores, truth, exclude_self=alone),
            best_ranks(plain, truth, exclude_self=alone),
        )


def test_two_matrices_are_ranked_each_by_its_own() -> None:
    random = np.random.default_rng(0)
    forth, back = random.normal(size=(6, 10)), random.normal(size=(10, 6))
    scores = DirectedScores(MatrixScores(forth), MatrixScores(back, ("captions", "images")))
    truth = Relevance.from_caption_image(random.integers(0, 6, 10), 6)
    found = cross_modal_ranks(scores, truth)
    equal(found.i2t, best_ranks(MatrixScores(forth), truth))
    equal(found.t2i, best_ranks(MatrixScores(back), truth.transpose()))
    rows, columns = np.array([4, 1, 2]), np.array([9, 0, 3, 4])
    taken = cross_modal_ranks(scores.take(rows, columns), truth.take(rows, columns))
    equal(
        taken.t2i,
        best_ranks(
            MatrixScores(back[np.ix_(columns, rows)]), truth.take(rows, columns).transpose()
        ),
    )
    mixed = mean_scores([scores, MatrixScores(forth)])
    assert not mixed.one_way
    equal(
        cross_modal_ranks(mixed, truth).t2i,
        best_ranks(MatrixScores((back + forth.T) / 2), truth.transpose()),
    )
    with pytest.raises(DataError, match="give images x captions and captions x images"):
        DirectedScores(MatrixScores(forth), MatrixScores(back[:-1]))


def test_the_way_of_tensors_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU in the place of a GPU: products are made by torch, TF32 and bfloat16 aside."""
    small_tiles(monkeypatch)
    random = np.random.default_rng(0)
    sides = [random.normal(size=(n, 40)).astype(np.float32) for n in (20, 31)]
    truth = Relevance.from_caption_image(random.integers(0, 20, 31), 20)
    expected = cross_modal_ranks(EmbeddingScores(*sides), truth)
    made: list[tuple[int, ...]] = []
    product = embedding_scores.product

    def counted(*arguments: object) -> None:
        made.append(arguments[2].shape)  # type: ignore[attr-defined]
        product(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(embedding_scores, "product", counted)
    monkeypatch.setattr(
        embedding_scores, "on_accelerator", lambda side: isinstance(side, torch.Tensor)
    )
    there = torch.from_numpy(sides[1])
    for pair in ((sides[0], there), (torch.from_numpy(sides[0]), there)):
        scores = EmbeddingScores(*pair)
        both_equal(cross_modal_ranks(scores, truth), expected)
        rows, columns = np.array([5, 0, 3]), np.arange(4, 20)
        assert scores.take(rows, columns)._sides[1].tensor is not None
        both_equal(
            cross_modal_ranks(scores.take(rows, columns), truth.take(rows, columns)),
            cross_modal_ranks(
                EmbeddingScores(sides[0][rows], sides[1][columns]), truth.take(rows, columns)
            ),
        )
    assert len(made) > 4
