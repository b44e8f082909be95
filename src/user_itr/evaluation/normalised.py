"""Scores relative to those of all queries: the inverted softmax of querybank normalisation.

A candidate that is near to every query (a hub) is set back. Sources: Smith et al., "Offline
bilingual word vectors, orthogonal transformations and the inverted softmax", ICLR 2017; Bogolin et
al., "Cross Modal Retrieval with Querybank Normalisation", CVPR 2022 (arXiv 2112.12777). The bank is
the split's own queries, so the figures are transductive: no single search knows the other queries.
"""

from __future__ import annotations

import math

import numpy as np

from user_itr.errors import ConfigError
from user_itr.evaluation.scores import UNIT, Scores, TileScorer

_BLOCK_SCORES = 2**21  # scores of a block of rows: 8 MB of float32


class NormalisedScores:
    """log(exp(b s) / sum of exp(b s) over all queries of the candidate) / b, for either side.

    That is s - log(sum of exp(b s)) / b: of each candidate's scores one number is taken away, which
    orders candidates as the inverted softmax does. The sum over the queries is of float32 scores.

    Args:
        scores: s, (Q, C).
        sharpness: b, above 0; 20 in the paper.

    Raises:
        ConfigError: if the sharpness is no number above 0.
    """

    symmetric = False
    one_way = False

    def __init__(self, scores: Scores, sharpness: float) -> None:
        check_sharpness(sharpness)
        back = scores.transpose()
        self._take_over(scores, _common(scores, sharpness), _common(back, sharpness))

    def _take_over(self, scores: Scores, candidates: np.ndarray, queries: np.ndarray) -> None:
        self.scores = scores
        self.shape, self.sides = scores.shape, scores.sides
        self._candidates, self._queries = candidates, queries
        self.magnitude = scores.magnitude + np.abs(candidates).max()
        self.relative_error = 1.01 * (scores.relative_error + 3 * UNIT)

    def tile_scorer(self, start: int, stop: int) -> TileScorer:
        """See `Scores`."""
        scorer = self.scores.tile_scorer(start, stop)
        common = self._candidates[start:stop].astype(np.float32)

        def score(first: int, last: int, out: np.ndarray) -> None:
            scorer(first, last, out)
            out -= common

        return score

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """See `Scores`."""
        found: np.ndarray = self.scores.pairs(rows, columns) - self._candidates[columns]
        return found

    def rounded(self, start: int, stop: int) -> np.ndarray:
        """See `Scores`."""
        rows = self.scores.rounded(start, stop).astype(np.float64)
        found: np.ndarray = (rows - self._candidates).astype(np.float32)
        return found

    def transpose(self) -> NormalisedScores:
        """See `Scores`: the other side's queries are the bank."""
        return self._of(self.scores.transpose(), self._queries, self._candidates)

    def take(self, rows: np.ndarray, columns: np.ndarray) -> NormalisedScores:
        """See `Scores`; the bank stays whole."""
        return self._of(
            self.scores.take(rows, columns), self._candidates[columns], self._queries[rows]
        )

    @classmethod
    def _of(cls, scores: Scores, candidates: np.ndarray, queries: np.ndarray) -> NormalisedScores:
        made = object.__new__(cls)
        made._take_over(scores, candidates, queries)
        return made


def check_sharpness(sharpness: float) -> None:
    """Make sure that scores can be normalised with this sharpness.

    Raises:
        ConfigError: if it is no number above 0.
    """
    if not 0 < sharpness < math.inf:
        raise ConfigError(
            f"the sharpness of normalised scores is {sharpness:g}; give a number above 0, like 20."
        )


def _common(scores: Scores, sharpness: float) -> np.ndarray:
    """log(sum of exp(b s) over the queries) / b of each candidate: (C,) float64."""
    rows, columns = scores.shape
    height = max(1, _BLOCK_SCORES // columns)
    largest, total = np.full(columns, -np.inf), np.zeros(columns)
    for start in range(0, rows, height):
        block = sharpness * scores.rounded(start, min(start + height, rows)).astype(np.float64)
        above = np.maximum(largest, block.max(axis=0))
        total = total * np.exp(largest - above) + np.exp(block - above).sum(axis=0)
        largest = above
    found: np.ndarray = (largest + np.log(total)) / sharpness
    return found
