"""What the derived files are made of: the embeddings of a store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

BATCH_ROWS = 8_192


class Counts(NamedTuple):
    """What changes with the embeddings of a store.

    Attributes:
        rows: how many there are.
        removed: how many have ever been removed.
        derived: name of the derived files that go with the store; None for none.
    """

    rows: int
    removed: int
    derived: str | None


class Rows(Protocol):
    """Reads the embeddings of a store by their numbers.

    A number stands for the same embedding for ever, and later rows have higher ones.
    """

    def version(self) -> int:
        """A number that changes with each change of the store."""
        ...

    def counts(self) -> Counts:
        """Of the latest state of the store."""
        ...

    def numbers(self, after: int = 0) -> np.ndarray:
        """(N,) int64, ascending: the numbers of all rows beyond a number."""
        ...

    def all(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All rows by batches, by ascending number: (B,) int64 and (B, D) float32."""
        ...

    def some(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Those of the rows that are there, by ascending number: (R,) int64 and (R, D) float32."""
        ...

    def point_to(self, derived: str) -> None:
        """Record which derived files go with the store."""
        ...
