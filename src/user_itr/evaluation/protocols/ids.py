"""Rows of a split by the ids of its items in MSCOCO, which published annotations name them by."""

from __future__ import annotations

from collections.abc import Sequence

from user_itr.errors import DataError


def rows_by_id(ids: Sequence[int] | None, side: str) -> dict[int, int]:
    """The row of each id.

    Args:
        ids: one an item; None where the split was read from files without ids.
        side: "images" or "captions", for the error message.

    Raises:
        DataError: if there are no ids, or one is there twice.
    """
    if ids is None:
        raise DataError(
            f"the {side} of this split have no MSCOCO ids; read it from dataset_coco.json "
            "(Karpathy) or from MSCOCO's own captions_*.json, or add --ids dataset_coco.json."
        )
    rows = {number: row for row, number in enumerate(ids)}
    if len(rows) < len(ids):
        row = next(row for row, number in enumerate(ids) if rows[number] != row)
        raise DataError(
            f"{side}, row {row}: id {ids[row]} is also that of row {rows[ids[row]]}; "
            "give each an id of its own."
        )
    return rows
