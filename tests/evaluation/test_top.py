from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import score_matrix

from user_itr.errors import ConfigError
from user_itr.evaluation import top
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.fusion import fused_ranks
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import MatrixScores
from user_itr.evaluation.top import top_candidates


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.booleans(), st.booleans())
def test_equals_a_stable_sort(seed, k, tied, exclude_self):
    rng = np.random.default_rng(seed)
    items = rng.integers(-1, 2, size=(9, 2)) if tied else rng.normal(size=(9, 40))
    items = items.astype(np.float32)
    rows, scores = top_candidates(EmbeddingScores(items, items), k, exclude_self=exclude_self)
    matrix = score_matrix(items, items)
    for i in range(9):
        others = [c for c in range(9) if not (exclude_self and c == i)]
        expected = sorted(others, key=lambda c: (-matrix[i, c], c))[:k]
        assert rows[i].tolist() == expected
        assert scores[i].tolist() == matrix[i, expected].tolist()


def test_blocks_of_rows(monkeypatch):
    rng = np.random.default_rng(0)
    scores = MatrixScores(rng.normal(size=(20, 30)).astype(np.float32))
    whole = top_candidates(scores, 4)
    monkeypatch.setattr(top, "_BLOCK_SCORES", 100)
    for found, expected in zip(top_candidates(scores, 4), whole, strict=True):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(ConfigError, match="k is 0"):
        top_candidates(scores, 0)


def plain_fusion(matrices, constant):
    total = np.zeros(matrices[0].shape)
    for matrix in matrices:
        for i, row in enumerate(matrix):
            for c, value in enumerate(row):
                total[i, c] += 1 / (constant + 1 + sum(other > value for other in row))
    return total


@pytest.mark.parametrize("tied", [True, False])
def test_fusion_equals_the_formula(tied):
    rng = np.random.default_rng(3)
    matrices = [
        (rng.integers(0, 3, size=(8, 12)) if tied else rng.normal(size=(8, 12))).astype(np.float32)
        for _ in range(3)
    ]
    owner = rng.integers(0, 8, size=12)
    right = Relevance.from_caption_image(owner, 8)
    found = fused_ranks([MatrixScores(m) for m in matrices], right)
    for one, fused, relevance in (
        (found.i2t, plain_fusion(matrices, 60), right),
        (found.t2i, plain_fusion([m.T for m in matrices], 60), right.transpose()),
    ):
        asked = [i for i in range(len(fused)) if len(relevance.of(i))]
        assert one.queries.tolist() == asked
        for i, ahead, tied_ in zip(asked, one.ahead, one.tied, strict=True):
            wanted = set(relevance.of(i).tolist())
            best = max(fused[i, c] for c in wanted)
            wrong = [fused[i, c] for c in range(fused.shape[1]) if c not in wanted]
            assert ahead == sum(value > best + 1e-12 for value in wrong)
            assert tied_ == sum(abs(value - best) <= 1e-12 for value in wrong)
