"""Results in the formats of other tools: TREC runs and qrels, lists as JSON lines, CSV a query.

ranx and pytrec_eval read the runs and qrels; `eccv_caption.Metrics` takes the lists. Candidates of
one score stand by the tie rule of the evaluation, and the scores of a run fall strictly in float32,
to which trec_eval rounds them, so that every tool sees the same ranking.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from user_itr.evaluation.document import replace_text
from user_itr.evaluation.inputs.ids import caption_keys, image_keys
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.result import EvaluationResult
from user_itr.evaluation.scores import Scores
from user_itr.evaluation.top import top_candidates

DEPTH = 100
"""Candidates of each query in runs and lists, unless asked otherwise."""

Way = Literal["i2t", "t2i"]


@dataclass(frozen=True)
class Lists:
    """The first candidates of every query of one direction.

    Args:
        way: the direction.
        queries: Q ids.
        candidates: C ids.
        rows: (Q, K) int64 candidate rows, best first.
        scores: (Q, K) float64, exact.
        relevance: of queries to candidates.
    """

    way: Way
    queries: list[str]
    candidates: list[str]
    rows: np.ndarray
    scores: np.ndarray
    relevance: Relevance


def ids_of_items(result: EvaluationResult) -> tuple[list[str], list[str]]:
    """Ids of images and captions: MSCOCO's numbers where they are known, else names, "image#k"."""
    return list(image_keys(result.split)[-1]), list(caption_keys(result.split)[0])


def ranked_lists(result: EvaluationResult, scores: Scores, depth: int = DEPTH) -> list[Lists]:
    """The first `depth` candidates of each query, both ways.

    Args:
        result: of the same scores.
        scores: (N, M).
        depth: K; fewer are given where there are fewer candidates.
    """
    images, captions = ids_of_items(result)
    forth = Relevance.from_caption_image(result.split.caption_image, len(images))
    right_first = result.metrics.ties == "optimistic"
    found = []
    sides: tuple[tuple[Way, list[str], list[str], Scores, Relevance], ...] = (
        ("i2t", images, captions, scores, forth),
        ("t2i", captions, images, scores.transpose(), forth.transpose()),
    )
    for way, queries, candidates, side, relevance in sides:
        rows, values = top_candidates(side, depth, tied=relevance, right_first=right_first)
        found.append(Lists(way, queries, candidates, rows, values, relevance))
    return found


def write_trec(folder: Path, lists: list[Lists], tag: str) -> None:
    """Write `i2t.run`, `i2t.qrels`, `t2i.run` and `t2i.qrels`; blanks in ids become %20.

    Queries without a right candidate are left out, as trec_eval leaves them out.

    Args:
        folder: made where it is missing.
        lists: of `ranked_lists`.
        tag: name of the run.

    Raises:
        DataError: if a file cannot be written.
    """
    name = _word(tag) or "run"
    for one in lists:
        queries, candidates = (
            [_word(key) for key in side] for side in (one.queries, one.candidates)
        )
        falling = _falling(one.scores)
        run, qrels = io.StringIO(), io.StringIO()
        for query in np.flatnonzero(one.relevance.counts).tolist():
            for right in one.relevance.of(query).tolist():
                qrels.write(f"{queries[query]} 0 {candidates[right]} 1\n")
            pairs = zip(one.rows[query].tolist(), falling[query], strict=True)
            for place, (row, score) in enumerate(pairs, start=1):
                run.write(f"{queries[query]} Q0 {candidates[row]} {place} {score!s} {name}\n")
        replace_text(folder / f"{one.way}.run", run.getvalue())
        replace_text(folder / f"{one.way}.qrels", qrels.getvalue())


def _word(key: str) -> str:
    return re.sub(r"\s", "%20", key)


def _falling(scores: np.ndarray) -> np.ndarray:
    """(Q, K) float32, as near to the scores as strictly falling rows can be."""
    values = scores.astype(np.float32)
    for place in range(1, values.shape[1]):
        below = np.nextafter(values[:, place - 1], np.float32(-np.inf))
        values[:, place] = np.minimum(values[:, place], below)
    return values


def write_lists(path: Path, result: EvaluationResult, lists: list[Lists]) -> None:
    """Write a JSON object a line and query, with its first candidates.

    An object has "way", "query" (id), "rank" (by the tie rule; null without a right candidate), and
    "candidates" and "scores", best first, and "right", the ids that are right.

    Raises:
        DataError: if the file cannot be written.
    """
    replace_text(path, "".join(_list_lines(result, lists)))


def _list_lines(result: EvaluationResult, lists: list[Lists]) -> Iterator[str]:
    for one in lists:
        best = getattr(result.ranks, one.way)
        ranks = dict(
            zip(best.queries.tolist(), best.ranks(result.metrics.ties).tolist(), strict=True)
        )
        for query, key in enumerate(one.queries):
            line = {
                "way": one.way,
                "query": key,
                "rank": ranks.get(query),
                "candidates": [one.candidates[row] for row in one.rows[query].tolist()],
                "scores": one.scores[query].tolist(),
                "right": [one.candidates[row] for row in one.relevance.of(query).tolist()],
            }
            yield json.dumps(line, ensure_ascii=False) + "\n"


def write_queries(path: Path, result: EvaluationResult) -> None:
    """Write a CSV row a query: its rank, what stood ahead, and whether it was a hit at each K.

    Raises:
        DataError: if the file cannot be written.
    """
    images, captions = ids_of_items(result)
    ties, ks = result.metrics.ties, list(result.metrics.i2t.recall)
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    heads = ["way", "query", "rank", "positive", "ahead", "tied", *(f"hit@{k}" for k in ks)]
    table.writerow([*heads, "caption"])
    split = result.split
    sides = (
        ("i2t", result.ranks.i2t, images, captions),
        ("t2i", result.ranks.t2i, captions, images),
    )
    for way, best, queries, candidates in sides:
        columns = [
            best.queries.tolist(),
            best.ranks(ties).tolist(),
            best.positive.tolist(),
            best.ahead.tolist(),
            best.tied.tolist(),
        ]
        hits = [best.hits(k, ties) for k in ks]
        for at, (query, rank, right, ahead, tied) in enumerate(zip(*columns, strict=True)):
            words = split.captions[right if way == "i2t" else query]
            found = [f"{hit[at]:g}" for hit in hits]
            table.writerow(
                [way, queries[query], f"{rank:g}", candidates[right], ahead, tied, *found, words]
            )
    replace_text(path, text.getvalue())
