"""From scored splits to one result: the figures that were asked for, each computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from user_itr.data.captions import CaptionedImages
from user_itr.errors import ConfigError
from user_itr.evaluation.cross_modal import (
    CrossModalRanks,
    cross_modal_ranks,
    cross_modal_ranks_by,
)
from user_itr.evaluation.folds import evaluate_folds, fold_size
from user_itr.evaluation.fusion import fused_ranks
from user_itr.evaluation.inputs.order import order_note
from user_itr.evaluation.intervals import recall_intervals
from user_itr.evaluation.metrics import DEFAULT_KS, CrossModalMetrics
from user_itr.evaluation.normalised import NormalisedScores, check_sharpness
from user_itr.evaluation.positive_ranks import positive_ranks
from user_itr.evaluation.precision import Placement, PrecisionMetrics
from user_itr.evaluation.protocols.cxc import CxcGroundTruth, cxc_metrics, read_cxc
from user_itr.evaluation.protocols.eccv import EccvGroundTruth, EccvItems, eccv_metrics
from user_itr.evaluation.protocols.ids import rows_by_id
from user_itr.evaluation.protocols.plausible import plausible_match_metrics, read_object_labels
from user_itr.evaluation.ranks import TieRule, check_ties
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.result import EvaluationResult, Fusion, TopLists
from user_itr.evaluation.scores import Scores, mean_scores
from user_itr.evaluation.sources import Source
from user_itr.evaluation.top import top_candidates

TOP = 10
"""Candidates kept of each query, where a report shows them."""


@dataclass(frozen=True)
class Truths:
    """What is right by the protocols that were asked for; None for the others.

    Args:
        cxc: of Crisscrossed Captions.
        eccv: of ECCV Caption.
        labels: (N, L) bool, the objects of each image, for PMRP.
    """

    cxc: CxcGroundTruth | None = None
    eccv: EccvGroundTruth | None = None
    labels: np.ndarray | None = None


@dataclass(frozen=True)
class Request:
    """What to measure.

    Args:
        ks: cut-offs of recall.
        ties: the tie rule.
        fusion: how several models are one.
        folds: also the mean over so many equal folds.
        resamples: of the intervals; 0 for none.
        cxc: folder of the Crisscrossed Captions files, for its protocol.
        eccv: whether to take the ECCV Caption protocol.
        pmrp: MSCOCO instances file of the split's images, for plausible-match R-Precision.
        precision: whether to take mAP@R, R-Precision and nDCG over all right answers.
        normalise: sharpness of `NormalisedScores`, whose recalls are reported apart.
        top: whether to keep the first candidates of each query.
        lists: whether lists of candidates are to be exported.
    """

    ks: tuple[int, ...] = DEFAULT_KS
    ties: TieRule = "pessimistic"
    fusion: Fusion = "mean"
    folds: int | None = None
    resamples: int = 0
    cxc: Path | None = None
    eccv: bool = False
    pmrp: Path | None = None
    precision: bool = False
    normalise: float | None = None
    top: bool = False
    lists: bool = False

    def prepare(self, split: CaptionedImages, models: int) -> Truths:
        """Read what the protocols need, and say what is wrong before anything is embedded.

        Args:
            split: the items.
            models: how many are evaluated as one.

        Raises:
            ConfigError: if a value is out of its range or two do not go together.
            DataError: if the files of CxC or PMRP cannot be read, or do not fit the split.
            MissingExtraError: if ECCV Caption's package is needed and missing.
        """
        check_ties(self.ties)
        if self.resamples < 0:
            raise ConfigError(f"resamples is {self.resamples}; give 0 for none, or some thousand.")
        if self.normalise is not None:
            check_sharpness(self.normalise)
        if self.folds is not None:
            fold_size(len(split.image_ids), self.folds)
        if self.fusion == "rank" and models > 1:
            asked = {
                "folds": self.folds is not None,
                "CxC": self.cxc is not None,
                "ECCV Caption": self.eccv,
                "PMRP": self.pmrp is not None,
                "mAP@R": self.precision,
                "normalised scores": self.normalise is not None,
                "a report": self.top,
                "runs and lists": self.lists,
            }
            for name, wanted in asked.items():
                if wanted:
                    raise ConfigError(
                        f"rank fusion has no scores for {name}; use the fusion by mean."
                    )
        if self.ties == "expected" and (self.eccv or self.pmrp is not None or self.precision):
            raise ConfigError(
                "ECCV Caption, PMRP and mAP@R rank every right answer, which has no expected "
                "place; use pessimistic ties."
            )
        if self.ties == "expected" and self.lists:
            raise ConfigError("runs and lists have no order of ties to expect; use pessimistic.")
        eccv = labels = cxc = None
        if self.eccv:
            rows_by_id(split.coco_ids, "images")
            rows_by_id(split.caption_ids, "captions")
            eccv = EccvGroundTruth.load()
        if self.pmrp is not None:
            labels = read_object_labels(self.pmrp, list(rows_by_id(split.coco_ids, "images")))
        if self.cxc is not None:
            cxc = read_cxc(
                self.cxc, split.split, split.coco_ids, split.caption_ids, split.caption_image
            )
        return Truths(cxc, eccv, labels)


def evaluate_sources(
    sources: Sequence[Source],
    split: CaptionedImages,
    request: Request,
    truths: Truths | None = None,
    command: str = "",
    notes: Sequence[str] = (),
) -> EvaluationResult:
    """Measure one model, or several as one.

    Args:
        sources: scores of the split's items.
        split: the items.
        request: what to measure.
        truths: of `Request.prepare`, which is called where it is not given.
        command: for the record.
        notes: what is to be said of the items.

    Raises:
        UserItrError: as `Request.prepare`, or if the scores do not fit the split.
    """
    if truths is None:
        truths = request.prepare(split, len(sources))
    relevance = Relevance.from_caption_image(split.caption_image, len(split.image_ids))
    by_rank = request.fusion == "rank" and len(sources) > 1
    parts = [source.scores for source in sources]
    scores = mean_scores(parts)
    asked = _Asked.of(scores, split, truths)
    if by_rank:
        ranks, shared = fused_ranks(parts, relevance), []
    else:
        ranks, *shared = cross_modal_ranks_by(scores, [relevance, *asked.relevances])
    ks, ties = request.ks, request.ties
    intervals = folded = top = None
    if request.resamples:
        intervals = recall_intervals(
            ranks, split.caption_image, ks, ties=ties, resamples=request.resamples
        )
    if request.folds is not None:
        folded = evaluate_folds(scores, relevance, request.folds, ks, ties=ties)
    if request.top:
        top = TopLists(top_candidates(scores, TOP)[0], top_candidates(scores.transpose(), TOP)[0])
    metrics = CrossModalMetrics.of(ranks, ks, ties)
    found = [*notes, *dict.fromkeys(note for source in sources for note in source.notes)]
    without = int((relevance.counts == 0).sum())
    if without:
        found.append(
            f"{without:,} of {len(split.image_ids):,} images have no caption: they are no queries "
            "and stay candidates"
        )
    if not by_rank and not all(source.ordered for source in sources):
        misorder = order_note(scores, split, ranks, metrics, relevance)
        found += [misorder] if misorder else []
    return EvaluationResult(
        split=split,
        models=tuple(source.scored_by for source in sources),
        fusion=request.fusion if len(sources) > 1 else None,
        ranks=ranks,
        metrics=metrics,
        intervals=intervals,
        folded=folded,
        protocols=_protocols(sources, scores, split, request, truths, asked.given(shared)),
        top=top,
        command=command,
        notes=tuple(found),
    )


@dataclass(frozen=True)
class _Asked:
    """Further ground truths of the same scores, which one pass over them ranks by.

    Args:
        relevances: CxC's, then ECCV Caption's two, where they are asked.
        cxc: whether CxC's is among them.
        eccv: items of ECCV Caption; None where it is not asked.
    """

    relevances: list[Relevance]
    cxc: bool
    eccv: EccvItems | None

    @classmethod
    def of(cls, scores: Scores, split: CaptionedImages, truths: Truths) -> _Asked:
        relevances, eccv = [], None
        if truths.cxc is not None:
            relevances.append(truths.cxc.i2t)
        if truths.eccv is not None:
            eccv = EccvItems.of(truths.eccv, scores, split.coco_ids, split.caption_ids)
            if eccv.scores is scores:
                relevances += [eccv.coco, eccv.cxc]
        return cls(relevances, truths.cxc is not None, eccv)

    def given(self, shared: Sequence[CrossModalRanks]) -> _Given:
        """Which ranks are whose."""
        both = shared[0] if self.cxc and shared else None
        return _Given(both, self.eccv, shared[int(self.cxc) :] or None)


@dataclass(frozen=True)
class _Given:
    """What the pass over the scores has found for the protocols."""

    cxc: CrossModalRanks | None
    eccv_items: EccvItems | None
    eccv: Sequence[CrossModalRanks] | None


def _protocols(
    sources: Sequence[Source],
    scores: Scores,
    split: CaptionedImages,
    request: Request,
    truths: Truths,
    given: _Given,
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    ks, ties = request.ks, request.ties
    relevance = Relevance.from_caption_image(split.caption_image, len(split.image_ids))
    if request.normalise is not None:
        ranks = cross_modal_ranks(NormalisedScores(scores, request.normalise), relevance)
        recalls = CrossModalMetrics.of(ranks, ks, ties).to_dict()
        found["normalised"] = {"sharpness": request.normalise, **recalls}
    if truths.cxc is not None:
        captions = [source.captions for source in sources if source.captions is not None]
        images = [source.images for source in sources if source.images is not None]
        whole = len(captions) == len(sources)
        found["cxc"] = cxc_metrics(
            truths.cxc,
            scores,
            mean_scores(captions) if whole else None,
            mean_scores(images) if whole else None,
            ks,
            ties=ties,
            both=given.cxc,
        ).to_dict()
    if ties == "expected":  # `Request.prepare` has refused the others
        return found
    if truths.eccv is not None:
        found["eccv"] = eccv_metrics(
            scores,
            split.coco_ids,
            split.caption_ids,
            ks,
            truth=truths.eccv,
            ties=ties,
            items=given.eccv_items,
            ranks=given.eccv,
        ).to_dict()
    if truths.labels is not None:
        found["pmrp"] = plausible_match_metrics(
            scores, split.caption_image, truths.labels, ties=ties
        ).to_dict()
    if request.precision:
        sides = {
            "i2t": (scores, relevance),
            "t2i": (scores.transpose(), relevance.transpose()),
        }
        found["precision"] = {
            way: PrecisionMetrics.of(Placement.of(positive_ranks(*side), ties)).to_dict()
            for way, side in sides.items()
        }
    return found
