"""Rows repeated, matrices that lie on their side, distances: recognised, or refused by name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from user_itr.errors import DataError

_BLOCK = 1024  # rows compared or measured at once
_UNIT = 0.01
"""Rows whose length differs from 1 by less are of unit length: bfloat16 is off by 0.004."""

_SAMPLE = 500
"""Captions whose right images are looked up to tell distances."""


@dataclass(frozen=True)
class Shape:
    """How a matrix or a side lies.

    Args:
        rows: (N,) int64, the rows that are taken for the images; None for all.
        transposed: captions are in rows.
        notes: what was recognised, for people.
    """

    rows: np.ndarray | None = None
    transposed: bool = False
    notes: tuple[str, ...] = ()


def image_rows(values: np.ndarray, owner: np.ndarray, images: int | None, file: object) -> Shape:
    """Which rows are the images, where a row may be an image or, as often, a caption's image.

    Args:
        values: (R, width), embeddings or scores of images.
        owner: (M,) int64, the image of each caption.
        images: N where it is known; None where only the captions say which images there are.
        file: for messages.

    Raises:
        DataError: if R is neither N nor M, or rows that should be copies of one image differ.
    """
    described = int(owner.max()) + 1 if len(owner) else 0
    if values.ndim != 2:
        return Shape()  # refused where it is scored
    if len(values) == images or (images is None and len(values) != len(owner)):
        return Shape()
    if len(values) == described == len(owner):
        return Shape()
    if len(values) != len(owner):
        raise DataError(
            f"{file}: has {len(values):,} rows for {images:,} images and {len(owner):,} captions; "
            "give a row an image, or image ids beside them."
        )
    first = _copies_of(values, owner)
    if first is not None and (images is None or images == described):
        count = len(values) / described
        note = (
            f"{file}: the rows of images are repeated, one a caption ({count:g} an image); each "
            "image was taken once"
        )
        return Shape(first, notes=(note,))
    first = _first_rows(owner, described)
    row = _first_difference(values, first[owner])
    if row is None:
        without = len(np.setdiff1d(np.arange(images or described), owner))
        raise DataError(
            f"{file}: has a row a caption, and {without:,} images have no caption and so no row; "
            "give each image one row."
        )
    raise DataError(
        f"{file}: has a row a caption ({len(values):,}) where {described:,} images are described, "
        f"and rows {first[owner[row]]} and {row}, both of image {owner[row]}, differ; give each "
        "image one row, or image ids beside them."
    )


def lie_of_matrix(
    matrix: np.ndarray, owner: np.ndarray, images: int | None, file: object, owners: str
) -> Shape:
    """Whether images are in rows or in columns, and which rows they are.

    Args:
        matrix: (R, C) scores.
        owner: (M,) int64.
        images: N where it is known.
        file: of the matrix, for messages.
        owners: what the captions and images are of, for messages.

    Raises:
        DataError: if neither side is of the captions, or repeated rows differ.
    """
    if matrix.ndim != 2:
        raise DataError(
            f"{file}: is {matrix.dtype} of shape {matrix.shape}; give a matrix, images x captions."
        )
    rows, columns = matrix.shape
    captions = len(owner)
    described = int(owner.max()) + 1 if captions else 0
    if images is None and captions != columns and not (captions == rows and described == columns):
        raise DataError(
            f"{owners}: names the image of {captions:,} captions, and {file} is {rows:,} x "
            f"{columns:,}; give one image row a caption."
        )
    if captions not in (rows, columns):
        raise DataError(
            f"{file}: scores {rows:,} images and {columns:,} captions, and {owners} has "
            f"{'' if images is None else f'{images:,} images and '}{captions:,} captions; "
            "give the same split."
        )
    if rows == columns:
        if described == captions:
            note = (
                f"{file}: is square, {rows:,} x {columns:,}: rows were taken for images; if they "
                "are captions, give --transposed"
            )
            return Shape(notes=(note,))
        across = _copies_of(matrix, owner)
        down = _copies_of(matrix.T, owner)
        if across is None and down is not None:
            note = (
                f"{file}: is square and transposed, captions x images, as the repeated images tell"
            )
            return Shape(down, True, (note,))
    if columns == captions:
        found = image_rows(matrix, owner, images, file)
        return found
    turned = image_rows(matrix.T, owner, images, file)
    note = f"{file}: is transposed, {rows:,} captions x {columns:,} images, and was taken so"
    return Shape(turned.rows, True, (note, *turned.notes))


def _copies_of(values: np.ndarray, owner: np.ndarray) -> np.ndarray | None:
    """The first row of each image, if the rows of each are equal; None if they are not."""
    described = int(owner.max()) + 1
    for copies in _groupings(owner, described):
        first = _first_rows(copies, described)
        if (first >= 0).all() and _first_difference(values, first[copies]) is None:
            return first
    return None


def _groupings(owner: np.ndarray, images: int) -> list[np.ndarray]:
    """The image of each row, if rows are repeated as captions are, in runs, or all in turn."""
    found = [owner]
    if images and len(owner) % images == 0:
        found.append(np.repeat(np.arange(images), len(owner) // images))
        found.append(np.tile(np.arange(images), len(owner) // images))
    return found


def _first_rows(group: np.ndarray, images: int) -> np.ndarray:
    first = np.full(images, -1, np.int64)
    first[group[::-1]] = np.arange(len(group))[::-1]
    return first


def _first_difference(values: np.ndarray, like: np.ndarray) -> int | None:
    """The first row that is not as that which `like` names, to rounding; None if all are."""
    tolerance = 1e-3 if values.dtype.itemsize < 4 else 1e-4
    for start in range(0, len(values), _BLOCK):
        part = np.asarray(values[start : start + _BLOCK], np.float64)
        other = np.asarray(values[like[start : start + _BLOCK]], np.float64)
        apart = np.linalg.norm(part - other, axis=1) > tolerance * np.linalg.norm(other, axis=1)
        if apart.any():
            return start + int(np.argmax(apart))
    return None


def same_rows(values: np.ndarray, rows: np.ndarray, like: np.ndarray) -> int | None:
    """The first of `rows` that is not as its row in `like`, to rounding; None if all are."""
    every = np.arange(len(values))
    every[rows] = like
    return _first_difference(values, every)


def as_cosines(values: np.ndarray) -> tuple[np.ndarray, tuple[float, float] | None, int]:
    """Rows of unit length, so that their products are cosines.

    Args:
        values: (n, D) of a float type.

    Returns:
        The rows, as they are where all are of unit length; the least and the greatest length where
        they were not; and how many rows are zero, which stay so.
    """
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.floating):
        return values, None, 0  # refused where it is scored
    lengths = np.empty(len(values))
    for start in range(0, len(values), _BLOCK):
        part = np.asarray(values[start : start + _BLOCK], np.float64)
        lengths[start : start + _BLOCK] = np.sqrt(np.einsum("nd,nd->n", part, part))
    zeros = int((lengths == 0).sum())
    some = lengths[lengths > 0]
    if not np.isfinite(lengths).all() or len(some) == 0 or (np.abs(some - 1) <= _UNIT).all():
        return values, None, zeros
    made = np.empty(values.shape, np.float64 if values.dtype.itemsize > 4 else np.float32)
    lengths[lengths == 0] = 1
    for start in range(0, len(values), _BLOCK):
        block = slice(start, start + _BLOCK)
        made[block] = np.asarray(values[block], np.float64) / lengths[block, None]
    return made, (float(some.min()), float(some.max())), zeros


def are_distances(matrix: np.ndarray, owner: np.ndarray) -> bool:
    """Whether the right pairs of an (N, M) matrix have the lowest scores, beyond chance.

    The share of images that a caption's own image beats is 1/2 by chance, with a standard deviation
    of 0.29 an image. Below a quarter, and four deviations below 1/2, the scores are distances.
    """
    images, captions = matrix.shape
    chosen = np.unique(np.linspace(0, captions - 1, min(_SAMPLE, captions)).astype(np.int64))
    scores = np.asarray(matrix[:, chosen], np.float64)
    right = scores[owner[chosen], np.arange(len(chosen))]
    beaten = ((scores < right).sum(axis=0) + 0.5 * ((scores == right).sum(axis=0) - 1)) / max(
        1, images - 1
    )
    independent = len(np.unique(owner[chosen]))
    return bool(beaten.mean() < min(0.25, 0.5 - 4 * 0.29 / np.sqrt(independent)))


def constant_value(matrix: np.ndarray) -> float | None:
    """The one score that a matrix holds everywhere; None where scores differ."""
    first = matrix.flat[0] if matrix.size else np.nan
    for start in range(0, len(matrix), _BLOCK):
        if (np.asarray(matrix[start : start + _BLOCK]) != first).any():
            return None
    return float(first)
