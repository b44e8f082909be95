"""ECCV Caption: MSCOCO's 5K test with the matches that its annotation misses.

Five models proposed matches of a part of the test images and captions, and people verified them:
22,550 right captions of 1,261 images and 11,279 right images of 1,332 captions. Their metrics are
mAP@R, R-Precision and R@1; beside them stand recalls on the plain 5K test, on its five folds of
1,000 images, and on the cross-modal ratings of CxC. All ids are MSCOCO's.

The annotations come with the package `eccv-caption`. Ranks are counted here, so that the complete
ranked lists that the package's own functions ask for are never made; from the same ranks its
functions give the same figures. Items that are not of the test are left out: Karpathy's file has
25,010 test captions, of which the field takes five an image. Two verified captions are none of
these; they count as right ones that are never found, as in the package. Its CxC differs from ours
(`cxc`) in 29 of MSCOCO's own pairs, which people rated below 3: the package drops them.

Source: Chun et al., "ECCV Caption: Correcting False Negatives by Collecting Machine-and-Human-
verified Image-Caption Associations for MS-COCO", ECCV 2022.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import numpy as np

from user_itr.errors import DataError, MissingExtraError
from user_itr.evaluation.cross_modal import (
    CrossModalRanks,
    cross_modal_ranks,
    cross_modal_ranks_by,
)
from user_itr.evaluation.metrics import DEFAULT_KS, CrossModalMetrics
from user_itr.evaluation.positive_ranks import positive_ranks
from user_itr.evaluation.precision import Placement, PrecisionMetrics
from user_itr.evaluation.protocols.ids import rows_by_id
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import Scores

FOLDS = 5

_Direction = Literal["i2t", "t2i"]
_Matches = Mapping[int, Sequence[int]]


@dataclass(frozen=True, slots=True)
class EccvGroundTruth:
    """What is right, by MSCOCO id.

    Args:
        coco: captions of each image as MSCOCO has them: all items of the test.
        cxc: those rated 3 or more in CxC.
        eccv_i2t: captions of the images that were verified.
        eccv_t2i: images of the captions that were verified.
        caption_order: all captions in the order that the folds are cut from.
    """

    coco: _Matches
    cxc: _Matches
    eccv_i2t: _Matches
    eccv_t2i: _Matches
    caption_order: tuple[int, ...]

    @classmethod
    def load(cls) -> EccvGroundTruth:
        """The annotations of the package `eccv-caption`.

        Raises:
            MissingExtraError: if it is not installed.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it does without ujson, and says so
                from eccv_caption import Metrics
        except ImportError as error:
            raise MissingExtraError(
                "ECCV Caption needs its annotations: pip install 'user-itr[eccv]'."
            ) from error
        return cls.of(Metrics())

    @classmethod
    def of(cls, metrics: Any) -> EccvGroundTruth:
        """The annotations that an `eccv_caption.Metrics` holds."""
        return cls(
            coco=metrics.coco_gts["i2t"],
            cxc=metrics.cxc_gts["i2t"],
            eccv_i2t=metrics.eccv_gts["i2t"],
            eccv_t2i=metrics.eccv_gts["t2i"],
            caption_order=tuple(map(int, metrics.coco_ids)),
        )


@dataclass(frozen=True, slots=True)
class EccvMetrics:
    """All figures in percent.

    Args:
        eccv: mAP@R and R-Precision by direction.
        eccv_r1: R@1 by direction, of the same queries.
        coco_5k: on the plain test.
        cxc: on CxC's cross-modal pairs.
        coco_1k: recall by direction and K, the mean over five folds.
    """

    eccv: Mapping[_Direction, PrecisionMetrics]
    eccv_r1: Mapping[_Direction, float]
    coco_5k: CrossModalMetrics
    cxc: CrossModalMetrics
    coco_1k: Mapping[_Direction, Mapping[int, float]]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: "eccv", "coco_5k", "cxc", "coco_1k", each with "i2t" and "t2i"."""
        return {
            "eccv": {
                name: {**precision.to_dict(), "R@1": self.eccv_r1[name]}
                for name, precision in self.eccv.items()
            },
            "coco_5k": self.coco_5k.to_dict(),
            "cxc": self.cxc.to_dict(),
            "coco_1k": {
                name: {f"R@{k}": value for k, value in recall.items()}
                for name, recall in self.coco_1k.items()
            },
        }


@dataclass(frozen=True, slots=True)
class EccvItems:
    """The test's items in scores.

    Args:
        scores: of these items alone: as they were given, where they hold no others.
        images: row in `scores` of each MSCOCO id.
        captions: the same, in the order that folds are cut from.
        coco: images to captions as MSCOCO has them.
        cxc: the same of CxC.
    """

    scores: Scores
    images: Mapping[int, int]
    captions: Mapping[int, int]
    coco: Relevance
    cxc: Relevance

    @classmethod
    def of(
        cls,
        truth: EccvGroundTruth,
        scores: Scores,
        coco_ids: Sequence[int] | None,
        caption_ids: Sequence[int] | None,
    ) -> EccvItems:
        """Find the test's items; arguments and errors as for `eccv_metrics`."""
        rows = _rows_of(truth.coco, rows_by_id(coco_ids, "images"), "images")
        columns = _rows_of(truth.caption_order, rows_by_id(caption_ids, "captions"), "captions")
        if (len(rows), len(columns)) != scores.shape:
            scores = scores.take(rows, columns)
            rows, columns = np.arange(len(rows)), np.arange(len(columns))
        images = dict(zip(truth.coco, rows.tolist(), strict=True))
        captions = dict(zip(truth.caption_order, columns.tolist(), strict=True))
        return cls(
            scores,
            images,
            captions,
            _relevance(truth.coco, images, captions),
            _relevance(truth.cxc, images, captions),
        )


def eccv_metrics(
    scores: Scores,
    coco_ids: Sequence[int] | None,
    caption_ids: Sequence[int] | None,
    ks: Sequence[int] = DEFAULT_KS,
    *,
    truth: EccvGroundTruth | None = None,
    ties: Literal["pessimistic", "optimistic"] = "pessimistic",
    items: EccvItems | None = None,
    ranks: Sequence[CrossModalRanks] | None = None,
) -> EccvMetrics:
    """Evaluate MSCOCO's 5K test on all its ground truths.

    Args:
        scores: of N images against M captions, in any order; others than the test's may be there.
        coco_ids: N images by their MSCOCO id.
        caption_ids: M captions by their MSCOCO id.
        ks: cut-offs of the recalls on COCO and CxC.
        truth: what is right; the package's annotations by default.
        ties: whether wrong candidates of a right one's score stand before it.
        items: of `EccvItems.of`, which is called where it is not given.
        ranks: of `items.scores` by `items.coco` and by `items.cxc`, where they are known.

    Raises:
        MissingExtraError: if the package is needed and not installed.
        DataError: if the items have no ids, or some of the test are not there.
        ConfigError: if `ks` or `ties` has a bad value.
    """
    truth = truth or EccvGroundTruth.load()
    items = items or EccvItems.of(truth, scores, coco_ids, caption_ids)
    scores, images, captions = items.scores, items.images, items.captions
    by_coco, by_cxc = ranks or cross_modal_ranks_by(scores, [items.coco, items.cxc])
    verified: tuple[
        tuple[_Direction, Scores, _Matches, Mapping[int, int], Mapping[int, int]], ...
    ] = (
        ("i2t", scores, truth.eccv_i2t, images, captions),
        ("t2i", scores.transpose(), truth.eccv_t2i, captions, images),
    )
    precision: dict[_Direction, PrecisionMetrics] = {}
    r1: dict[_Direction, float] = {}
    for name, side, matches, queries, candidates in verified:
        relevance = _relevance(matches, queries, candidates)
        rows, columns = np.flatnonzero(relevance.counts), np.arange(relevance.candidates)
        placed = positive_ranks(side.take(rows, columns), relevance.take(rows, columns))
        size = {queries[query]: len(set(found)) for query, found in matches.items()}
        missing = np.array([size[row] for row in rows.tolist()]) - relevance.counts[rows]
        precision[name] = PrecisionMetrics.of(Placement.of(placed, ties, missing))
        r1[name] = 100 * float(placed.best().hits(1, ties).mean())
    return EccvMetrics(
        eccv=precision,
        eccv_r1=r1,
        coco_5k=CrossModalMetrics.of(by_coco, ks, ties),
        cxc=CrossModalMetrics.of(by_cxc, ks, ties),
        coco_1k=_folds(items, ks, ties),
    )


def _folds(
    items: EccvItems,
    ks: Sequence[int],
    ties: Literal["pessimistic", "optimistic"],
) -> dict[_Direction, dict[int, float]]:
    """Mean recall over five runs of captions, each with the images they belong to."""
    order = np.fromiter(items.captions.values(), np.int64)
    size = len(order) // FOLDS
    image_of = items.coco.transpose().indices  # every caption of COCO has one image
    found = []
    for start in range(0, FOLDS * size, size):
        columns = np.sort(order[start : start + size])
        rows = np.unique(image_of[columns])
        ranks = cross_modal_ranks(items.scores.take(rows, columns), items.coco.take(rows, columns))
        found.append(CrossModalMetrics.of(ranks, ks, ties))
    return {
        "i2t": {k: fmean(fold.i2t.recall[k] for fold in found) for k in found[0].i2t.recall},
        "t2i": {k: fmean(fold.t2i.recall[k] for fold in found) for k in found[0].t2i.recall},
    }


def _relevance(
    matches: _Matches, queries: Mapping[int, int], candidates: Mapping[int, int]
) -> Relevance:
    """Pairs as rows; those with a candidate that is not there are left out."""
    pairs = [
        (queries[query], candidates[one])
        for query, found in matches.items()
        for one in found
        if one in candidates
    ]
    owners, positives = np.array(pairs, np.int64).reshape(-1, 2).T
    return Relevance.from_pairs(owners, positives, len(queries), len(candidates))


def _rows_of(wanted: Collection[int], rows: Mapping[int, int], side: str) -> np.ndarray:
    """The rows of the test's items, in its order: (n,) int64."""
    missing = [number for number in wanted if number not in rows]
    if missing:
        raise DataError(
            f"{len(missing):,} of the {len(wanted):,} {side} of MSCOCO's Karpathy test, which ECCV "
            f"Caption is about, are not there (the first is {missing[0]}); evaluate the whole test "
            "split of dataset_coco.json."
        )
    return np.array([rows[number] for number in wanted], np.int64)
