"""Where scores come from: a checkpoint, embeddings, or similarity matrices, in files of anybody."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from user_itr.data.captions import CaptionedImages
from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.directed import NOT_SCORED, DirectedScores
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.inputs.arrays import SUFFIXES
from user_itr.evaluation.inputs.files import ScoreFiles, named_in
from user_itr.evaluation.inputs.ids import caption_keys, image_keys, match_rows
from user_itr.evaluation.inputs.recognise import (
    are_distances,
    as_cosines,
    constant_value,
    image_rows,
    lie_of_matrix,
    same_rows,
)
from user_itr.evaluation.items import Items, bare_items
from user_itr.evaluation.result import ScoredBy
from user_itr.evaluation.scores import MatrixScores, Scores

ScoreRule = Literal["auto", "cosine", "dot", "distance"]
"""How files become scores. `auto`: the cosine of embeddings, and matrices as they are or, where the
right pairs have the lowest values, as distances. `dot`: products and matrices as they are."""


@dataclass(frozen=True)
class Source:
    """One model's scores of a split.

    Args:
        scored_by: what it is.
        scores: (N, M), images in rows.
        images: scores of images against images; None for a similarity matrix.
        captions: scores of captions against captions; None for a similarity matrix.
        notes: what was recognised in its files, a sentence each.
        ordered: whether the rows are known to be in the order of the items.
    """

    scored_by: ScoredBy
    scores: Scores
    images: Scores | None = None
    captions: Scores | None = None
    notes: tuple[str, ...] = ()
    ordered: bool = True


@dataclass(frozen=True)
class Taking:
    """How files are taken.

    Args:
        score: see `ScoreRule`.
        transposed: the rows of a matrix are captions.

    Raises:
        ConfigError: if `score` is no rule.
    """

    score: ScoreRule = "auto"
    transposed: bool = False

    def __post_init__(self) -> None:
        if self.score not in get_args(ScoreRule):
            raise ConfigError(
                f"score is {self.score!r}; use one of {', '.join(get_args(ScoreRule))}."
            )


def source_kind(path: Path) -> Literal["checkpoint", "files"]:
    """Whether a path holds scores or embeddings, or must be a checkpoint or a run."""
    if path.is_file() and path.suffix in SUFFIXES:
        return "files"
    return "files" if path.is_dir() and named_in(path) else "checkpoint"


def embeddings_source(
    name: str,
    kind: Literal["checkpoint", "embeddings"],
    images: np.ndarray,
    captions: np.ndarray,
    sha256: str,
    settings: dict[str, object] | None = None,
    notes: tuple[str, ...] = (),
    ordered: bool = True,
) -> Source:
    """Scores of embeddings (N, D) and (M, D), cosines for unit rows."""
    scores = EmbeddingScores(images, captions)
    by = ScoredBy(name, kind, sha256, settings)
    return Source(by, scores, *scores.within(), notes, ordered)


def items_of_files(
    files: ScoreFiles, split: str, owner: np.ndarray | None, file: Path | None
) -> CaptionedImages:
    """Items of files without a set.

    Args:
        files: of the first model.
        split: for people.
        owner: (M,) int64 image row of each caption; by default from ids of both.
        file: of `owner`.

    Raises:
        DataError: if nothing says what is right, or it does not fit.
    """
    captions = files.caption_ids
    if owner is None:
        images = list(dict.fromkeys(files.image_ids or ()))
        owner = files.owners_by_id(images)
        return bare_items(files.path.stem, split, owner, len(images), None, images, captions)
    if files.image_ids is not None:
        images = files.image_ids
        rows = len(images)
        if len(set(images)) == rows:
            return bare_items(files.path.stem, split, owner, rows, file, images, captions)
    values = files.images
    _refuse_swapped(files, int(owner.max()) + 1, len(owner))
    if values is None:
        shape = lie_of_matrix(files.matrix("i2t"), owner, None, files.path, str(file))
        across = files.matrix("i2t").shape[1 if shape.transposed else 0]
    else:
        shape = image_rows(values, owner, None, files.image_file)
        across = len(values)
    count = across if shape.rows is None else len(shape.rows)
    return bare_items(files.path.stem, split, owner, count, file, None, captions)


def source_of(files: ScoreFiles, items: Items, taking: Taking) -> Source:
    """Take the embeddings or matrices of files for the items.

    Args:
        files: of one model.
        items: what they are of.
        taking: how.

    Raises:
        ConfigError: if `taking` does not go with the kind of files.
        DataError: if a file holds what cannot be scored, or is of other items.
    """
    if files.images is not None and files.captions is not None:
        return _of_embeddings(files, items, taking)
    if taking.score == "cosine":
        raise ConfigError(f"{files.path}: a matrix has no cosine; use --score dot or distance.")
    if len(files.matrices) == 2:
        return _of_two(files, items, taking)
    [(key, matrix)] = files.matrices.items()
    taken, notes = _matrix(matrix, files, key, items, taking)
    ordered = files.image_ids is not None and files.caption_ids is not None
    with _blamed(files.path):
        scores = MatrixScores(taken)
    return Source(files.scored_by("similarity"), scores, notes=notes, ordered=ordered)


def _of_embeddings(files: ScoreFiles, items: Items, taking: Taking) -> Source:
    if taking.score == "distance" or taking.transposed:
        raise ConfigError(
            f"{files.path}: holds embeddings; distances and --transposed go with matrices."
        )
    assert files.images is not None
    assert files.captions is not None
    _refuse_swapped(files, len(items.split.image_ids), len(items.whole.captions))
    notes: list[str] = []
    captions = _captions(files.captions, files, items, notes)
    images = _images(files.images, files, items, notes)
    if taking.score != "dot":
        sides = []
        for values, file in ((images, files.image_file), (captions, files.caption_file)):
            made, lengths, zeros = as_cosines(values)
            if lengths is not None and taking.score == "auto":
                notes.append(
                    f"{file}: rows are not of unit length ({lengths[0]:.3g} to {lengths[1]:.3g}); "
                    "scores are cosines, --score dot takes the products"
                )
            if zeros:
                notes.append(f"{file}: {zeros:,} rows are zero, and score 0 with everything")
            sides.append(made)
        images, captions = sides
    ordered = files.image_ids is not None and files.caption_ids is not None
    with _blamed(files.path):
        return embeddings_source(
            files.path.resolve().name,
            "embeddings",
            images,
            captions,
            files.sha256,
            notes=tuple(notes),
            ordered=ordered,
        )


def _refuse_swapped(files: ScoreFiles, images: int, captions: int) -> None:
    """Raise DataError if the embeddings of images are as many as captions, and the other way."""
    if files.images is None or files.captions is None or images == captions:
        return
    if (len(files.images), len(files.captions)) == (captions, images):
        raise DataError(
            f"{files.image_file}: has {captions:,} rows and {files.caption_file} {images:,}, as if "
            "images and captions had changed places; swap them."
        )


def _captions(
    values: np.ndarray, files: ScoreFiles, items: Items, notes: list[str], axis: int = 0
) -> np.ndarray:
    """The rows (or columns) of the items' captions, in their order."""
    count = values.shape[axis]
    file = files.caption_file
    if files.caption_ids is not None:
        files.check_ids("caption", count)
        rows, item = match_rows(
            files.caption_ids, caption_keys(items.split), files.caption_id_file, "captions"
        )
        _tell_left_out(item, file, "captions", notes)
        return _take(values, rows, axis)
    if count == len(items.whole.captions):
        return _take(values, items.kept, axis)
    if count == len(items.split.captions):
        return values
    if items.owners is not None:
        raise DataError(
            f"{items.owners}: names the image of {len(items.whole.captions):,} captions, and "
            f"{file} has {count:,}; give one image row a caption."
        )
    raise DataError(
        f"{file}: has {count:,} captions, and {items.origin} has {len(items.whole.captions):,}; "
        "give the same split, or caption ids beside them."
    )


def _images(values: np.ndarray, files: ScoreFiles, items: Items, notes: list[str]) -> np.ndarray:
    """The rows of the items' images, in their order, each once."""
    split = items.split
    if files.image_ids is not None:
        files.check_ids("image", len(values))
        rows, item = match_rows(files.image_ids, image_keys(split), files.image_id_file, "images")
        known = np.flatnonzero(item >= 0)
        if len(known) > len(rows):
            fault = same_rows(values, known, rows[item[known]])
            if fault is not None:
                raise DataError(
                    f"{files.image_file}: rows {rows[item[fault]]} and {fault} have the id "
                    f"{files.image_ids[fault]!r} and differ; give each image one row."
                )
            notes.append(f"{files.image_file}: ids of images repeat; each image was taken once")
        _tell_left_out(item, files.image_file, "images", notes)
        return _take(values, rows, 0)
    owner = split.caption_image
    if len(values) == len(items.whole.captions):
        owner = items.whole.caption_image
    if len(values) not in (len(split.image_ids), len(owner)):
        raise DataError(
            f"{files.image_file}: has {len(values):,} images, and {items.origin} has "
            f"{len(split.image_ids):,}; give the same split, or image ids beside them."
        )
    shape = image_rows(values, owner, len(split.image_ids), files.image_file)
    notes.extend(shape.notes)
    return values if shape.rows is None else _take(values, shape.rows, 0)


def _matrix(
    matrix: np.ndarray, files: ScoreFiles, key: str, items: Items, taking: Taking
) -> tuple[np.ndarray, tuple[str, ...]]:
    """A matrix as images x captions, higher meaning nearer."""
    notes: list[str] = []
    file = files.file_of(key)
    if matrix.ndim != 2 or 0 in matrix.shape or not np.issubdtype(matrix.dtype, np.floating):
        return matrix, ()  # its own check says what is wrong
    square = matrix.shape[0] == matrix.shape[1] == len(items.split.image_ids)
    if taking.transposed or (key == "t2i" and square):  # captions are its queries
        matrix = matrix.T
    elif files.image_ids is None or files.caption_ids is None:
        owner = items.split.caption_image
        if len(items.whole.captions) in matrix.shape:
            owner = items.whole.caption_image
        elif items.owners is not None:
            raise DataError(
                f"{items.owners}: names the image of {len(owner):,} captions, and {file} is "
                f"{matrix.shape[0]:,} x {matrix.shape[1]:,}; give one image row a caption."
            )
        shape = lie_of_matrix(matrix, owner, len(items.split.image_ids), file, items.origin)
        if shape.transposed:
            matrix = matrix.T
        if not (taking.score == "dot" and shape.rows is None):
            notes.extend(shape.notes)
    matrix = _images(_captions(matrix, files, items, notes, 1), files, items, notes)
    notes = list(dict.fromkeys(notes))
    unscored = int((matrix == NOT_SCORED).sum())
    if unscored == matrix.size:
        unscored = 0
    if unscored:
        notes.append(
            f"{file}: {unscored:,} of {matrix.size:,} scores are {NOT_SCORED:g}, which rerankers "
            "write for pairs that they did not score; these stand behind all others"
        )
    distances = taking.score == "distance"
    if taking.score == "auto" and not unscored:
        value = constant_value(matrix)
        if value is not None:
            notes.append(f"{file}: all scores are {value:g}, so that every candidate ties")
        elif np.isfinite(matrix).all() and are_distances(matrix, items.split.caption_image):
            distances = True
            notes.append(
                f"{file}: right pairs have the lowest values, so these are distances, and the "
                "least is best; --score dot takes them as similarities"
            )
    return (-matrix if distances else matrix), tuple(notes)


def _of_two(files: ScoreFiles, items: Items, taking: Taking) -> Source:
    """ALBEF's two matrices: i2t is images x captions, t2i captions x images (or also i2t's way)."""
    if taking.transposed:
        raise ConfigError(f"{files.path}: --transposed goes with one matrix, not with two.")
    sides, notes = [], []
    for key in ("i2t", "t2i"):
        taken, said = _matrix(files.matrix(key), files, key, items, taking)
        with _blamed(files.file_of(key)):
            sides.append(MatrixScores(taken))
        notes += [one for one in said if key == "i2t" or "is transposed" not in one]
    scores = DirectedScores(sides[0], sides[1].transpose())
    ordered = files.image_ids is not None and files.caption_ids is not None
    by = files.scored_by("similarity")
    return Source(by, scores, notes=tuple(notes), ordered=ordered)


def _tell_left_out(item: np.ndarray, file: Path, side: str, notes: list[str]) -> None:
    others = int((item < 0).sum())
    if others:
        notes.append(f"{file}: {others:,} {side} that the split does not have were left out")


def _take(values: np.ndarray, rows: np.ndarray, axis: int) -> np.ndarray:
    """Some rows or columns; evenly spaced ones are not copied."""
    steps = np.diff(rows)
    if len(rows) == 1 or (len(steps) and steps[0] > 0 and (steps == steps[0]).all()):
        step = int(steps[0]) if len(steps) else 1
        part = slice(int(rows[0]), int(rows[-1]) + 1, step)
        return values[part] if axis == 0 else values[:, part]
    return np.take(values, rows, axis=axis)


class _blamed:
    """Puts the file before the message of an error that names none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DataError):
            raise DataError(f"{self.path}: {error}") from None
