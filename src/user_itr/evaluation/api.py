"""One call from embeddings, or a matrix, to figures, intervals and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.cross_modal import CrossModalRanks, cross_modal_ranks
from user_itr.evaluation.embedding_scores import Embeddings, EmbeddingScores
from user_itr.evaluation.folds import FoldedMetrics, evaluate_folds
from user_itr.evaluation.inputs.recognise import as_cosines, same_rows
from user_itr.evaluation.intervals import CrossModalIntervals, recall_intervals
from user_itr.evaluation.metrics import DEFAULT_KS, CrossModalMetrics
from user_itr.evaluation.positive_ranks import positive_ranks
from user_itr.evaluation.precision import Placement, PrecisionMetrics
from user_itr.evaluation.ranks import TieRule
from user_itr.evaluation.relevance import Relevance, as_caption_image
from user_itr.evaluation.scores import MatrixScores, Scores
from user_itr.evaluation.tensors import is_tensor, on_accelerator, to_array

Ids: TypeAlias = "Sequence[int] | Sequence[str] | np.ndarray | Any"
"""Whole numbers or texts, one a row: a list, an array or a tensor."""


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Args:
        metrics: recalls, median and mean ranks, with the cut-offs and the tie rule.
        ranks: of every query, both ways; rows are those of `image_ids` and `caption_ids`.
        intervals: 95 % intervals of the metrics; None where none were asked for.
        folded: over folds, where they were asked for.
        scores: (N, M), images in rows.
        relevance: the captions that are right for each image.
        image_ids: N ids, or row numbers.
        caption_ids: M ids, or row numbers.
    """

    metrics: CrossModalMetrics
    ranks: CrossModalRanks
    intervals: CrossModalIntervals | None
    folded: FoldedMetrics | None
    scores: Scores
    relevance: Relevance
    image_ids: tuple[int | str, ...]
    caption_ids: tuple[int | str, ...]

    @property
    def rsum(self) -> float:
        """Sum of the recalls of both directions, in percent."""
        return self.metrics.rsum

    @property
    def mean_recall(self) -> float:
        """mR: the mean of these recalls, in percent."""
        return self.metrics.mean_recall

    @cached_property
    def precision(self) -> dict[str, PrecisionMetrics]:
        """mAP@R, R-Precision, nDCG and nDCG@10, by "i2t" and "t2i"; computed when it is asked for.

        Raises:
            ConfigError: if the tie rule is "expected".
        """
        sides = {
            "i2t": (self.scores, self.relevance),
            "t2i": (self.scores.transpose(), self.relevance.transpose()),
        }
        return {
            way: PrecisionMetrics.of(Placement.of(positive_ranks(*side), self.metrics.ties))
            for way, side in sides.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: "metrics", "intervals" and "folded", the last two None by default."""
        return {
            "metrics": self.metrics.to_dict(),
            "intervals": self.intervals and self.intervals.to_dict(),
            "folded": self.folded and self.folded.to_dict(),
        }


def evaluate(
    images: Embeddings,
    captions: Embeddings | None = None,
    caption_image: Ids | None = None,
    *,
    image_ids: Ids | None = None,
    caption_ids: Ids | None = None,
    caption_image_ids: Ids | None = None,
    ks: Sequence[int] = DEFAULT_KS,
    ties: TieRule = "pessimistic",
    resamples: int = 0,
    folds: int | None = None,
    normalise: bool = True,
) -> Evaluation:
    """Evaluate image-text retrieval both ways.

    What is right is said by rows (`caption_image`), or by ids, and then rows may stand in any
    order, and an image may have several equal rows, which are taken once.

    Example:
        >>> import numpy as np
        >>> from user_itr.evaluation import evaluate
        >>> images = np.array([[1.0, 0.0], [0.0, 1.0]])
        >>> captions = np.array([[0.6, 0.8], [0.8, 0.6], [0.0, 1.0]])
        >>> found = evaluate(images, captions, caption_image=[0, 0, 1], ks=(1, 2))
        >>> found.metrics.i2t.recall[1], round(found.metrics.t2i.recall[1], 1)
        (100.0, 66.7)
        >>> round(found.rsum, 1), found.ranks.t2i.ranks().tolist()
        (366.7, [2, 1, 1])

        By ids, in any order, and from a similarity matrix:

        >>> by_id = evaluate(
        ...     images[::-1], captions, image_ids=["b", "a"], caption_image_ids=["a", "a", "b"],
        ...     ks=(1, 2),
        ... )
        >>> by_id.rsum == found.rsum == evaluate(
        ...     images @ captions.T, caption_image=[0, 0, 1], ks=(1, 2)
        ... ).rsum
        True
        >>> found.precision["i2t"].ndcg_at_10
        100.0

    Args:
        images: (N, D) embeddings, or with `captions` None an (N, M) similarity matrix; an array, a
            memory map or a tensor of any float type. Tensors on a GPU are multiplied there where
            `normalise` is False, and in memory otherwise.
        captions: (M, D).
        caption_image: (M,) row of `images` that each caption describes.
        image_ids: N ids.
        caption_ids: M ids; equal rows of one id are taken once, as samplers that pad make them.
        caption_image_ids: (M,) id of the image that each caption describes, in the place of
            `caption_image`.
        ks: cut-offs of recall.
        ties: see `TieRule`.
        resamples: draws behind the 95 % intervals; 0 for none.
        folds: also over so many equal folds of the images.
        normalise: scores of embeddings are cosines; False for their dot products as they are.

    Raises:
        DataError: if the shapes do not fit, values are not finite, rows of one id differ, or a
            caption's image is not there.
        ConfigError: if nothing says what is right, or `ks`, `ties`, `folds` or `resamples` has a
            bad value.
    """
    if (caption_image is None) == (caption_image_ids is None):
        raise ConfigError("give what is right as caption_image, or as caption_image_ids; not both.")
    if caption_image_ids is not None and image_ids is None:
        raise ConfigError("caption_image_ids name images by their ids; give image_ids, too.")
    if resamples < 0:
        raise ConfigError(f"resamples is {resamples}; give 0 for none, or some thousand.")
    matrix = captions is None
    n_images, n_captions = _count(images, captions)
    image_key, image_rows = _distinct(image_ids, n_images, "image_ids")
    caption_key, caption_rows = _distinct(caption_ids, n_captions, "caption_ids")
    owner = _owners(caption_image, caption_image_ids, image_key, image_rows, n_captions, n_images)
    _refuse_two_owners(owner, caption_rows, caption_key)
    scores: Scores
    if matrix:
        values = to_array(images)
        for rows, side in ((image_rows, values), (caption_rows, values.T)):
            _refuse_differing(side, rows, "matrix")
        values = values if image_rows.same else values[image_rows.first]
        values = values if caption_rows.same else values[:, caption_rows.first]
        scores = MatrixScores(values)
    else:
        assert captions is not None
        sides: list[Embeddings] = []
        for side, rows, name in (
            (images, image_rows, "images"),
            (captions, caption_rows, "captions"),
        ):
            if on_accelerator(side) and rows.same and not normalise:
                sides.append(side)
                continue
            taken = to_array(side)
            if not rows.same:
                _refuse_differing(taken, rows, name)
                taken = taken[rows.first]
            sides.append(as_cosines(taken)[0] if normalise else taken)
        scores = EmbeddingScores(sides[0], sides[1])
    relevance = Relevance.from_caption_image(owner[caption_rows.first], len(image_rows.first))
    ranks = cross_modal_ranks(scores, relevance)
    intervals = folded = None
    if resamples:
        intervals = recall_intervals(
            ranks, owner[caption_rows.first], ks, ties=ties, resamples=resamples
        )
    if folds is not None:
        folded = evaluate_folds(scores, relevance, folds, ks, ties=ties)
    metrics = CrossModalMetrics.of(ranks, ks, ties)
    return Evaluation(metrics, ranks, intervals, folded, scores, relevance, image_key, caption_key)


@dataclass(frozen=True)
class _Rows:
    """The first row of each distinct id, (n,) int64, and the place of each row in them."""

    first: np.ndarray
    place: np.ndarray

    @property
    def same(self) -> bool:
        """Whether every row has an id of its own."""
        return len(self.first) == len(self.place)


def _count(images: Embeddings, captions: Embeddings | None) -> tuple[int, int]:
    sides = [images] if captions is None else [images, captions]
    for name, side in zip(("images", "captions"), sides, strict=False):
        if getattr(side, "ndim", 0) != 2:
            shape = getattr(side, "shape", None)
            raise DataError(f"{name} have shape {shape and tuple(shape)}; give two axes.")
    return len(images), (images.shape[1] if captions is None else len(captions))


def _distinct(ids: Ids | None, rows: int, name: str) -> tuple[tuple[int | str, ...], _Rows]:
    if ids is None:
        every = np.arange(rows)
        return tuple(range(rows)), _Rows(every, every)
    keys = _keys(ids)
    if len(keys) != rows:
        raise DataError(f"{name} holds {len(keys)} ids for {rows} rows; give one a row.")
    place_of: dict[int | str, int] = {}
    place = np.array([place_of.setdefault(key, len(place_of)) for key in keys], np.int64)
    first = np.full(len(place_of), -1, np.int64)
    first[place[::-1]] = np.arange(rows)[::-1]
    return tuple(place_of), _Rows(first, place)


def _keys(ids: Ids) -> list[int | str]:
    values = to_array(ids) if is_tensor(ids) else ids
    return list(values.tolist() if isinstance(values, np.ndarray) else values)


def _owners(
    caption_image: Ids | None,
    caption_image_ids: Ids | None,
    image_key: tuple[int | str, ...],
    image_rows: _Rows,
    captions: int,
    images: int,
) -> np.ndarray:
    """The distinct image of each caption: (M,) int64."""
    if caption_image is not None:
        given = to_array(caption_image) if is_tensor(caption_image) else np.asarray(caption_image)
        rows = as_caption_image(given)
        outside = (rows < 0) | (rows >= images)
        if outside.any():
            at = int(np.argmax(outside))
            raise DataError(
                f"caption_image, entry {at}: row {rows[at]} is outside the {images} images."
            )
        owner: np.ndarray = image_rows.place[rows]
    else:
        place_of = {key: place for place, key in enumerate(image_key)}
        keys = _keys(caption_image_ids)
        unknown = [key for key in keys if key not in place_of]
        if unknown:
            raise DataError(f"caption_image_ids names {unknown[0]!r}, which is not in image_ids.")
        owner = np.array([place_of[key] for key in keys], np.int64)
    if len(owner) != captions:
        raise DataError(
            f"the images of {len(owner)} captions are given, and there are {captions} captions; "
            "give one a caption."
        )
    return owner


def _refuse_two_owners(owner: np.ndarray, rows: _Rows, keys: tuple[int | str, ...]) -> None:
    other = np.flatnonzero(owner != owner[rows.first[rows.place]])
    if len(other):
        key = keys[rows.place[other[0]]]
        raise DataError(f"caption_ids: {key!r} is there with two images; give each caption one id.")


def _refuse_differing(values: np.ndarray, rows: _Rows, name: str) -> None:
    if rows.same:
        return
    fault = same_rows(values, np.arange(len(values)), rows.first[rows.place])
    if fault is not None:
        raise DataError(
            f"{name}, rows {rows.first[rows.place[fault]]} and {fault}: have one id and differ; "
            "give each item one row."
        )
