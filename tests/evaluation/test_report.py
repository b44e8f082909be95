from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from rich.console import Console

from user_itr import __version__
from user_itr.errors import DataError
from user_itr.evaluation.folds import FoldedMetrics
from user_itr.evaluation.metrics import CrossModalMetrics, RetrievalMetrics
from user_itr.evaluation.report import folds_table, metrics_table, write_metrics

METRICS = CrossModalMetrics(
    i2t=RetrievalMetrics({1: 25.25, 10: 100 / 3}, 4.5, 12.34, queries=999, candidates=5000),
    t2i=RetrievalMetrics({1: 20.0, 10: 60.0}, 7.0, 8.0, queries=5000, candidates=1000),
)


def test_table_as_printed():
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(metrics_table(METRICS, "flickr8k, dev"))
    lines = [line.strip() for line in capture.get().splitlines()]
    cells = [" ".join(line.replace("│", " ").replace("┃", " ").split()) for line in lines]
    assert lines[0] == "flickr8k, dev"
    assert "direction R@1 R@10 median mean queries among" in cells
    assert "image to text 25.2 33.3 4.5 12.3 999 5000" in cells
    assert "text to image 20.0 60.0 7 8.0 5000 1000" in cells
    assert lines[-1] == "rsum 138.6, pessimistic ties"


FOLDED = FoldedMetrics(
    (
        METRICS,
        CrossModalMetrics(
            i2t=RetrievalMetrics({1: 35.25, 10: 50.0}, 2.0, 10.0, queries=1000, candidates=5000),
            t2i=RetrievalMetrics({1: 30.0, 10: 65.0}, 4.0, 6.0, queries=4999, candidates=1000),
        ),
    )
)


def test_table_of_folds_as_printed():
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(folds_table(FOLDED, "coco, testall: mean of 2 folds"))
    lines = [line.strip() for line in capture.get().splitlines()]
    cells = [" ".join(line.replace("│", " ").replace("┃", " ").split()) for line in lines]
    assert lines[0] == "coco, testall: mean of 2 folds"
    assert "direction R@1 R@10 median mean queries among" in cells
    assert "image to text 30.2 41.7 3.2 11.2 1000 5000" in cells
    assert "text to image 25.0 62.5 5.5 7.0 5000 1000" in cells
    assert lines[-1] == "rsum 159.4, the mean of 138.6 180.2"


def test_folds_are_written_beside_the_whole(tmp_path):
    path = tmp_path / "metrics.json"
    write_metrics(path, METRICS, dataset="coco", split="testall", folded=FOLDED)
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written["folded"] == json.loads(json.dumps(FOLDED.to_dict()))
    assert written["folded"]["mean"]["i2t"]["R@1"] == 30.25
    assert written["metrics"]["i2t"]["R@1"] == 25.25


def test_document_as_written(tmp_path):
    path = tmp_path / "new" / "metrics.json"
    write_metrics(path, METRICS, dataset="flickr8k", split="dev", extra={"config": {"seed": 1}})
    written = json.loads(path.read_text(encoding="utf-8"))
    versions = written.pop("versions")
    assert versions["user-itr"] == __version__
    assert versions["numpy"] == np.__version__
    assert versions["torch"] == str(torch.__version__)
    assert written == {
        "format": 1,
        "dataset": "flickr8k",
        "split": "dev",
        "images": 1000,
        "captions": 5000,
        "metrics": json.loads(json.dumps(METRICS.to_dict())),
        "extra": {"config": {"seed": 1}},
    }
    assert written["metrics"]["i2t"]["R@1"] == 25.25
    assert written["metrics"]["rsum"] == pytest.approx(45.25 + 100 / 3 + 60)


@pytest.mark.parametrize(
    ("extra", "error"), [({"rate": float("nan")}, ValueError), ({"path": object()}, TypeError)]
)
def test_the_file_before_survives_a_failed_write(tmp_path, extra, error):
    path = tmp_path / "metrics.json"
    path.write_text("before")
    with pytest.raises(error):
        write_metrics(path, METRICS, dataset="set", split="dev", extra=extra)
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.json"]
    assert path.read_text() == "before"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    target = tmp_path / "file" / "metrics.json"
    with pytest.raises(DataError, match=r"metrics\.json: cannot be written \(.+\); name a file in"):
        write_metrics(target, METRICS, dataset="set", split="dev")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"folder: cannot be written"):
        write_metrics(tmp_path / "folder", METRICS, dataset="set", split="dev")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]
