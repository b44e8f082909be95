from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles import score_matrix

from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.cross_modal import cross_modal_ranks
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import MatrixScores, mean_scores


def every_pair(scores):
    rows, columns = scores.shape
    grid = np.indices((rows, columns)).reshape(2, -1)
    return scores.pairs(*grid).reshape(rows, columns)


def tile(scores):
    out = np.empty(scores.shape, np.float32)
    scores.tile_scorer(0, scores.shape[1])(0, scores.shape[0], out)
    return out.astype(np.float64)


def kinds():
    rng = np.random.default_rng(0)
    images, captions = rng.normal(size=(7, 33)), rng.normal(size=(11, 33))
    exact = score_matrix(images, captions)
    low = images.astype(np.float32), captions.astype(np.float32)
    parts = [EmbeddingScores(images, captions), MatrixScores(exact.astype(np.float32))]
    return {
        "float64": (parts[0], exact),
        "float32": (EmbeddingScores(*low), score_matrix(*low)),
        "tiny": (EmbeddingScores(images * 1e-30, captions * 1e-25), None),
        "huge": (EmbeddingScores(images * 1e12, captions * 1e-3), None),
        "matrix64": (MatrixScores(exact), exact),
        "matrix16": (MatrixScores(exact.astype(np.float16)), exact.astype(np.float16)),
        "mean": (
            mean_scores(parts, [3, 1]),
            0.75 * exact + 0.25 * exact.astype(np.float32).astype(np.float64),
        ),
    }


@pytest.mark.parametrize("kind", kinds())
def test_tiles_are_within_their_bound_of_exact_pairs(kind):
    scores, expected = kinds()[kind]
    exact = every_pair(scores)
    if expected is not None:
        np.testing.assert_array_equal(exact, expected)
    if kind not in ("tiny", "huge"):  # beyond float32, tiles are only used through ranks
        error = np.abs(tile(scores) - exact)
        assert (error <= scores.relative_error * scores.magnitude[:, None] + 1e-30).all()
        np.testing.assert_allclose(scores.rounded(2, 5), exact[2:5], rtol=1e-6)
    assert (np.abs(exact) <= scores.magnitude[:, None] * (1 + 1e-12)).all()
    back = scores.transpose()
    assert back.shape == exact.T.shape
    np.testing.assert_array_equal(every_pair(back), exact.T)
    np.testing.assert_array_equal(every_pair(back.transpose()), exact)
    rows, columns = np.array([5, 0, 3]), np.array([2, 3, 4, 5])
    np.testing.assert_array_equal(
        every_pair(scores.take(rows, columns)), exact[np.ix_(rows, columns)]
    )


@pytest.mark.parametrize("kind", kinds())
def test_ranks_hang_on_exact_scores_alone(kind):
    scores, _ = kinds()[kind]
    owner = np.array([0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 2])
    right = Relevance.from_caption_image(owner, 7)
    found = cross_modal_ranks(scores, right)
    exact = (
        cross_modal_ranks(MatrixScores(every_pair(scores) * 2.0**100), right)
        if (kind == "tiny")
        else cross_modal_ranks(MatrixScores(every_pair(scores)), right)
    )
    assert found.i2t.ranks().tolist() == exact.i2t.ranks().tolist()
    assert found.t2i.ranks().tolist() == exact.t2i.ranks().tolist()


def test_memory_mapped_matrix(tmp_path):
    matrix = np.random.default_rng(1).normal(size=(300, 40)).astype(np.float32)
    np.save(tmp_path / "scores.npy", matrix)
    right = Relevance.from_caption_image(np.arange(40), 300)
    mapped = MatrixScores(np.load(tmp_path / "scores.npy", mmap_mode="r"))
    found, expected = (cross_modal_ranks(s, right) for s in (mapped, MatrixScores(matrix)))
    np.testing.assert_array_equal(found.i2t.ranks(), expected.i2t.ranks())
    np.testing.assert_array_equal(found.t2i.ranks(), expected.t2i.ranks())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e200])
def test_unscorable_rows_are_named(bad):
    good = np.ones((6, 3))
    for side, order in (("images", (0, 1)), ("captions", (1, 0))):
        damaged = good.copy()
        damaged[4, 1] = bad
        with pytest.raises(DataError, match=rf"^{side}, row 4: holds NaN, infinity or values too"):
            EmbeddingScores(*[(damaged, good)[i] for i in order])
    matrix = np.zeros((400, 5))
    matrix[301, 2] = bad
    with pytest.raises(DataError, match="similarity matrix, row 301, column 2: holds"):
        MatrixScores(matrix)


@pytest.mark.parametrize(
    ("queries", "candidates", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), "images are 3 wide and captions 4; embed both with"),
        (np.ones((2, 3), int), np.ones((2, 3)), "images are int64; give embeddings of a float"),
        (np.ones((2, 3)), torch.ones(2, 3).int(), "captions are torch.int32; give embeddings"),
        (np.ones(3), np.ones((2, 3)), r"images have shape \(3,\); give \(rows, width\)"),
        (np.ones((2, 3)), np.ones((0, 3)), r"captions have shape \(0, 3\)"),
        (np.ones((2, 0)), np.ones((2, 0)), r"images have shape \(2, 0\)"),
    ],
)
def test_bad_embeddings(queries, candidates, message):
    with pytest.raises(DataError, match=message):
        EmbeddingScores(queries, candidates)


@pytest.mark.parametrize("matrix", [np.ones(3), np.ones((2, 2), int), np.ones((0, 2))])
def test_bad_matrices(matrix):
    with pytest.raises(DataError, match="the similarity matrix is"):
        MatrixScores(matrix)


def test_bad_ensembles():
    one, other = MatrixScores(np.ones((2, 3))), MatrixScores(np.ones((2, 4)))
    with pytest.raises(DataError, match=r"score \(2, 3\) and \(2, 4\) pairs"):
        mean_scores([one, other])
    for weights in ([1], [0, 0], [1, -1], [1, float("nan")]):
        with pytest.raises(ConfigError, match="weights"):
            mean_scores([one, one], weights)
    with pytest.raises(ConfigError, match="0 models"):
        mean_scores([])
    assert mean_scores([one]) is one
