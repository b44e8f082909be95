"""What the page shows, as JSON types: lists of queries and of hubs, and the pictures they need."""

from __future__ import annotations

from typing import Any

import numpy as np

from user_itr.evaluation.page.hubs import find_hubs
from user_itr.evaluation.page.thumbnails import thumbnail
from user_itr.evaluation.ranks import BestRanks
from user_itr.evaluation.result import EvaluationResult, TopLists

HARDEST = 60
"""Queries of each direction on the page; their pictures make most of its size."""

SHOWN = 5
"""First candidates shown of each."""


def page_content(result: EvaluationResult, top: TopLists) -> dict[str, Any]:
    """Queries, hubs, images and captions that the page's script reads.

    Returns:
        "queries" (each with way, row, rank, best right candidate, first candidates and which of
        them are right), "hubs" by way, "images" (id and picture by row), "captions" (by row).
    """
    split = result.split
    owner = split.caption_image
    ties = result.metrics.ties
    queries = _hardest(result.ranks.i2t, "i2t", top.i2t, owner, ties)
    queries += _hardest(result.ranks.t2i, "t2i", top.t2i, owner, ties)
    hubs = {
        "i2t": _hubs(top.i2t, len(split.captions)),
        "t2i": _hubs(top.t2i, len(split.image_ids)),
    }
    images: set[int] = {hub["row"] for hub in hubs["t2i"]["hubs"]}
    captions: set[int] = {hub["row"] for hub in hubs["i2t"]["hubs"]}
    for query in queries:
        shown = {query["best"], *query["top"]}
        query_side, shown_side = (images, captions) if query["way"] == "i2t" else (captions, images)
        query_side.add(query["row"])
        shown_side |= shown
    paths = split.image_paths
    return {
        "queries": queries,
        "hubs": hubs,
        "images": {
            row: {"id": split.image_ids[row], "src": thumbnail(paths[row]) if paths else None}
            for row in sorted(images)
        },
        "captions": {row: split.captions[row] for row in sorted(captions)},
    }


def _hardest(
    found: BestRanks, way: str, top: np.ndarray, owner: np.ndarray, ties: Any
) -> list[dict[str, Any]]:
    ranks = found.ranks(ties)
    chosen = np.argsort(-ranks, kind="stable")[:HARDEST]
    queries = []
    for at in chosen.tolist():
        row = int(found.queries[at])
        first = top[row, :SHOWN].tolist()
        right = [owner[c] == row if way == "i2t" else owner[row] == c for c in first]
        queries.append(
            {
                "way": way,
                "row": row,
                "rank": float(ranks[at]),
                "best": int(found.positive[at]),
                "top": first,
                "right": [bool(one) for one in right],
            }
        )
    return queries


def _hubs(top: np.ndarray, candidates: int) -> dict[str, Any]:
    hubs = find_hubs(top, candidates)
    return {
        "hubs": [
            {"row": int(row), "count": int(count), "share": 100 * float(count) / len(top)}
            for row, count in zip(hubs.rows, hubs.counts, strict=True)
        ],
        "k": top.shape[1],
        "queries": len(top),
        "expected": hubs.expected,
        "skewness": hubs.skewness,
        "never": hubs.never,
        "candidates": candidates,
    }
