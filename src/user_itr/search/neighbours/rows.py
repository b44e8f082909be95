"""What the derived files are made of: the rows of a LanceDB table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from user_itr.search.neighbours.photo_columns import PHOTO_SCHEMA

ROW_ID = "_rowid"
BATCH_ROWS = 8_192


class Rows:
    """Reads a table of photos by LanceDB's row ids.

    A row id is a place in a file of the table that is never written again, so it means the same
    photo and embedding for as long as it is there; compaction gives rows new ones.

    Args:
        table: LanceDB's.
    """

    def __init__(self, table: Any) -> None:
        self._table = table

    def latest(self) -> int:
        """Go to the latest version of the table, and return its number."""
        self._table.checkout_latest()
        return int(self._table.version)

    def count(self) -> int:
        """How many rows there are."""
        return int(self._table.count_rows())

    def ids(self, where: str | None = None) -> np.ndarray:
        """(N,) uint64, ascending: the ids of the rows, of those that meet a condition of SQL."""
        query = self._table.search().select(["width"]).with_row_id(True)
        if where is not None:
            query = query.where(where)
        return np.sort(query.to_arrow()[ROW_ID].to_numpy())

    def all(self) -> Iterator[pa.RecordBatch]:
        """All rows by batches, in any order: `PHOTO_SCHEMA`, embedding and `ROW_ID`."""
        query = self._table.search().select([*PHOTO_SCHEMA.names, "embedding"]).with_row_id(True)
        yield from query.to_batches(BATCH_ROWS)

    def some(self, ids: Sequence[int]) -> pa.Table:
        """Rows by their ids, in any order: the columns of `all`."""
        query = self._table.take_row_ids(list(ids)).select([*PHOTO_SCHEMA.names, "embedding"])
        return query.with_row_id().to_arrow().combine_chunks()


def embeddings_of(rows: pa.Table | pa.RecordBatch) -> np.ndarray:
    """(N, D) float32 out of the column `embedding`."""
    column = rows["embedding"]
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, dtype=np.float32).reshape(rows.num_rows, -1)
