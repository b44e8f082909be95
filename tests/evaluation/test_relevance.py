from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from user_itr.errors import DataError
from user_itr.evaluation.relevance import Relevance


@st.composite
def some_pairs(draw):
    queries, candidates = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    pair = st.tuples(st.integers(0, queries - 1), st.integers(0, candidates - 1))
    return draw(st.lists(pair, max_size=20)), queries, candidates


def as_set(relevance):
    return {(q, int(c)) for q in range(relevance.queries) for c in relevance.of(q)}


@given(some_pairs(), st.randoms())
def test_pairs_in_any_order_and_back(data, random):
    pairs, queries, candidates = data
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    found = Relevance.from_pairs(left, right, queries, candidates)
    assert as_set(found) == set(pairs)
    assert found.counts.tolist() == [
        len({c for q, c in set(pairs) if q == i}) for i in range(queries)
    ]
    assert list(zip(found.owners.tolist(), found.indices.tolist(), strict=True)) == sorted(
        set(pairs)
    )
    back = found.transpose()
    assert as_set(back) == {(c, q) for q, c in pairs}
    assert (back.queries, back.candidates) == (candidates, queries)
    np.testing.assert_array_equal(found.indices[found.transposed_order()], back.owners)
    assert as_set(found.without_self()) == {(q, c) for q, c in pairs if q != c}
    rows = random.sample(range(queries), random.randint(0, queries))
    columns = random.sample(range(candidates), random.randint(0, candidates))
    part = found.take(np.array(rows, np.int64), np.array(columns, np.int64))
    assert as_set(part) == {
        (rows.index(q), columns.index(c)) for q, c in pairs if q in rows and c in columns
    }


def test_captions_in_any_order():
    found = Relevance.from_caption_image(np.array([2, 0, 2, 3]), 5)
    assert [found.of(i).tolist() for i in range(5)] == [[1], [], [0, 2], [3], []]


@pytest.mark.parametrize(
    ("queries", "candidates", "message"),
    [
        ([0, 3], [0, 0], "pair 1: row 3 is outside the 3 queries; give rows from 0 to 2"),
        ([0], [-1], "pair 0: row -1 is outside the 4 candidates"),
        ([0, 1], [0], "2 queries and 1 candidates make no pairs"),
        ([0.5], [0], "the pairs' queries are float64"),
        ([0], [[0]], r"the pairs' candidates are int64 of shape \(1, 1\)"),
    ],
)
def test_bad_pairs(queries, candidates, message):
    with pytest.raises(DataError, match=message):
        Relevance.from_pairs(np.array(queries), np.array(candidates), 3, 4)
