"""Paired tests between two models that answered the same queries.

Two questions are asked. How much better is one model on images of this kind? The paired bootstrap
over images says that, with an interval. Does it win more queries than it loses? McNemar's exact
test says that: of the queries that only one of the models answers, each is won with probability
1/2 if the models are equally good. Over ranks in place of hits it is the sign test. Both of these
take queries for independent, which the five captions of an image are not, so in t2i their p-values
are too small; the bootstrap draws whole images and has no such flaw.

Sources: McNemar, Psychometrika 1947; Dietterich, "Approximate Statistical Tests for Comparing
Supervised Classification Learning Algorithms", Neural Computation 1998; and those of `bootstrap`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from user_itr.errors import DataError
from user_itr.evaluation.bootstrap import (
    RESAMPLES,
    Answers,
    CrossModalAnswers,
    Difference,
    paired_bootstrap,
)
from user_itr.evaluation.cross_modal import CrossModalRanks
from user_itr.evaluation.metrics import DEFAULT_KS
from user_itr.evaluation.ranks import TieRule


@dataclass(frozen=True, slots=True)
class SignTest:
    """Queries won and lost, and the exact two-sided p-value of as many of each.

    Args:
        wins: queries where the model does better than the reference.
        losses: where it does worse.
        p_value: 1 where there are neither.
    """

    wins: int
    losses: int
    p_value: float

    @classmethod
    def of(cls, better: np.ndarray, worse: np.ndarray) -> SignTest:
        """Count two (Q,) bool arrays."""
        wins, losses = int(better.sum()), int(worse.sum())
        return cls(wins, losses, sign_test(wins, losses))


def sign_test(wins: int, losses: int) -> float:
    """P(wins as uneven as these or more) for wins ~ Binomial(wins + losses, 1/2), two-sided.

    min(1, 2 sum_{i <= min(wins, losses)} C(n, i) / 2^n), in whole numbers up to the division.
    """
    n = wins + losses
    term = tail = 1
    for i in range(min(wins, losses)):
        term = term * (n - i) // (i + 1)
        tail += term
    p_value: float = 2 * tail / 2**n
    return min(1.0, p_value)


@dataclass(frozen=True, slots=True)
class DirectionComparison:
    """One direction: the model less the reference.

    Args:
        recall: difference of R@K in percent points by K, by the paired bootstrap.
        hits: McNemar's test by K.
        ranks: sign test over ranks; a lower rank wins.
        queries: number of queries compared.
    """

    recall: Mapping[int, Difference]
    hits: Mapping[int, SignTest]
    ranks: SignTest
    queries: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON: by "R@K" difference and wins; "ranks"; "queries"."""
        return {
            **{
                f"R@{k}": {**asdict(difference), "mcnemar": asdict(self.hits[k])}
                for k, difference in self.recall.items()
            },
            "ranks": asdict(self.ranks),
            "queries": self.queries,
        }


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Both directions.

    Args:
        i2t: images as queries.
        t2i: captions as queries.
        rsum: difference of rsum, by the paired bootstrap.
    """

    i2t: DirectionComparison
    t2i: DirectionComparison
    rsum: Difference

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: "i2t", "t2i", "rsum"."""
        return {
            "i2t": self.i2t.to_dict(),
            "t2i": self.t2i.to_dict(),
            "rsum": asdict(self.rsum),
        }


def compare_ranks(
    model: CrossModalRanks,
    reference: CrossModalRanks,
    caption_image: np.ndarray,
    ks: Sequence[int] = DEFAULT_KS,
    *,
    ties: TieRule = "pessimistic",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedComparison:
    """Compare two models by their ranks of the same queries; arguments as `recall_intervals`.

    Raises:
        DataError: if the models answered other queries.
    """
    answers = [CrossModalAnswers.of(one, caption_image, ks, ties) for one in (model, reference)]
    for one, other in ((model.i2t, reference.i2t), (model.t2i, reference.t2i)):
        if not np.array_equal(one.queries, other.queries):
            raise DataError(
                f"the models answered {len(one.queries)} and {len(other.queries)} queries that "
                "are not the same; compare them on one split."
            )
    return compare_answers(answers[0], answers[1], resamples=resamples, seed=seed)


def compare_answers(
    model: CrossModalAnswers,
    reference: CrossModalAnswers,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedComparison:
    """Compare two models by their answers, query by query in the same order and at the same K.

    Args:
        model: of the model.
        reference: of the one it is compared with.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        DataError: if the queries, their images or the cut-offs differ.
    """
    pairs = ((model.i2t, reference.i2t), (model.t2i, reference.t2i))
    for one, other in pairs:
        if not np.array_equal(one.image, other.image) or list(one.hits) != list(other.hits):
            raise DataError(
                "the models answered other queries, or at other K; compare them on one split."
            )
    differences = paired_bootstrap(
        [model.by_image()], [reference.by_image()], resamples=resamples, seed=seed
    )
    count = len(model.i2t.hits)
    sides = (differences[:count], differences[count:-1])
    i2t, t2i = (_compare(one, other, side) for (one, other), side in zip(pairs, sides, strict=True))
    return PairedComparison(i2t, t2i, differences[-1])


def _compare(
    one: Answers, other: Answers, differences: Sequence[Difference]
) -> DirectionComparison:
    return DirectionComparison(
        recall=dict(zip(one.hits, differences, strict=True)),
        hits={
            k: SignTest.of(hits > other.hits[k], hits < other.hits[k])
            for k, hits in one.hits.items()
        },
        ranks=SignTest.of(one.rank < other.rank, one.rank > other.rank),
        queries=len(one.rank),
    )
