"""Which candidates are right for which queries: any number for any query, or none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from user_itr.errors import DataError


@dataclass(frozen=True, slots=True)
class Relevance:
    """Binary relevance of (Q, C) pairs as compressed sparse rows.

    Args:
        offsets: (Q + 1,) int64 from 0 to P, ascending.
        indices: (P,) int64 candidates; those of query i are `indices[offsets[i]:offsets[i + 1]]`,
            ascending, each once.
        candidates: C.
    """

    offsets: np.ndarray
    indices: np.ndarray
    candidates: int

    @classmethod
    def from_pairs(
        cls,
        queries: np.ndarray,
        positives: np.ndarray,
        n_queries: int,
        n_candidates: int,
        sides: tuple[str, str] = ("queries", "candidates"),
    ) -> Relevance:
        """From pairs in any order; a pair that is named twice counts once.

        Args:
            queries: (P,) int, a query of each pair.
            positives: (P,) int, the candidate that is right for it.
            n_queries: Q.
            n_candidates: C.
            sides: what queries and candidates are called in error messages.

        Raises:
            DataError: if the arrays are not two lists of whole numbers of one length, or a row
                is outside its side.
        """
        pair = [np.asarray(queries), np.asarray(positives)]
        for side, rows in zip(sides, pair, strict=True):
            if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
                raise DataError(
                    f"the pairs' {side} are {rows.dtype} of shape {rows.shape}; "
                    "give one whole number a pair."
                )
        if len(pair[0]) != len(pair[1]):
            raise DataError(
                f"{len(pair[0])} {sides[0]} and {len(pair[1])} {sides[1]} make no pairs; "
                "give as many of one as of the other."
            )
        for side, rows, size in zip(sides, pair, (n_queries, n_candidates), strict=True):
            outside = (rows < 0) | (rows >= size)
            if outside.any():
                at = int(np.argmax(outside))
                raise DataError(
                    f"pair {at}: row {rows[at]} is outside the {size} {side}; "
                    f"give rows from 0 to {size - 1}."
                )
        keys = np.unique(pair[0].astype(np.int64) * n_candidates + pair[1].astype(np.int64))
        owners, indices = np.divmod(keys, n_candidates) if n_candidates else (keys, keys)
        counts = np.bincount(owners, minlength=n_queries)
        return cls(np.append(0, np.cumsum(counts)).astype(np.int64), indices, n_candidates)

    @classmethod
    def from_caption_image(cls, caption_image: np.ndarray, images: int) -> Relevance:
        """Images as queries, captions as candidates: every caption belongs to one image.

        Args:
            caption_image: (M,) int, the image of each caption, in any order.
            images: N; an image may have no caption.

        Raises:
            DataError: if `caption_image` is no list of rows of the images.
        """
        rows = as_caption_image(caption_image)
        captions = np.arange(len(rows))
        return cls.from_pairs(rows, captions, images, len(rows), ("images", "captions"))

    @property
    def queries(self) -> int:
        """Q."""
        return len(self.offsets) - 1

    @property
    def counts(self) -> np.ndarray:
        """(Q,) int64: how many candidates are right for each query."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> np.ndarray:
        """(P,) int64: the query of each of `indices`."""
        return np.repeat(np.arange(self.queries), self.counts)

    def equals(self, other: Relevance) -> bool:
        """Whether the same pairs of the same items are right."""
        return (
            self.candidates == other.candidates
            and np.array_equal(self.offsets, other.offsets)
            and np.array_equal(self.indices, other.indices)
        )

    def of(self, query: int) -> np.ndarray:
        """The candidates that are right for one query, ascending."""
        return self.indices[self.offsets[query] : self.offsets[query + 1]]

    def transpose(self) -> Relevance:
        """Candidates as queries; pair p of the result is pair `transposed_order()[p]` of this."""
        counts = np.bincount(self.indices, minlength=self.candidates)
        offsets = np.append(0, np.cumsum(counts)).astype(np.int64)
        return Relevance(offsets, self.owners[self.transposed_order()], self.queries)

    def transposed_order(self) -> np.ndarray:
        """(P,) int64: the places of the pairs, ordered by candidate and then by query."""
        return np.argsort(self.indices, kind="stable")

    def without_self(self) -> Relevance:
        """Less the pairs of a row with itself, where queries and candidates are the same items."""
        kept = self.owners != self.indices
        counts = np.bincount(self.owners[kept], minlength=self.queries)
        offsets = np.append(0, np.cumsum(counts)).astype(np.int64)
        return Relevance(offsets, self.indices[kept], self.candidates)

    def take(self, queries: np.ndarray, candidates: np.ndarray) -> Relevance:
        """The pairs among some queries and candidates, renumbered in their order.

        Args:
            queries: (Q',) int rows, each once.
            candidates: (C',) int rows, each once.
        """
        new_query = np.full(self.queries, -1, np.int64)
        new_query[queries] = np.arange(len(queries))
        new_candidate = np.full(self.candidates, -1, np.int64)
        new_candidate[candidates] = np.arange(len(candidates))
        owners, indices = new_query[self.owners], new_candidate[self.indices]
        inside = (owners >= 0) & (indices >= 0)
        return Relevance.from_pairs(owners[inside], indices[inside], len(queries), len(candidates))


def as_caption_image(values: np.ndarray) -> np.ndarray:
    """`values` as an array (M,) of image rows.

    Raises:
        DataError: if it has another number of axes, or no integers.
    """
    rows = np.asarray(values)
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        raise DataError(
            f"caption_image is {rows.dtype} of shape {rows.shape}; give one image row a caption, "
            "whole numbers."
        )
    return rows
