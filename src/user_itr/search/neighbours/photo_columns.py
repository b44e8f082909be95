"""What a search tells of photos, in columns that give single rows at the price of a look-up."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

PHOTO_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("path", pa.large_string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
    ]
)
"""Of `photos.arrow`, and the columns of a table that a search gives."""

Row = tuple[str, str, int, int]
"""Path, id, width and height of a photo."""


class PhotoColumns:
    """Rows of `PHOTO_SCHEMA`.

    Args:
        table: the rows, memory-mapped or not; other columns are left out.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table.select(PHOTO_SCHEMA.names).cast(PHOTO_SCHEMA).combine_chunks()
        columns = [_single(column) for column in self.table.columns]
        self._ids, self._paths = columns[:2]
        self._sizes = tuple(column.to_numpy() for column in columns[2:])

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def rows(self, places: np.ndarray) -> Iterator[Row]:
        """The rows at (R,) int64 places, in their order."""
        numbers = places.tolist()
        paths = [self._paths[row].as_py() for row in numbers]
        ids = [self._ids[row].as_py() for row in numbers]
        return zip(paths, ids, *(size[places].tolist() for size in self._sizes), strict=True)


def _single(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)
