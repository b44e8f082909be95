"""Crisscrossed Captions (CxC): retrieval with the pairs that people rated as similar.

People rated pairs of MSCOCO's Karpathy val and test images and captions from 0 to 5: captions with
images (SITS), images with images (SIS), captions with captions (STS). The protocol retrieves in
four directions, where right are

    i2t, t2i  the pairs of MSCOCO, and those rated 3 or more
    t2t       captions of the same image, and those rated 3 or more
    i2i       images rated 2.5 or more

A rating holds both ways; where a pair was rated twice, its higher one counts. In t2t and i2i the
query itself is no candidate, and an item without a right one is no query.

The ratings themselves are compared with the scores by rank correlation (`similarity`).

Source: Parekh et al., "Crisscrossed Captions: Extended Intramodal and Intermodal Semantic
Similarity Judgments for MS-COCO", EACL 2021; the thresholds are those of its section 3.
Files: github.com/google-research-datasets/Crisscrossed-Captions, folder `data`.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from user_itr.data.readers.set_builder import match_split
from user_itr.data.readers.text import read_text
from user_itr.errors import DataError
from user_itr.evaluation.cross_modal import CrossModalRanks, cross_modal_ranks
from user_itr.evaluation.metrics import DEFAULT_KS, RetrievalMetrics
from user_itr.evaluation.protocols.ids import rows_by_id
from user_itr.evaluation.protocols.similarity import Correlation, RatedPairs, sampled_correlation
from user_itr.evaluation.ranks import TieRule, best_ranks
from user_itr.evaluation.relevance import Relevance, as_caption_image
from user_itr.evaluation.scores import Scores

DIRECTIONS = ("i2t", "t2i", "t2t", "i2i")

_SCORE = "agg_score"


@dataclass(frozen=True, slots=True)
class _Task:
    """One of the three kinds of pairs: its columns, and from which rating on a pair is right."""

    columns: tuple[str, str]
    threshold: float


_TASKS = {
    "sits": _Task(("caption", "image"), 3.0),
    "sis": _Task(("image1", "image2"), 2.5),
    "sts": _Task(("caption1", "caption2"), 3.0),
}


@dataclass(frozen=True, slots=True)
class CxcGroundTruth:
    """What is right for N images and M captions.

    Args:
        i2t: (N, M); t2i is its transpose.
        t2t: (M, M), symmetric, nothing with itself.
        i2i: (N, N), the same.
        rated: all pairs with their ratings, by "sits", "sis" and "sts".
    """

    i2t: Relevance
    t2t: Relevance
    i2i: Relevance
    rated: Mapping[str, RatedPairs]


@dataclass(frozen=True, slots=True)
class CxcMetrics:
    """What was evaluated.

    Args:
        directions: retrieval, by its name in `DIRECTIONS`.
        correlations: with people's ratings, by "sits", "sis" and "sts", where scores differ.
        rated_twice: pairs of images that were rated twice, and those of them that one rating makes
            right and the other wrong.
    """

    directions: Mapping[str, RetrievalMetrics]
    correlations: Mapping[str, Correlation]
    rated_twice: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: `RetrievalMetrics.to_dict` by direction, `Correlation.to_dict` by task."""
        found: dict[str, Any] = {name: one.to_dict() for name, one in self.directions.items()}
        found.update({name: one.to_dict() for name, one in self.correlations.items()})
        pairs, open_ = self.rated_twice
        found["i2i_pairs"] = {"rated_twice": pairs, "on_both_sides_of_the_threshold": open_}
        return found


def read_cxc(
    folder: Path,
    split: str,
    coco_ids: Sequence[int] | None,
    caption_ids: Sequence[int] | None,
    caption_image: np.ndarray,
) -> CxcGroundTruth:
    """Read `sits_*.csv`, `sis_*.csv` and `sts_*.csv` of a split.

    Args:
        folder: where the files are.
        split: "val" (or "dev") or "test" (or "testall").
        coco_ids: N images by their MSCOCO id.
        caption_ids: M captions by their MSCOCO id, the `sentid` of Karpathy's file.
        caption_image: (M,) int, the image that each caption was written for.

    Raises:
        DataError: if a file is missing or malformed (with file, line and column), rates no pair
            of these items, or the items have no ids.
    """
    rows = {
        "image": rows_by_id(coco_ids, "images"),
        "caption": rows_by_id(caption_ids, "captions"),
    }
    images, captions = len(rows["image"]), len(rows["caption"])
    found = {path.stem.removeprefix("sits_") for path in folder.glob("sits_*.csv")}
    available = sorted(name for name in found if not name.endswith("_raw"))
    if not available:
        raise DataError(f"{folder}: no sits_val.csv or sits_test.csv; give CxC's folder `data`.")
    split = match_split(folder, "test" if split == "testall" else split, available)  # SCAN's name
    rated = {
        task: _read_pairs(folder / f"{task}_{split}.csv", _TASKS[task], rows) for task in _TASKS
    }
    owner = as_caption_image(caption_image)
    written = Relevance.from_caption_image(owner, images)
    rated_captions, rated_images = _right(rated["sits"], "sits")
    return CxcGroundTruth(
        i2t=Relevance.from_pairs(
            np.append(owner, rated_images),
            np.append(np.arange(captions), rated_captions),
            images,
            captions,
        ),
        t2t=_symmetric(*_siblings(written, owner), *_right(rated["sts"], "sts"), captions),
        i2i=_symmetric(*_right(rated["sis"], "sis"), *_right(rated["sis"], "sis"), images),
        rated=rated,
    )


def _right(rated: RatedPairs, task: str) -> tuple[np.ndarray, np.ndarray]:
    kept = rated.ratings >= _TASKS[task].threshold
    return rated.first[kept], rated.second[kept]


def cxc_metrics(
    truth: CxcGroundTruth,
    scores: Scores,
    captions: Scores | None = None,
    images: Scores | None = None,
    ks: Sequence[int] = DEFAULT_KS,
    *,
    ties: TieRule = "pessimistic",
    both: CrossModalRanks | None = None,
) -> CxcMetrics:
    """Evaluate the directions that there are scores for.

    Args:
        truth: of N images and M captions.
        scores: (N, M), images against captions.
        captions: (M, M), captions against captions, for t2t.
        images: (N, N), images against images, for i2i.
        ks: cut-offs of recall.
        ties: the tie rule.
        both: of `scores` by `truth.i2t`, where they are known.

    Raises:
        DataError: if scores are of other items, or a direction has no right pair.
    """
    both = both or cross_modal_ranks(scores, truth.i2t)
    ranks = {"i2t": both.i2t, "t2i": both.t2i}
    for name, same, relevance in (("t2t", captions, truth.t2t), ("i2i", images, truth.i2i)):
        if same is not None:
            ranks[name] = best_ranks(same, relevance, exclude_self=True)
    correlations = {}
    for task, side in (("sits", scores.transpose()), ("sis", images), ("sts", captions)):
        rated = truth.rated[task]
        if side is not None:
            found = sampled_correlation(rated, side.pairs(rated.first, rated.second))
            if found is not None:
                correlations[task] = found
    return CxcMetrics(
        {name: RetrievalMetrics.of(best, ks, ties) for name, best in ranks.items()},
        correlations,
        truth.rated["sis"].rated_twice(_TASKS["sis"].threshold, same_side=True),
    )


def _siblings(written: Relevance, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every caption with every caption of its image, itself too: two arrays of rows."""
    counts = written.counts[owner]
    first = np.repeat(np.arange(len(owner)), counts)
    number = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    return first, written.indices[written.offsets[owner[first]] + number]


def _symmetric(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, items: int) -> Relevance:
    """Pairs (a, b) and (c, d), both ways."""
    queries, positives = np.concatenate([a, b, c, d]), np.concatenate([b, a, d, c])
    return Relevance.from_pairs(queries, positives, items, items).without_self()


def _read_pairs(file: Path, task: _Task, rows: Mapping[str, Mapping[int, int]]) -> RatedPairs:
    """The pairs of a file; those of other items are passed over."""
    text = read_text(file)
    reader = csv.reader(io.StringIO(text, newline=""))
    header = next(_lines(reader, file), [])
    wanted = (*task.columns, _SCORE)
    missing = [name for name in wanted if name not in header]
    if missing:
        raise DataError(
            f"{file}: line 1: no column {missing[0]!r}; give CxC's own file, "
            f"with the columns {', '.join(wanted)}."
        )
    sides = {name: rows[name.rstrip("12")] for name in task.columns}
    memory: list[dict[str, float | None]] = [{} for _ in wanted]  # texts come again and again
    columns = [
        (name, header.index(name), _PARSERS[name.rstrip("12")], known)
        for name, known in zip(wanted, memory, strict=True)
    ]
    first, second, ratings = [], [], []
    for line in _lines(reader, file):
        if not line:
            continue
        where = f"{file}: line {reader.line_num}"
        if len(line) != len(header):
            raise DataError(
                f"{where}: {len(line)} columns under a header of {len(header)}; "
                "the file is damaged, get it again."
            )
        pair, rating = [], 0.0
        for name, place, parse, known in columns:
            text = line[place]
            if text not in known:
                value = parse(text)
                if value is None:
                    raise DataError(f"{where}, column {name!r}: {text!r} is no {_MEANINGS[parse]}.")
                known[text] = value if parse is _rating else sides[name].get(int(value))
            found = known[text]
            if parse is _rating:
                rating = found or 0.0
            else:
                pair.append(found)
        if None not in pair:
            first.append(pair[0])
            second.append(pair[1])
            ratings.append(rating)
    if not ratings:
        raise DataError(
            f"{file}: rates no pair of this split's items; give the file of the split that is "
            "evaluated, and the split with its MSCOCO ids."
        )
    return RatedPairs(np.array(first, np.int64), np.array(second, np.int64), np.array(ratings))


def _lines(reader: Any, file: Path) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(
            f"{file}: line {reader.line_num}: {error}; the file is damaged, get it again."
        ) from None


def _image_id(text: str) -> int | None:
    """391895 of "COCO_val2014_000000391895.jpg"."""
    return _number(text.removesuffix(".jpg").rpartition("_")[2])


def _caption_id(text: str) -> int | None:
    """770337 of "COCO_val2014:sentid:770337"."""
    return _number(text.rpartition(":")[2])


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def _rating(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value <= 5 else None


_PARSERS: dict[str, Callable[[str], float | None]] = {
    "image": _image_id,
    "caption": _caption_id,
    _SCORE: _rating,
}

_MEANINGS: dict[Callable[[str], float | None], str] = {
    _image_id: "MSCOCO image file such as COCO_val2014_000000391895.jpg",
    _caption_id: "caption such as COCO_val2014:sentid:770337",
    _rating: "rating from 0 to 5",
}
