"""Where scores come from: a checkpoint, a folder of embeddings, or a similarity matrix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from user_itr.data.captions import CaptionedImages
from user_itr.errors import DataError
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.result import ScoredBy
from user_itr.evaluation.scores import MatrixScores, Scores
from user_itr.files import hash_files, map_array

IMAGES, CAPTIONS = "images.npy", "captions.npy"
"""The two files of a folder of embeddings: (N, D) and (M, D), any float type."""


@dataclass(frozen=True)
class Source:
    """One model's scores of a split.

    Args:
        scored_by: what it is.
        scores: (N, M), images in rows.
        images: scores of images against images; None for a similarity matrix.
        captions: scores of captions against captions; None for a similarity matrix.
    """

    scored_by: ScoredBy
    scores: Scores
    images: Scores | None = None
    captions: Scores | None = None


def source_kind(path: Path) -> Literal["checkpoint", "embeddings", "similarity"]:
    """What a path is: an `.npy` file, a folder with images.npy and captions.npy, or neither."""
    if path.is_file() and path.suffix == ".npy":
        return "similarity"
    if (path / IMAGES).is_file() and (path / CAPTIONS).is_file():
        return "embeddings"
    return "checkpoint"


def embeddings_source(
    name: str,
    kind: Literal["checkpoint", "embeddings"],
    images: np.ndarray,
    captions: np.ndarray,
    sha256: str,
    settings: dict[str, object] | None = None,
) -> Source:
    """Scores of embeddings (N, D) and (M, D), cosines for unit rows."""
    scores = EmbeddingScores(images, captions)
    return Source(ScoredBy(name, kind, sha256, settings), scores, *scores.within())


def open_files(path: Path, split: CaptionedImages) -> Source:
    """Memory-map the embeddings or the similarity matrix that somebody's model wrote.

    Args:
        path: a `source_kind` other than a checkpoint.
        split: the items that they are of, rows in its order.

    Raises:
        DataError: if a file is damaged, holds what cannot be scored, or has another number of rows.
    """
    if source_kind(path) == "similarity":
        matrix = open_array(path)
        try:
            scores = MatrixScores(matrix)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        source = Source(ScoredBy(path.stem, "similarity", hash_files([path])), scores)
    else:
        files = (path / IMAGES, path / CAPTIONS)
        images, captions = (open_array(file) for file in files)
        try:
            source = embeddings_source(
                path.resolve().name, "embeddings", images, captions, hash_files(files)
            )
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
    wanted = (len(split.image_ids), len(split.captions))
    if source.scores.shape != wanted:
        found = source.scores.shape
        raise DataError(
            f"{path}: scores {found[0]} images and {found[1]} captions, and {split.name}, "
            f"{split.split} has {wanted[0]} and {wanted[1]}; give the same split."
        )
    return source


def count_images(path: Path) -> int:
    """Images that a similarity matrix or a folder of embeddings is of.

    Raises:
        DataError: if it cannot be read.
    """
    return len(open_array(path if source_kind(path) == "similarity" else path / IMAGES))


def open_array(file: Path) -> np.ndarray:
    """Memory-map a NumPy array, without executing anything in the file.

    Raises:
        DataError: if it is none.
    """
    try:
        array = map_array(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read as a NumPy array ({error}).") from None
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        raise DataError(f"{file}: holds no single array; give one, as np.save writes it.")
    return array
