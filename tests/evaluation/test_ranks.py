from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import best_rank, every_rank, expected_hits, score_matrix

from user_itr.errors import ConfigError, DataError
from user_itr.evaluation import counting
from user_itr.evaluation.cross_modal import cross_modal_ranks
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.positive_ranks import positive_ranks
from user_itr.evaluation.ranks import best_ranks
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import MatrixScores, mean_scores


def relevance(lists, candidates):
    owners = np.repeat(np.arange(len(lists)), [len(row) for row in lists])
    flat = np.array([c for row in lists for c in row], np.int64)
    return Relevance.from_pairs(owners, flat, len(lists), candidates)


def unit(rng, rows, width):
    matrix = rng.normal(size=(rows, width))
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def small_tiles(monkeypatch, rows=5, columns=8):
    monkeypatch.setattr(counting, "ROWS", rows)
    monkeypatch.setattr(counting, "COLUMNS", columns)
    monkeypatch.setattr(counting, "_KERNEL", 1)


def test_hand_computed():
    queries = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0], [1.0, 1.0]])
    candidates = np.array([[3.0, 1.0], [1.0, 1.0], [2.0, -5.0], [1.0, 1.0]])
    # scores: 3 1 2 1 | 1 1 -5 1 | -4 -2 3 -2; the last query has no right candidate
    right = relevance([[1], [0, 2], [0], []], 4)
    found = best_ranks(EmbeddingScores(queries, candidates), right)
    assert found.queries.tolist() == [0, 1, 2]
    assert found.positive.tolist() == [1, 0, 0]
    assert found.ranks().tolist() == [4, 3, 4]
    assert found.ranks("optimistic").tolist() == [3, 1, 4]
    assert found.ranks("expected").tolist() == [3.5, 2.0, 4.0]
    assert found.hits(3, "expected").tolist() == pytest.approx([0.5, 1.0, 0.0])
    assert found.hits(2, "expected").tolist() == pytest.approx([0.0, 2 / 3, 0.0])
    assert found.take(np.array([True, False, True])).ranks().tolist() == [4, 4]


@pytest.mark.parametrize("tiles", [(1, 8), (5, 8), (7, 16), (240, 8192)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equals_sorting_for_every_tile_and_type(monkeypatch, tiles, dtype):
    small_tiles(monkeypatch, *tiles)
    rng = np.random.default_rng(3)
    queries, candidates = unit(rng, 23, 12).astype(dtype), unit(rng, 31, 12).astype(dtype)
    lists = [rng.choice(31, size=rng.integers(1, 6), replace=False).tolist() for _ in range(23)]
    found = best_ranks(EmbeddingScores(queries, candidates), relevance(lists, 31)).ranks()
    assert found.dtype == np.int64
    matrix = score_matrix(queries, candidates)
    assert found.tolist() == [best_rank(*pair) for pair in zip(matrix, lists, strict=True)]


small = st.integers(-2, 2).map(float)


@st.composite
def tied_sets(draw):
    """Few distinct values in few dimensions: ties and equal rows everywhere."""
    n_queries, n_candidates = draw(st.integers(1, 6)), draw(st.integers(1, 9))
    width = draw(st.integers(1, 3))

    def matrix(rows):
        values = draw(st.lists(small, min_size=rows * width, max_size=rows * width))
        return np.array(values).reshape(rows, width)

    some = st.lists(st.integers(0, n_candidates - 1), max_size=4, unique=True)
    lists = draw(st.lists(some, min_size=n_queries, max_size=n_queries))
    return matrix(n_queries), matrix(n_candidates), lists


@settings(max_examples=100, deadline=None)
@given(tied_sets())
def test_equals_sorting_both_ways_on_small_integers_full_of_ties(data):
    queries, candidates, lists = data
    right = relevance(lists, len(candidates))
    matrix = score_matrix(queries, candidates)
    found = cross_modal_ranks(EmbeddingScores(queries, candidates), right)
    for one, rows, lists_ in (
        (found.i2t, matrix, lists),
        (found.t2i, matrix.T, [right.transpose().of(c).tolist() for c in range(len(candidates))]),
    ):
        asked = [i for i, row in enumerate(lists_) if row]
        assert one.queries.tolist() == asked
        for ties in ("pessimistic", "optimistic"):
            expected = [best_rank(rows[i], lists_[i], ties) for i in asked]
            assert one.ranks(ties).tolist() == expected
            assert one.hits(2, ties).tolist() == [float(rank <= 2) for rank in expected]
        for k in (1, 3):
            expected = [expected_hits(rows[i], lists_[i], k) for i in asked]
            assert one.hits(k, "expected").tolist() == pytest.approx(expected, abs=1e-9)
        assert (one.ranks("optimistic") <= one.ranks("expected")).all()
        assert (one.ranks("expected") <= one.ranks()).all()


@settings(max_examples=100, deadline=None)
@given(tied_sets())
def test_every_positive_equals_sorting(data):
    queries, candidates, lists = data
    right = relevance(lists, len(candidates))
    matrix = score_matrix(queries, candidates)
    found = positive_ranks(EmbeddingScores(queries, candidates), right)
    for ties in ("pessimistic", "optimistic"):
        expected = [
            rank
            for row, wanted in zip(matrix, lists, strict=True)
            for rank in every_rank(row, sorted(wanted), ties)
        ]
        assert found.ranks(ties).tolist() == expected
    best = best_ranks(EmbeddingScores(queries, candidates), right)
    for name in ("queries", "positive", "ahead", "tied", "companions"):
        np.testing.assert_array_equal(getattr(found.best(), name), getattr(best, name))


@pytest.mark.parametrize("kind", ["embeddings", "matrix", "mean"])
def test_the_same_items_leave_themselves_out(kind):
    rng = np.random.default_rng(9)
    items = rng.integers(-2, 3, size=(14, 3)).astype(np.float32)
    scores = {
        "embeddings": lambda: EmbeddingScores(items, items),
        "matrix": lambda: MatrixScores(items @ items.T),
        "mean": lambda: mean_scores([EmbeddingScores(items, items), MatrixScores(items @ items.T)]),
    }[kind]()
    lists = [sorted({i, (i + 3) % 14, (i + 7) % 14}) for i in range(14)]
    right = relevance(lists, 14)
    found = best_ranks(scores, right, exclude_self=True)
    every = positive_ranks(scores, right, exclude_self=True)
    matrix = score_matrix(items, items)
    others = [[c for c in row if c != i] for i, row in enumerate(lists)]
    assert found.candidates == 13
    for ties in ("pessimistic", "optimistic"):
        assert found.ranks(ties).tolist() == [
            best_rank(matrix[i], others[i], ties, hidden=i) for i in range(14)
        ]
        assert every.ranks(ties).tolist() == [
            rank for i in range(14) for rank in every_rank(matrix[i], others[i], ties, hidden=i)
        ]
    with pytest.raises(DataError, match="only the same items on both sides"):
        best_ranks(EmbeddingScores(items, items[:3]), relevance([[0]] * 14, 3), exclude_self=True)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["pessimistic", "optimistic", "expected"]))
def test_properties(seed, ties):
    rng = np.random.default_rng(seed)
    queries, candidates = unit(rng, 9, 20), unit(rng, 17, 20)
    candidates[rng.integers(17)] = candidates[rng.integers(17)]
    lists = [rng.choice(17, size=rng.integers(1, 4), replace=False).tolist() for _ in range(9)]

    def ranked(queries, candidates, lists):
        right = relevance(lists, len(candidates))
        return best_ranks(EmbeddingScores(queries, candidates), right).ranks(ties)

    before = ranked(queries, candidates, lists)

    new_row = rng.permutation(17)
    permuted = np.empty_like(candidates)
    permuted[new_row] = candidates
    moved = [new_row[row].tolist() for row in lists]
    np.testing.assert_array_equal(ranked(queries, permuted, moved), before)

    scaled = queries * 2.0 ** rng.integers(-200, 45)
    np.testing.assert_array_equal(ranked(scaled, candidates, lists), before)
    np.testing.assert_array_equal(ranked(queries[::-1], candidates, lists[::-1])[::-1], before)

    # One more coordinate, zero for all but a new candidate that every query dislikes.
    longer = np.concatenate([queries, np.ones((9, 1))], axis=1)
    worse = np.zeros((18, 21))
    worse[:17, :20] = candidates
    worse[17, 20] = -2.0
    np.testing.assert_array_equal(ranked(longer, worse, lists), before)
    worse[17, 20] = 2.0
    np.testing.assert_array_equal(ranked(longer, worse, lists), before + 1)


@pytest.mark.parametrize(("n_candidates", "width"), [(7, 100), (101, 256), (1003, 1024)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_candidates_tie_wherever_they_stand(n_candidates, width, dtype):
    # A float32 product gives equal columns scores that differ in the last bit, by their place.
    rng = np.random.default_rng(0)
    candidates = np.repeat(unit(rng, 1, width).astype(dtype), n_candidates, axis=0)
    queries = unit(rng, 12, width).astype(dtype)
    right = relevance([[i * (n_candidates - 1) // 11] for i in range(12)], n_candidates)
    found = best_ranks(EmbeddingScores(queries, candidates), right)
    assert found.ranks().tolist() == [n_candidates] * 12
    assert found.ranks("optimistic").tolist() == [1] * 12


def test_scores_closer_than_float32_can_tell():
    rng = np.random.default_rng(0)
    base = unit(rng, 1, 512)
    candidates = np.repeat(base, 300, axis=0)
    candidates[:, 0] += np.sign(base[0, 0]) * rng.permutation(300) * 1e-13  # 300 distinct scores
    right = relevance([[i] for i in range(300)], 300)
    queries = np.repeat(base, 300, axis=0)
    found = best_ranks(EmbeddingScores(queries, candidates), right)
    order = np.argsort(-candidates[:, 0] * np.sign(base[0, 0]))
    # float64 sums keep the order of gaps of 1e-13 times the coordinate, rounding aside
    expected = np.empty(300)
    expected[order] = np.arange(1, 301)
    matrix = score_matrix(base, candidates)[0]
    assert found.ranks().tolist() == [best_rank(matrix, [i]) for i in range(300)]
    assert np.abs(found.ranks() - expected).max() <= 30


def test_a_collapsed_model_is_scored_once_a_distinct_pair(monkeypatch):
    row = unit(np.random.default_rng(1), 1, 64).astype(np.float32)
    images, captions = np.repeat(row, 300, axis=0), np.repeat(row, 1500, axis=0)
    scores = EmbeddingScores(images, captions)
    scored = []
    exact = EmbeddingScores._exact
    monkeypatch.setattr(
        EmbeddingScores,
        "_exact",
        lambda self, rows, columns: (scored.append(len(rows)), exact(self, rows, columns))[1],
    )
    right = Relevance.from_caption_image(np.repeat(np.arange(300), 5), 300)
    found = cross_modal_ranks(scores, right)
    assert set(found.i2t.ranks()) == {1496}
    assert set(found.t2i.ranks()) == {300}
    assert sum(scored) < 100_000  # of 450,000 pairs


def test_large_against_argsort():
    rng = np.random.default_rng(4)
    images = unit(rng, 700, 96).astype(np.float32)
    owner = rng.integers(0, 700, size=9000)
    captions = unit(rng, 9000, 96) * 0.9
    captions = (images[owner] * 0.5 + captions).astype(np.float32)
    matrix = images.astype(np.float64) @ captions.astype(np.float64).T
    found = cross_modal_ranks(
        EmbeddingScores(images, captions), Relevance.from_caption_image(owner, 700)
    )
    for i, rank in zip(found.i2t.queries, found.i2t.ranks(), strict=True):
        order = np.argsort(matrix[i])[::-1]
        assert rank == 1 + np.flatnonzero(owner[order] == i)[0]
    for c in range(0, 9000, 10):
        order = np.argsort(matrix[:, c])[::-1]
        assert found.t2i.ranks()[c] == 1 + np.flatnonzero(order == owner[c])[0]


def test_one_query_one_candidate():
    scores = EmbeddingScores(np.array([[-2.0]]), np.array([[3.0]]))
    assert best_ranks(scores, relevance([[0]], 1)).ranks().tolist() == [1]


def test_memory_map_tensor_and_array_agree(tmp_path):
    rng = np.random.default_rng(1)
    queries, candidates = (unit(rng, n, 6).astype(np.float16) for n in (10, 15))
    right = relevance([[i] for i in range(10)], 15)

    def ranked(queries, candidates):
        return best_ranks(EmbeddingScores(queries, candidates), right).ranks()

    expected = ranked(queries, candidates)
    np.save(tmp_path / "candidates.npy", candidates)
    mapped = np.load(tmp_path / "candidates.npy", mmap_mode="r")
    np.testing.assert_array_equal(ranked(queries, mapped), expected)
    np.testing.assert_array_equal(ranked(mapped[:10], mapped), np.ones(10))
    learned = torch.from_numpy(queries).float().requires_grad_()
    tensor = torch.from_numpy(candidates)
    for pair in ((learned, tensor), (queries, tensor), (learned, candidates)):
        np.testing.assert_array_equal(ranked(*pair), expected)
    np.testing.assert_array_equal(ranked(queries, candidates.astype(">f4")), expected)
    np.testing.assert_array_equal(ranked(queries, np.asfortranarray(candidates)), expected)


def test_low_precision_switches_do_not_coarsen_the_scores():
    rng = np.random.default_rng(2)
    queries = torch.from_numpy(unit(rng, 50, 64)).float()
    candidates = torch.from_numpy(unit(rng, 400, 64)).float()
    right = relevance([[i] for i in range(50)], 400)
    expected = best_ranks(EmbeddingScores(queries, candidates), right).ranks()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert (queries @ candidates.T).dtype == torch.bfloat16
            found = best_ranks(EmbeddingScores(queries, candidates), right).ranks()
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_equals_cpu():
    rng = np.random.default_rng(4)
    queries, candidates = unit(rng, 60, 128), unit(rng, 501, 128)
    candidates[1::2] = candidates[:-1:2]
    right = relevance([[i, i + 7] for i in range(60)], 501)
    on_gpu = cross_modal_ranks(EmbeddingScores(queries, torch.from_numpy(candidates).cuda()), right)
    on_cpu = cross_modal_ranks(EmbeddingScores(queries, candidates), right)
    np.testing.assert_array_equal(on_gpu.i2t.ranks(), on_cpu.i2t.ranks())
    np.testing.assert_array_equal(on_gpu.t2i.ranks(), on_cpu.t2i.ranks())


def test_bad_rules_and_ground_truth():
    scores = EmbeddingScores(np.ones((2, 1)), np.ones((3, 1)))
    found = best_ranks(scores, relevance([[0], [1]], 3))
    with pytest.raises(ConfigError, match="ties is 'lucky'; use one of pessimistic, optimistic"):
        found.ranks("lucky")
    with pytest.raises(ConfigError, match="use pessimistic or optimistic here"):
        positive_ranks(scores, relevance([[0], [1]], 3)).ranks("expected")
    with pytest.raises(DataError, match="2 images and 3 captions are scored, and the ground"):
        best_ranks(scores, relevance([[0]], 3))
