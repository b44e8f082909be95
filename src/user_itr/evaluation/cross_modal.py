"""Ranks of both directions, for whoever needs them query by query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from user_itr.evaluation.ranks import BestRanks, best_ranks_both
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import Scores


@dataclass(frozen=True, slots=True)
class CrossModalRanks:
    """The best-placed right candidate of every query, both ways.

    Args:
        i2t: of images that have a right caption.
        t2i: of captions that have a right image.
    """

    i2t: BestRanks
    t2i: BestRanks


def cross_modal_ranks(scores: Scores, relevance: Relevance) -> CrossModalRanks:
    """Rank both directions in one pass; an item without a right one stays a candidate.

    Args:
        scores: (N, M), images in rows, captions in columns.
        relevance: the captions that are right for each image.

    Raises:
        DataError: if scores and relevance are of other numbers of items.
    """
    [found] = cross_modal_ranks_by(scores, [relevance])
    return found


def cross_modal_ranks_by(scores: Scores, relevances: Sequence[Relevance]) -> list[CrossModalRanks]:
    """`cross_modal_ranks` by each of some ground truths, all in one pass over the scores.

    Raises:
        DataError: as `cross_modal_ranks`.
    """
    distinct: list[Relevance] = []
    which = []
    for relevance in relevances:
        same = [place for place, one in enumerate(distinct) if one.equals(relevance)]
        which.append(same[0] if same else len(distinct))
        if not same:
            distinct.append(relevance)
    found = [CrossModalRanks(*both) for both in best_ranks_both(scores, distinct)]
    return [found[place] for place in which]
