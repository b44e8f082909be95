"""One evaluation in memory: what was scored, every query's rank, and the figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from user_itr.data.captions import CaptionedImages
from user_itr.evaluation.cross_modal import CrossModalRanks
from user_itr.evaluation.folds import FoldedMetrics
from user_itr.evaluation.intervals import CrossModalIntervals
from user_itr.evaluation.metrics import CrossModalMetrics

Fusion = Literal["mean", "rank"]
"""How several models are one: by mean similarity, or by reciprocal rank fusion."""


@dataclass(frozen=True)
class ScoredBy:
    """A model, or files that somebody's model wrote.

    Args:
        name: for people.
        kind: where its scores come from.
        sha256: of the checkpoint's weights or of the files: one evaluation's proof of identity.
        settings: of the training, for a checkpoint.
    """

    name: str
    kind: Literal["checkpoint", "embeddings", "similarity"]
    sha256: str
    settings: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class TopLists:
    """The first K candidates of every query, best first.

    Args:
        i2t: (N, K) int64 caption rows of each image.
        t2i: (M, K) int64 image rows of each caption.
    """

    i2t: np.ndarray
    t2i: np.ndarray


@dataclass(frozen=True)
class EvaluationResult:
    """One or more models on a split.

    Args:
        split: the items, N images and M captions.
        models: what scored them.
        fusion: how several models were made one; None with one.
        ranks: of every query, both ways.
        metrics: summary of the ranks, with the tie rule and the cut-offs.
        intervals: the same with 95 % intervals; None where none were asked for.
        folded: over folds of the split, where it was cut into some.
        protocols: documents of further protocols by name ("cxc", "eccv").
        top: the first candidates of each query, where they were asked for.
        command: the command line that asked for it.
        notes: what was recognised in the inputs, or is suspicious, a sentence each.
    """

    split: CaptionedImages
    models: tuple[ScoredBy, ...]
    fusion: Fusion | None
    ranks: CrossModalRanks
    metrics: CrossModalMetrics
    intervals: CrossModalIntervals | None = None
    folded: FoldedMetrics | None = None
    protocols: Mapping[str, Any] = field(default_factory=dict)
    top: TopLists | None = None
    command: str = ""
    notes: tuple[str, ...] = ()

    @cached_property
    def title(self) -> str:
        """For people: "flickr8k, dev"."""
        return f"{self.split.name}, {self.split.split}"
