from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from user_itr.errors import ConfigError, DataError
from user_itr.evaluation import ranks as ranks_module
from user_itr.evaluation.ranks import retrieval_ranks


def csr(lists):
    offsets = np.cumsum([0, *(len(row) for row in lists)])
    return offsets, np.array([i for row in lists for i in row], np.int64)


def oracle(queries, candidates, lists, ties="pessimistic"):
    """Every score alone, exactly summed; candidates sorted with a key; the first positive found."""
    ranks = []
    for query, positives in zip(queries.tolist(), lists, strict=True):
        scores = [
            float(np.float32(math.fsum(a * b for a, b in zip(query, row, strict=True))))
            for row in candidates.tolist()
        ]
        last = ties == "pessimistic"
        order = sorted(range(len(scores)), key=lambda c: (-scores[c], (c in positives) == last))
        ranks.append(1 + min(order.index(c) for c in positives))
    return ranks


def unit(rng, rows, width):
    matrix = rng.normal(size=(rows, width))
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def test_hand_computed():
    queries = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    candidates = np.array([[3.0, 1.0], [1.0, 1.0], [2.0, -5.0], [1.0, 1.0]])
    # scores: 3 1 2 1 | 1 1 -5 1 | -4 -2 3 -2
    positives = csr([[1], [0, 2], [0]])
    assert retrieval_ranks(queries, candidates, positives).tolist() == [4, 3, 4]
    assert retrieval_ranks(queries, candidates, positives, ties="optimistic").tolist() == [3, 1, 4]


@pytest.mark.parametrize("block", [1, 2, 7, 16, 23, 24, 1000, None])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equals_sorting_for_every_block_and_type(block, dtype):
    rng = np.random.default_rng(3)
    queries, candidates = unit(rng, 23, 12).astype(dtype), unit(rng, 31, 12).astype(dtype)
    lists = [rng.choice(31, size=rng.integers(1, 6), replace=False).tolist() for _ in range(23)]
    found = retrieval_ranks(queries, candidates, csr(lists), block=block)
    assert found.dtype == np.int64
    assert found.tolist() == oracle(queries, candidates, lists)


@pytest.mark.parametrize("ties", ["pessimistic", "optimistic"])
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_equals_sorting_on_small_integers_full_of_ties(ties, data):
    n_queries, n_candidates = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 9))
    width = data.draw(st.integers(1, 3))
    small = st.integers(-2, 2).map(float)

    def matrix(rows):
        values = data.draw(st.lists(small, min_size=rows * width, max_size=rows * width))
        return np.array(values).reshape(rows, width)

    queries, candidates = matrix(n_queries), matrix(n_candidates)
    some = st.lists(st.integers(0, n_candidates - 1), min_size=1, max_size=4, unique=True)
    lists = data.draw(st.lists(some, min_size=n_queries, max_size=n_queries))
    block = data.draw(st.integers(1, 7))
    found = retrieval_ranks(queries, candidates, csr(lists), ties=ties, block=block)
    assert found.tolist() == oracle(queries, candidates, lists, ties)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["pessimistic", "optimistic"]))
def test_properties(seed, ties):
    rng = np.random.default_rng(seed)
    queries, candidates = unit(rng, 9, 20), unit(rng, 17, 20)
    candidates[rng.integers(17)] = candidates[rng.integers(17)]
    lists = [rng.choice(17, size=rng.integers(1, 4), replace=False).tolist() for _ in range(9)]
    before = retrieval_ranks(queries, candidates, csr(lists), ties=ties)

    new_row = rng.permutation(17)
    permuted = np.empty_like(candidates)
    permuted[new_row] = candidates
    moved = csr([new_row[row].tolist() for row in lists])
    np.testing.assert_array_equal(retrieval_ranks(queries, permuted, moved, ties=ties), before)

    scaled = queries * 2.0 ** rng.integers(-20, 20)
    np.testing.assert_array_equal(
        retrieval_ranks(scaled, candidates, csr(lists), ties=ties), before
    )

    turned = retrieval_ranks(queries[::-1], candidates, csr(lists[::-1]), ties=ties, block=2)
    np.testing.assert_array_equal(turned[::-1], before)

    # One more coordinate, zero for all but a new candidate that every query dislikes.
    longer = np.concatenate([queries, np.ones((9, 1))], axis=1)
    worse = np.zeros((18, 21))
    worse[:17, :20] = candidates
    worse[17, 20] = -2.0
    np.testing.assert_array_equal(retrieval_ranks(longer, worse, csr(lists), ties=ties), before)
    worse[17, 20] = 2.0
    better = retrieval_ranks(longer, worse, csr(lists), ties=ties)
    np.testing.assert_array_equal(better, before + 1)


@pytest.mark.parametrize(("n_candidates", "width"), [(7, 100), (101, 256), (1003, 1024)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_candidates_tie_wherever_they_stand(n_candidates, width, dtype):
    # A float32 product gives equal columns scores that differ in the last bit, by their place.
    rng = np.random.default_rng(0)
    candidates = np.repeat(unit(rng, 1, width).astype(dtype), n_candidates, axis=0)
    queries = unit(rng, 12, width).astype(dtype)
    positives = csr([[i * (n_candidates - 1) // 11] for i in range(12)])
    for block in (1, 5, 12):
        worst = retrieval_ranks(queries, candidates, positives, block=block)
        assert worst.tolist() == [n_candidates] * 12
        best = retrieval_ranks(queries, candidates, positives, block=block, ties="optimistic")
        assert best.tolist() == [1] * 12


def test_only_candidates_that_are_not_positives_count_as_tied():
    constant = np.ones((4, 3), np.float32)
    lists = [[0, 1, 2, 3], [0, 1, 3], [2], [1, 1, 2]]  # the last names a positive twice
    assert retrieval_ranks(constant, constant, csr(lists)).tolist() == [1, 2, 4, 3]


def test_one_query_one_candidate():
    assert retrieval_ranks(np.array([[-2.0]]), np.array([[3.0]]), csr([[0]])).tolist() == [1]


def test_all_scores_negative():
    queries = np.ones((2, 1))
    candidates = np.array([[-3.0], [-1.0], [-2.0]])
    assert retrieval_ranks(queries, candidates, csr([[0], [2]])).tolist() == [3, 2]


def test_the_block_is_cut_to_the_memory_bound(monkeypatch):
    rng = np.random.default_rng(5)
    queries, candidates = unit(rng, 11, 8), unit(rng, 13, 8)
    positives = csr([[i] for i in range(11)])
    whole = retrieval_ranks(queries, candidates, positives)
    products = []
    mm = torch.mm
    monkeypatch.setattr(
        torch, "mm", lambda a, b, out: (products.append(tuple(out.shape)), mm(a, b, out=out))[1]
    )
    monkeypatch.setattr(ranks_module, "BLOCK_BYTES", 13 * 13 * 4)
    np.testing.assert_array_equal(retrieval_ranks(queries, candidates, positives), whole)
    assert products == [(4, 13), (4, 13), (3, 13)]


def test_memory_map_tensor_and_array_agree(tmp_path):
    rng = np.random.default_rng(1)
    queries, candidates = (unit(rng, n, 6).astype(np.float16) for n in (10, 15))
    positives = csr([[i] for i in range(10)])
    expected = retrieval_ranks(queries, candidates, positives)
    np.save(tmp_path / "candidates.npy", candidates)
    mapped = np.load(tmp_path / "candidates.npy", mmap_mode="r")
    np.testing.assert_array_equal(retrieval_ranks(queries, mapped, positives), expected)
    np.testing.assert_array_equal(retrieval_ranks(mapped[:10], mapped, positives), np.ones(10))
    learned = torch.from_numpy(queries).float().requires_grad_()
    tensor = torch.from_numpy(candidates)
    for pair in ((learned, tensor), (queries, tensor), (learned, candidates)):
        np.testing.assert_array_equal(retrieval_ranks(*pair, positives), expected)
    swapped = candidates.astype(">f4")
    np.testing.assert_array_equal(retrieval_ranks(queries[:, ::1], swapped, positives), expected)


def test_autocast_does_not_coarsen_the_scores():
    rng = np.random.default_rng(2)
    queries = torch.from_numpy(unit(rng, 50, 64)).float()
    candidates = torch.from_numpy(unit(rng, 400, 64)).float()
    positives = csr([[i] for i in range(50)])
    expected = retrieval_ranks(queries, candidates, positives)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = (queries @ candidates.T).dtype
        found = retrieval_ranks(queries, candidates, positives)
    assert coarse == torch.bfloat16
    np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_equals_cpu():
    rng = np.random.default_rng(4)
    queries, candidates = unit(rng, 60, 128), unit(rng, 501, 128)
    candidates[1::2] = candidates[:-1:2]
    positives = csr([[i, i + 7] for i in range(60)])
    on_gpu = retrieval_ranks(queries, torch.from_numpy(candidates).cuda(), positives, block=13)
    np.testing.assert_array_equal(on_gpu, retrieval_ranks(queries, candidates, positives))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_unscorable_rows_are_named(bad):
    good = np.ones((6, 3), np.float32)
    for side, args in (("queries", (0, 1)), ("candidates", (1, 0))):
        damaged = good.copy()
        damaged[4, 1] = bad
        pair = [(damaged, good)[i] for i in args]
        with pytest.raises(DataError, match=rf"^{side}, row 4: holds NaN, infinity or values too"):
            retrieval_ranks(*pair, csr([[0]] * 6), block=2)


@pytest.mark.parametrize(
    ("queries", "candidates", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), "queries are 3 wide and candidates 4; embed both with"),
        (np.ones((2, 3), int), np.ones((2, 3)), "queries are int64; give embeddings of a float"),
        (np.ones((2, 3)), torch.ones(2, 3).int(), "candidates are torch.int32; give embeddings"),
        (np.ones(3), np.ones((2, 3)), r"queries have shape \(3,\); give \(rows, width\)"),
        (np.ones((2, 3)), np.ones((0, 3)), r"candidates have shape \(0, 3\)"),
        (np.ones((2, 0)), np.ones((2, 0)), r"queries have shape \(2, 0\)"),
    ],
)
def test_bad_matrices(queries, candidates, message):
    with pytest.raises(DataError, match=message):
        retrieval_ranks(queries, candidates, csr([[0], [1]]))


@pytest.mark.parametrize(
    ("offsets", "indices", "message"),
    [
        ([0, 1, 1, 2], [0, 1], "queries, row 1: 0 positives among the candidates; leave out"),
        ([0, 2, 1, 2], [0, 1], "queries, row 1: -1 positives"),
        ([0, 1, 2, 3], [0, 4, 1], "row 1: its positive, row 4, is outside the 4 candidates"),
        ([0, 1, 2, 3], [0, 1, -1], "row 2: its positive, row -1, is outside"),
        ([0, 1, 2], [0, 1], "give 4 offsets that run from 0 to 2"),
        ([1, 2, 3, 4], [0, 1, 2, 3], "give 4 offsets that run from 0 to 4"),
        ([0, 1, 2, 5], [0, 1, 2], "give 4 offsets that run from 0 to 3"),
        ([0.0, 1.0, 2.0, 3.0], [0, 1, 2], "offsets of the positives are float64"),
        ([0, 1, 2, 3], [[0, 1, 2]], r"indices of the positives are int64, \(1, 3\)"),
    ],
)
def test_bad_positives(offsets, indices, message):
    with pytest.raises(DataError, match=message):
        retrieval_ranks(np.ones((3, 2)), np.ones((4, 2)), (np.array(offsets), np.array(indices)))


def test_bad_settings():
    one = np.ones((1, 1))
    with pytest.raises(ConfigError, match="ties is 'lucky'; use one of pessimistic, optimistic"):
        retrieval_ranks(one, one, csr([[0]]), ties="lucky")
    with pytest.raises(ConfigError, match="block is 0"):
        retrieval_ranks(one, one, csr([[0]]), block=0)
