"""Hubs: candidates that stand in far more top lists than their share.

Source: Radovanovic, Nanopoulos and Ivanovic, "Hubs in Space", JMLR 2010: the k-occurrence of a
candidate is the number of queries that have it among their first k; its skewness measures hubness.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Hubs:
    """How often candidates stand in top lists.

    Args:
        rows: the candidates that stand in most of them, most first.
        counts: in how many each stands.
        expected: the mean over all candidates, Q K / C.
        skewness: third standardised moment of the counts of all candidates; 0 if all are equal.
        never: candidates that stand in none.
    """

    rows: np.ndarray
    counts: np.ndarray
    expected: float
    skewness: float
    never: int


def find_hubs(top: np.ndarray, candidates: int, wanted: int = 8) -> Hubs:
    """Count a (Q, K) array of candidate rows.

    Args:
        top: the first K candidates of each query.
        candidates: C.
        wanted: hubs to name; fewer are named where fewer stand in more lists than the mean.
    """
    counts = np.bincount(top.ravel(), minlength=candidates)
    order = np.argsort(-counts, kind="stable")[:wanted]
    rows = order[counts[order] > counts.mean()]
    spread = counts.std()
    skewness = float(np.mean((counts - counts.mean()) ** 3) / spread**3) if spread else 0.0
    return Hubs(rows, counts[rows], float(counts.mean()), skewness, int((counts == 0).sum()))
