from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from user_itr.data.captions import CaptionedImages
from user_itr.evaluation.document import evaluation_document, read_document, write_document
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.evaluating import Request, evaluate_sources
from user_itr.evaluation.page import write_page
from user_itr.evaluation.result import EvaluationResult, ScoredBy
from user_itr.evaluation.sources import Source
from user_itr.evaluation.tables import (
    PlainTable,
    as_html,
    as_latex,
    as_markdown,
    further_tables,
    main_table,
)

TABLE = PlainTable("A <title>", ("direction", "R@1", "50 %"), (("a_b & c", "1.0", "x|y"),), "Note.")


def test_markdown_latex_and_html() -> None:
    assert as_markdown(TABLE).splitlines() == [
        "**A <title>**",
        "",
        "| direction | R@1 | 50 % |",
        "| --- | ---: | ---: |",
        "| a_b & c | 1.0 | x\\|y |",
        "",
        "Note.",
    ]
    assert as_latex(TABLE).splitlines() == [
        "% A <title>; Note.",
        r"\begin{tabular}{lrr}",
        r"  \toprule",
        r"  direction & R@1 & 50 \% \\",
        r"  \midrule",
        r"  a\_b \& c & 1.0 & x|y \\",
        r"  \bottomrule",
        r"\end{tabular}",
    ]
    page = as_html(TABLE)
    assert "<caption>A &lt;title&gt;</caption>" in page
    assert '<th scope="row">a_b &amp; c</th><td>1.0</td><td>x|y</td>' in page


def write_cxc(folder: Path, images: list[int], captions: list[int]) -> None:
    random = np.random.default_rng(0)

    def pick(kind: str) -> str:
        if kind == "image":
            return f"COCO_val2014_{random.choice(images):012}.jpg"
        return f"COCO_val2014:sentid:{random.choice(captions)}"

    for task, sides in {
        "sits": ("caption", "image"),
        "sis": ("image1", "image2"),
        "sts": ("caption1", "caption2"),
    }.items():
        lines = [
            f"{','.join(pick(side.rstrip('12')) for side in sides)},{random.uniform(0, 5):.2f}"
            for _ in range(60)
        ]
        (folder / f"{task}_test.csv").write_text(
            "\n".join([",".join([*sides, "agg_score"]), *lines])
        )


@pytest.fixture
def result(tmp_path: Path) -> EvaluationResult:
    random = np.random.default_rng(1)
    owner = np.repeat(np.arange(12), 3)
    items = CaptionedImages(
        "coco",
        "test",
        tuple(f"i{row}" for row in range(12)),
        tuple(f"c{row}" for row in range(36)),
        owner,
        caption_ids=tuple(range(100, 136)),
        coco_ids=tuple(range(50, 62)),
    )
    write_cxc(tmp_path, list(range(50, 62)), list(range(100, 136)))
    images = random.normal(size=(12, 6))
    scores = EmbeddingScores(images, images[owner] + random.normal(size=(36, 6)))
    source = Source(ScoredBy("one_model", "embeddings", ""), scores, *scores.within())
    request = Request(ks=(1, 5), folds=3, cxc=tmp_path, precision=True, top=True)
    return evaluate_sources([source], items, request, notes=["a <note>"])


def test_a_row_as_papers_print_it(result: EvaluationResult) -> None:
    table = main_table(result)
    assert table.heads == (
        "model", "i2t R@1", "i2t R@5", "t2i R@1", "t2i R@5", "rsum", "mR",
    )  # fmt: skip
    [row] = table.rows
    metrics = result.metrics
    assert row[0] == "one_model"
    assert row[1:5] == tuple(
        f"{side.recall[k]:.1f}" for side in (metrics.i2t, metrics.t2i) for k in (1, 5)
    )
    assert row[5:] == (f"{metrics.rsum:.1f}", f"{metrics.rsum / 4:.1f}")


def test_every_protocol_is_a_table_on_the_page(result: EvaluationResult, tmp_path: Path) -> None:
    titles = [table.title for table in further_tables(result)]
    assert titles == [
        "coco, test: mean of 3 folds",
        "Crisscrossed Captions: retrieval",
        "Crisscrossed Captions: correlation with ratings",
        "All right answers",
    ]
    tables = dict(zip(titles, further_tables(result), strict=True))
    cxc = result.protocols["cxc"]
    retrieval = tables["Crisscrossed Captions: retrieval"]
    assert [row[0] for row in retrieval.rows] == [
        "image to text", "text to image", "text to text", "image to image",
    ]  # fmt: skip
    assert retrieval.rows[2][1] == f"{cxc['t2t']['R@1']:.1f}"
    assert "were rated twice" in retrieval.note
    rated = tables["Crisscrossed Captions: correlation with ratings"]
    assert [row[1] for row in rated.rows] == [
        f"{cxc[task]['spearman']:.1f}" for task in ("sits", "sis", "sts")
    ]
    write_page(result, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert all(f"<caption>{title}</caption>" in page for title in titles)
    assert "<pre>" not in page
    assert "a &lt;note&gt;." in page


def test_a_matrix_says_what_it_cannot_give(result: EvaluationResult, tmp_path: Path) -> None:
    source = Source(
        ScoredBy("m", "similarity", ""),
        EmbeddingScores(np.eye(12), np.eye(12)[result.split.caption_image]),
    )
    found = evaluate_sources([source], result.split, Request(ks=(1,), cxc=tmp_path))
    retrieval, rated = further_tables(found)
    assert [row[0] for row in retrieval.rows] == ["image to text", "text to image"]
    assert (
        "has no scores for text to text and image to image, nor for SIS and STS" in retrieval.note
    )
    assert [row[0] for row in rated.rows] == ["SITS, images and captions"]


def test_notes_stand_in_the_document(result: EvaluationResult, tmp_path: Path) -> None:
    write_document(tmp_path / "a.json", evaluation_document(result))
    assert json.loads((tmp_path / "a.json").read_text())["notes"] == ["a <note>"]
    assert read_document(tmp_path / "a.json").name == "one_model"
