"""From scored splits to one result: the figures that were asked for, each computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from user_itr.data.captions import CaptionedImages
from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.cross_modal import cross_modal_ranks
from user_itr.evaluation.folds import evaluate_folds, fold_size
from user_itr.evaluation.fusion import fused_ranks
from user_itr.evaluation.intervals import recall_intervals
from user_itr.evaluation.metrics import DEFAULT_KS, CrossModalMetrics
from user_itr.evaluation.positive_ranks import positive_ranks
from user_itr.evaluation.precision import Placement, PrecisionMetrics
from user_itr.evaluation.protocols.ids import rows_by_id
from user_itr.evaluation.ranks import TieRule, check_ties
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.result import EvaluationResult, Fusion, TopLists
from user_itr.evaluation.scores import Scores, mean_scores
from user_itr.evaluation.sources import Source
from user_itr.evaluation.top import top_candidates

TOP = 10
"""Candidates kept of each query, where a report shows them."""


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
        top: whether to keep the first candidates of each query.
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
    top: bool = False

    def check(self, split: CaptionedImages, models: int) -> None:
        """Raise what can be known to be wrong before anything is embedded.

        Raises:
            ConfigError: if a value is out of its range or two do not go together.
            DataError: if the files of CxC do not fit the split.
            MissingExtraError: if ECCV Caption's package is needed and missing.
        """
        check_ties(self.ties)
        if self.resamples < 0:
            raise ConfigError(f"resamples is {self.resamples}; give 0 for none, or some thousand.")
        if self.folds is not None:
            fold_size(len(split.image_ids), self.folds)
        if self.fusion == "rank" and models > 1:
            asked = {
                "folds": self.folds is not None,
                "CxC": self.cxc is not None,
                "ECCV Caption": self.eccv,
                "PMRP": self.pmrp is not None,
                "mAP@R": self.precision,
                "a report": self.top,
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
        if self.eccv:
            from user_itr.evaluation.protocols.eccv import EccvGroundTruth

            rows_by_id(split.coco_ids, "images")
            rows_by_id(split.caption_ids, "captions")
            EccvGroundTruth.load()
        if self.pmrp is not None:
            rows_by_id(split.coco_ids, "images")
            if not self.pmrp.is_file():
                raise DataError(f"{self.pmrp}: no such file; give an MSCOCO instances_*.json.")
        if self.cxc is not None:
            _cxc_truth(self.cxc, split)


def evaluate_sources(
    sources: Sequence[Source], split: CaptionedImages, request: Request, command: str = ""
) -> EvaluationResult:
    """Measure one model, or several as one.

    Args:
        sources: scores of the split's items.
        split: the items.
        request: what to measure; `Request.check` has passed.
        command: for the record.

    Raises:
        ConfigError: as `Request.check`.
        DataError: if the scores do not fit the split.
    """
    relevance = Relevance.from_caption_image(split.caption_image, len(split.image_ids))
    by_rank = request.fusion == "rank" and len(sources) > 1
    parts = [source.scores for source in sources]
    scores = mean_scores(parts)
    ranks = fused_ranks(parts, relevance) if by_rank else cross_modal_ranks(scores, relevance)
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
    return EvaluationResult(
        split=split,
        models=tuple(source.scored_by for source in sources),
        fusion=request.fusion if len(sources) > 1 else None,
        ranks=ranks,
        metrics=CrossModalMetrics.of(ranks, ks, ties),
        intervals=intervals,
        folded=folded,
        protocols=_protocols(sources, scores, split, request),
        top=top,
        command=command,
    )


def _cxc_truth(folder: Path, split: CaptionedImages) -> Any:
    from user_itr.evaluation.protocols.cxc import read_cxc

    return read_cxc(folder, split.split, split.coco_ids, split.caption_ids, split.caption_image)


def _protocols(
    sources: Sequence[Source], scores: Scores, split: CaptionedImages, request: Request
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if request.cxc is not None:
        from user_itr.evaluation.protocols.cxc import cxc_metrics

        truth = _cxc_truth(request.cxc, split)
        captions = [source.captions for source in sources if source.captions is not None]
        images = [source.images for source in sources if source.images is not None]
        whole = len(captions) == len(sources)
        found["cxc"] = cxc_metrics(
            truth,
            scores,
            mean_scores(captions) if whole else None,
            mean_scores(images) if whole else None,
            request.ks,
            ties=request.ties,
        ).to_dict()
    if request.ties == "expected":
        return found
    if request.eccv:
        from user_itr.evaluation.protocols.eccv import eccv_metrics

        found["eccv"] = eccv_metrics(
            scores, split.coco_ids, split.caption_ids, request.ks, ties=request.ties
        ).to_dict()
    if request.pmrp is not None:
        from user_itr.evaluation.protocols.plausible import (
            plausible_match_metrics,
            read_object_labels,
        )

        labels = read_object_labels(request.pmrp, split.coco_ids or ())
        found["pmrp"] = plausible_match_metrics(
            scores, split.caption_image, labels, ties=request.ties
        ).to_dict()
    if request.precision:
        relevance = Relevance.from_caption_image(split.caption_image, len(split.image_ids))
        sides = {
            "i2t": (scores, relevance),
            "t2i": (scores.transpose(), relevance.transpose()),
        }
        found["precision"] = {
            way: PrecisionMetrics.of(Placement.of(positive_ranks(*side), request.ties)).to_dict()
            for way, side in sides.items()
        }
    return found
