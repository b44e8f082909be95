"""Slow and plain: every score alone, one sort a query."""

from __future__ import annotations

import math

import numpy as np


def tree_dot(a, b):
    """The exact score as its definition says: products, then halves added until one is left."""
    values = [x * y for x, y in zip(a, b, strict=True)]
    while len(values) > 1:
        half = (len(values) + 1) // 2
        for i in range(len(values) - half):
            values[i] += values[half + i]
        values = values[:half]
    return values[0]


def score_matrix(queries, candidates):
    return np.array(
        [[tree_dot(q, c) for c in candidates.astype(float).tolist()]
         for q in queries.astype(float).tolist()]
    )  # fmt: skip


def best_rank(row, positives, ties="pessimistic", hidden=None):
    """Rank of the first positive of one query, from a sort with the rule as second key."""
    order = sorted(
        (c for c in range(len(row)) if c != hidden),
        key=lambda c: (-row[c], (c in positives) == (ties == "pessimistic")),
    )
    return 1 + min(order.index(c) for c in positives)


def expected_hits(row, positives, k):
    """Probability of a positive in the first k, over all orders of those tied with the best."""
    best = max(row[c] for c in positives)
    ahead = sum(row[c] > best for c in range(len(row)))
    right = sum(row[c] == best for c in positives)
    wrong = sum(row[c] == best for c in range(len(row))) - right
    places = min(max(k - ahead, 0), wrong + right)
    return 1 - math.comb(wrong, places) / math.comb(wrong + right, places)


def every_rank(row, positives, ties, hidden=None):
    """Place of each positive in the whole ranking, others' places counted."""
    order = sorted(
        (c for c in range(len(row)) if c != hidden),
        key=lambda c: (-row[c], (c in positives) == (ties == "pessimistic"), c),
    )
    return [1 + order.index(c) for c in positives]
