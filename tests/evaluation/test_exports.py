"""Exported files, read back by plain code: figures are those of the evaluation."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from user_itr.data.captions import CaptionedImages
from user_itr.evaluation.evaluating import Request, evaluate_sources
from user_itr.evaluation.exports import ranked_lists, write_lists, write_queries, write_trec
from user_itr.evaluation.result import EvaluationResult, ScoredBy
from user_itr.evaluation.scores import MatrixScores
from user_itr.evaluation.sources import Source

DEPTH = 12


def made(ties: str = "pessimistic", *, coco: bool = True, seed: int = 0) -> EvaluationResult:
    """30 images and 90 captions with scores that tie all over."""
    random = np.random.default_rng(seed)
    owner = np.sort(random.integers(0, 30, size=90))
    scores = random.integers(0, 9, size=(30, 90)).astype(np.float64)
    scores[owner, np.arange(90)] += random.integers(0, 6, size=90)
    items = CaptionedImages(
        "things",
        "test",
        tuple(f"photo {row}.jpg" for row in range(30)),
        tuple(f"caption {row}, the {row}th" for row in range(90)),
        owner,
        caption_ids=tuple(range(1000, 1090)) if coco else None,
        coco_ids=tuple(range(500, 530)) if coco else None,
    )
    source = Source(ScoredBy("model one", "similarity", ""), MatrixScores(scores / 7))
    result = evaluate_sources([source], items, Request(ties=ties, precision=ties != "expected"))  # type: ignore[arg-type]
    object.__setattr__(result, "scores", source.scores)
    return result


def exported(result: EvaluationResult, folder: Path) -> Path:
    lists = ranked_lists(result, result.scores, DEPTH)  # type: ignore[attr-defined]
    write_trec(folder / "trec", lists, "model one")
    write_lists(folder / "lists.jsonl", result, lists)
    write_queries(folder / "queries.csv", result)
    return folder


def read_trec(folder: Path, way: str) -> tuple[dict[str, list[str]], dict[str, set[str]]]:
    """As a tool that knows nothing of us does: sorted by falling score."""
    run: dict[str, list[tuple[float, str]]] = defaultdict(list)
    right: dict[str, set[str]] = defaultdict(set)
    for line in (folder / f"{way}.run").read_text().splitlines():
        query, q0, item, rank, score, tag = line.split(" ")
        assert (q0, tag) == ("Q0", "model%20one")
        run[query].append((float(np.float32(score)), item))
        assert int(rank) == len(run[query])
    for line in (folder / f"{way}.qrels").read_text().splitlines():
        query, zero, item, gain = line.split(" ")
        assert (zero, gain) == ("0", "1")
        right[query].add(item)
    for found in run.values():
        assert len({score for score, _ in found}) == len(found)  # no tie is left to a tool
    return {q: [item for _, item in sorted(f, reverse=True)] for q, f in run.items()}, right


@pytest.mark.parametrize("ties", ["pessimistic", "optimistic"])
@pytest.mark.parametrize("seed", range(3))
def test_runs_and_qrels_give_the_same_figures(tmp_path: Path, ties: str, seed: int) -> None:
    result = made(ties, seed=seed)
    exported(result, tmp_path)
    for way in ("i2t", "t2i"):
        run, right = read_trec(tmp_path / "trec", way)
        side = getattr(result.metrics, way)
        assert len(run) == len(right) == side.queries
        for k in (1, 5, 10):
            hits = [any(item in right[query] for item in run[query][:k]) for query in run]
            assert side.recall[k] == pytest.approx(100 * np.mean(hits), abs=1e-9)
        gains = []
        for query, items in run.items():
            found = sum(
                1 / math.log2(2 + at) for at, i in enumerate(items[:10]) if i in right[query]
            )
            best = sum(1 / math.log2(2 + at) for at in range(min(10, len(right[query]))))
            gains.append(found / best)
        assert result.protocols["precision"][way]["nDCG@10"] == pytest.approx(
            100 * np.mean(gains), abs=1e-9
        )


def test_lists_and_queries_say_the_same(tmp_path: Path) -> None:
    result = made()
    exported(result, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "lists.jsonl").read_text().splitlines()]
    table = list(csv.DictReader((tmp_path / "queries.csv").open()))
    assert len(lines) == 30 + 90
    for way in ("i2t", "t2i"):
        run, right = read_trec(tmp_path / "trec", way)
        of_way = {line["query"]: line for line in lines if line["way"] == way}
        for query, items in run.items():
            assert of_way[query]["candidates"] == items
            assert set(of_way[query]["right"]) == right[query]
            assert sorted(of_way[query]["scores"], reverse=True) == of_way[query]["scores"]
        rows = [row for row in table if row["way"] == way]
        assert [int(row["rank"]) for row in rows] == getattr(result.ranks, way).ranks().tolist()
        for row in rows:
            assert int(row["rank"]) == of_way[row["query"]]["rank"]
            assert row["positive"] in right[row["query"]]
            assert float(row["hit@5"]) == (int(row["rank"]) <= 5)
    unasked = [line for line in lines if line["rank"] is None]
    assert len(unasked) == 30 - result.metrics.i2t.queries


def test_names_stand_for_items_without_numbers(tmp_path: Path) -> None:
    exported(made(coco=False), tmp_path)
    run, right = read_trec(tmp_path / "trec", "t2i")
    assert all(item.startswith("photo%20") for items in run.values() for item in items)
    owner, number = next(iter(right)).split("#")
    assert owner.startswith("photo%20")
    assert number == "0"


def test_lists_feed_eccv_caption(tmp_path: Path) -> None:
    """`eccv_caption.Metrics` takes lists of ids: its COCO recalls are ours."""
    package = pytest.importorskip("eccv_caption")
    metrics = package.Metrics()
    images = list(metrics.coco_gts["i2t"])[:40]
    captions = [one for image in images for one in metrics.coco_gts["i2t"][image]]
    owner = np.repeat(np.arange(40), [len(metrics.coco_gts["i2t"][image]) for image in images])
    random = np.random.default_rng(3)
    scores = random.normal(size=(40, len(captions)))
    scores[owner, np.arange(len(captions))] += 1.5
    items = CaptionedImages(
        "coco", "test", tuple(map(str, images)), tuple(map(str, captions)), owner,
        caption_ids=tuple(map(int, captions)), coco_ids=tuple(map(int, images)),
    )  # fmt: skip
    source = Source(ScoredBy("m", "similarity", ""), MatrixScores(scores))
    result = evaluate_sources([source], items, Request())
    write_lists(tmp_path / "lists.jsonl", result, ranked_lists(result, source.scores, 60))
    lists: dict[str, dict[int, list[int]]] = {"i2t": {}, "t2i": {}}
    for line in (tmp_path / "lists.jsonl").read_text().splitlines():
        one = json.loads(line)
        lists[one["way"]][int(one["query"])] = [int(item) for item in one["candidates"]]
    # The package averages over its 5,000 images: ours are the first 40 of them.
    metrics.coco_gts = {
        "i2t": {image: metrics.coco_gts["i2t"][image] for image in images},
        "t2i": {caption: metrics.coco_gts["t2i"][caption] for caption in captions},
    }
    found = metrics.compute_all_metrics(
        lists["i2t"], lists["t2i"], target_metrics=("coco_5k_recalls",), Ks=(1, 5, 10)
    )
    for k in (1, 5, 10):
        for way in ("i2t", "t2i"):
            ours = getattr(result.metrics, way).recall[k]
            assert 100 * found[f"coco_5k_r{k}"][way] == pytest.approx(ours, abs=1e-9)
