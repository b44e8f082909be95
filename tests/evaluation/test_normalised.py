from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import score_matrix

from user_itr.errors import ConfigError
from user_itr.evaluation import normalised
from user_itr.evaluation.cross_modal import cross_modal_ranks
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.normalised import NormalisedScores
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import MatrixScores


def inverted_softmax(scores: np.ndarray, sharpness: float) -> np.ndarray:
    """exp(b s) of each pair by its share among all queries (rows), one by one."""
    found = np.empty_like(scores)
    for row, column in np.ndindex(scores.shape):
        bank = math.fsum(math.exp(sharpness * value) for value in scores[:, column])
        found[row, column] = math.exp(sharpness * scores[row, column]) / bank
    return found


def every_pair(scores: NormalisedScores) -> np.ndarray:
    grid = np.indices(scores.shape).reshape(2, -1)
    return scores.pairs(*grid).reshape(scores.shape)


@pytest.fixture
def sides() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images, captions = rng.normal(size=(7, 6)), rng.normal(size=(11, 6))
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (images, captions)]
    return unit[0], unit[1]


@pytest.mark.parametrize("sharpness", [0.5, 20.0])
def test_each_direction_is_the_inverted_softmax_over_its_queries(sides, sharpness, monkeypatch):
    monkeypatch.setattr(normalised, "_BLOCK_SCORES", 25)  # several blocks of queries
    exact = score_matrix(*sides)
    found = NormalisedScores(EmbeddingScores(*sides), sharpness)
    for one, by_hand in (
        (found, inverted_softmax(exact, sharpness)),
        (found.transpose(), inverted_softmax(exact.T, sharpness)),
    ):
        np.testing.assert_allclose(np.exp(sharpness * every_pair(one)), by_hand, rtol=1e-5)


def test_tiles_are_within_their_bound_of_exact_pairs(sides):
    for found in (
        NormalisedScores(EmbeddingScores(*sides), 20),
        NormalisedScores(MatrixScores(1e3 * score_matrix(*sides)), 5).transpose(),
    ):
        exact = every_pair(found)
        out = np.empty(found.shape, np.float32)
        found.tile_scorer(0, found.shape[1])(0, found.shape[0], out)
        bound = found.relative_error * found.magnitude[:, None]
        assert (np.abs(out - exact) <= bound).all()
        assert (np.abs(exact) <= found.magnitude[:, None] * (1 + 1e-12)).all()
        np.testing.assert_allclose(found.rounded(2, 5), exact[2:5], atol=1e-3)


def test_ranks_are_those_of_the_inverted_softmax(sides):
    images, captions = sides
    owner = np.arange(len(captions)) % len(images)
    relevance = Relevance.from_caption_image(owner, len(images))
    scores = EmbeddingScores(images, captions)
    found = cross_modal_ranks(NormalisedScores(scores, 20), relevance)
    exact = score_matrix(images, captions)
    forth, back = inverted_softmax(exact, 20), inverted_softmax(exact.T, 20)
    for image, rank in enumerate(found.i2t.ranks()):
        best = forth[image, owner == image].max()
        assert rank == 1 + (forth[image] > best).sum()
    for caption, rank in enumerate(found.t2i.ranks()):
        assert rank == 1 + (back[caption] > back[caption, owner[caption]]).sum()
    plain = cross_modal_ranks(scores, relevance)
    assert plain.i2t.ranks().tolist() != found.i2t.ranks().tolist()


def test_a_hub_is_set_back():
    """The third caption, of the first image, hides the own one of the second."""
    scores = np.array([[0.5, 0.1, 0.6], [0.1, 0.5, 0.6]])
    relevance = Relevance.from_caption_image(np.array([0, 1, 0]), 2)
    assert cross_modal_ranks(MatrixScores(scores), relevance).i2t.ranks().tolist() == [1, 2]
    found = cross_modal_ranks(NormalisedScores(MatrixScores(scores), 20), relevance)
    assert found.i2t.ranks().tolist() == [1, 1]


def test_equal_candidates_tie_as_before():
    captions = np.repeat(np.eye(3), 2, axis=0)
    relevance = Relevance.from_caption_image(np.array([0, 1, 1, 2, 2, 0]), 3)
    found = cross_modal_ranks(NormalisedScores(EmbeddingScores(np.eye(3), captions), 20), relevance)
    assert found.i2t.tied.tolist() == [1, 1, 1]


@given(st.integers(2, 6), st.integers(2, 6), st.integers(0, 99))
def test_some_rows_and_columns_keep_the_whole_bank(rows, columns, seed):
    rng = np.random.default_rng(seed)
    found = NormalisedScores(MatrixScores(rng.normal(size=(rows, columns))), 3)
    chosen = rng.permutation(rows)[:2], rng.permutation(columns)[:1]
    np.testing.assert_array_equal(
        every_pair(found.take(*chosen)), every_pair(found)[np.ix_(*chosen)]
    )


@pytest.mark.parametrize("sharpness", [0.0, -1.0, math.inf, math.nan])
def test_a_bad_sharpness_is_refused(sharpness):
    with pytest.raises(ConfigError, match="give a number above 0"):
        NormalisedScores(MatrixScores(np.eye(2)), sharpness)
