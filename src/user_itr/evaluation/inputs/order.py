"""Whether rows stand in the order of the items: recall at chance level says that they do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from user_itr.data.captions import CaptionedImages
from user_itr.evaluation.cross_modal import CrossModalRanks, cross_modal_ranks_by
from user_itr.evaluation.metrics import CrossModalMetrics
from user_itr.evaluation.ranks import BestRanks
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.scores import Scores

_DEVIATIONS = 4.0


@dataclass(frozen=True)
class Chance:
    """What random scores would give.

    Args:
        rsum: the expected sum of recalls, in percent.
        deviation: of that, in the same unit; captions of one image count as one trial.
    """

    rsum: float
    deviation: float

    @property
    def bound(self) -> float:
        """An rsum that chance hardly reaches."""
        return self.rsum + _DEVIATIONS * self.deviation


def chance(relevance: Relevance, ks: Sequence[int]) -> Chance:
    """Expected rsum of random scores: of R right among C, K hit with 1 - C(C - R, K) / C(C, K).

    Args:
        relevance: of images to captions.
        ks: the cut-offs that are summed.
    """
    total = variance = 0.0
    trials = int((relevance.counts > 0).sum())
    for side in (relevance, relevance.transpose()):
        counts, times = np.unique(side.counts[side.counts > 0], return_counts=True)
        for k in sorted(set(ks)):
            misses = np.ones(len(counts))
            for place in range(min(k, side.candidates)):
                left = side.candidates - place
                misses *= np.maximum(left - counts, 0) / left
            share = float((times * (1 - misses)).sum() / times.sum())
            total += 100 * share
            variance += (100 * len(set(ks))) ** 2 * share * (1 - share) / (trials * len(set(ks)))
    return Chance(total, float(np.sqrt(variance)))


def reorderings(items: CaptionedImages) -> dict[str, Relevance]:
    """What would be right if rows stood in other usual orders: images to captions, by its name."""
    images, owner = len(items.image_ids), items.caption_image
    captions = len(owner)
    number = np.empty(captions, np.int64)
    for rows in items.captions_by_image():
        number[rows] = np.arange(len(rows))
    sides = {"": np.arange(images), "images by name": np.argsort(np.array(items.image_ids))}
    if items.coco_ids is not None:
        sides["images by their number in MSCOCO"] = np.argsort(np.array(items.coco_ids))
    found: dict[str, Relevance] = {}
    seen = {(tuple(range(images)), tuple(range(captions)))}
    for name, order in sides.items():
        place = np.empty(images, np.int64)
        place[order] = np.arange(images)
        orders = {
            "": np.arange(captions),
            "captions grouped by image": np.lexsort((number, place[owner])),
            "the first captions of all images, then the second ones": np.lexsort(
                (place[owner], number)
            ),
        }
        if items.caption_ids is not None:
            orders["captions by their number, the order of annotation"] = np.argsort(
                np.array(items.caption_ids), kind="stable"
            )
        for other, rows in orders.items():
            key = (tuple(order.tolist()), tuple(rows.tolist()))
            label = ", ".join(part for part in (name, other) if part)
            if label and key not in seen:
                seen.add(key)
                found[label] = Relevance.from_caption_image(place[owner[rows]], images)
    if images == captions:
        found["a transposed matrix (--transposed)"] = Relevance.from_pairs(
            np.arange(captions), owner, captions, images
        )
    return found


def order_note(
    scores: Scores,
    items: CaptionedImages,
    ranks: CrossModalRanks,
    metrics: CrossModalMetrics,
    relevance: Relevance,
) -> str | None:
    """A sentence where recall is at chance level, with the orders that would do better; else None.

    Args:
        scores: (N, M), rows in an order that nothing vouches for.
        items: N images and M captions.
        ranks: by the order of the items.
        metrics: of these ranks.
        relevance: of the items.
    """
    ks = list(metrics.i2t.recall)
    expected = chance(relevance, ks)
    most = 200.0 * len(ks)
    if metrics.rsum > expected.bound or expected.rsum > most / 2 or _ties(ranks):
        return None
    others = reorderings(items)
    found = cross_modal_ranks_by(scores, list(others.values()))
    rsums = {
        name: CrossModalMetrics.of(one, ks, metrics.ties).rsum
        for name, one in zip(others, found, strict=True)
    }
    better = sorted(
        (name for name in rsums if rsums[name] > max(expected.bound, 2 * metrics.rsum)),
        key=lambda name: (-rsums[name], len(name)),
    )
    better = [  # what is added to an order that does as well says nothing
        name for at, name in enumerate(better) if not any(one in name for one in better[:at])
    ]
    note = (
        f"rsum {metrics.rsum:.1f} is at chance level ({expected.rsum:.1f}), so rows are likely in "
        "another order than the items"
    )
    if better:
        helps = "; ".join(f"{name}: rsum {rsums[name]:.1f}" for name in better[:3])
        note += f". What would help: {helps}"
    else:
        note += ", or the model has learnt nothing; none of the usual orders does better"
    return f"{note}. Put ids beside the rows, or see `user-itr data order SET`"


def _ties(ranks: CrossModalRanks) -> bool:
    """Whether most queries tie with everything, so that no order can help."""

    def tied(side: BestRanks) -> bool:
        return bool(np.median(side.tied) >= (side.candidates - 1) / 2)

    return tied(ranks.i2t) and tied(ranks.t2i)


def rows_in_order(items: CaptionedImages) -> dict[str, list[str]]:
    """The ids of images and of captions in the order that rows must have, as files may name them.

    Returns:
        "images": the image ids; "captions": their numbers in the source, or else "image#k".
    """
    from user_itr.evaluation.inputs.ids import caption_keys

    return {"images": list(items.image_ids), "captions": list(caption_keys(items)[0])}
