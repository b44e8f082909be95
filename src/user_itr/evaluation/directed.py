"""Two matrices, one a direction: what a reranker scored for images, and what for captions."""

from __future__ import annotations

import numpy as np

from user_itr.errors import DataError
from user_itr.evaluation.scores import MatrixScores, TileScorer

NOT_SCORED = -100.0
"""What ALBEF, BLIP and BLIP-2 write where the reranker was not asked."""


class DirectedScores:
    """Scores of rows as queries by one matrix, and of columns as queries by another.

    Args:
        forth: (Q, C), by which rows are ranked.
        back: (C, Q), by which the transposed scores are ranked.

    Raises:
        DataError: if they are of other items.
    """

    symmetric = False
    one_way = False

    def __init__(self, forth: MatrixScores, back: MatrixScores) -> None:
        if forth.shape != back.shape[::-1]:
            raise DataError(
                f"one direction scores {forth.shape[0]:,} x {forth.shape[1]:,} and the other "
                f"{back.shape[0]:,} x {back.shape[1]:,}; give images x captions and captions x "
                "images."
            )
        self.forth, self.back = forth, back
        self.shape, self.sides = forth.shape, forth.sides
        self.magnitude, self.relative_error = forth.magnitude, forth.relative_error

    def tile_scorer(self, start: int, stop: int) -> TileScorer:
        """See `Scores`."""
        return self.forth.tile_scorer(start, stop)

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """See `Scores`."""
        return self.forth.pairs(rows, columns)

    def rounded(self, start: int, stop: int) -> np.ndarray:
        """See `Scores`."""
        return self.forth.rounded(start, stop)

    def transpose(self) -> DirectedScores:
        """See `Scores`: the other matrix."""
        return DirectedScores(self.back, self.forth)

    def take(self, rows: np.ndarray, columns: np.ndarray) -> DirectedScores:
        """See `Scores`."""
        return DirectedScores(self.forth.take(rows, columns), self.back.take(columns, rows))
