"""Metrics for people (a table) and for programs (a JSON document)."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

from user_itr import __version__
from user_itr.errors import DataError
from user_itr.evaluation.folds import FoldedMetrics
from user_itr.evaluation.metrics import CrossModalMetrics

REPORT_FORMAT = 1
"""Version of the JSON document; it grows when a field changes its meaning."""


def metrics_table(metrics: CrossModalMetrics, title: str | None = None) -> Table:
    """Both directions as a `rich` table: recalls in percent, ranks, counts; rsum below."""
    rows = (metrics.i2t.to_dict(), metrics.t2i.to_dict())
    return _table(rows, title, f"rsum {metrics.rsum:.1f}, {metrics.ties} ties")


def folds_table(folded: FoldedMetrics, title: str | None = None) -> Table:
    """The means over the folds as a table like `metrics_table`; each fold's rsum below."""
    each = " ".join(f"{fold.rsum:.1f}" for fold in folded.folds)
    rows = (folded.mean("i2t"), folded.mean("t2i"))
    return _table(rows, title, f"rsum {folded.rsum:.1f}, the mean of {each}")


def _table(rows: Sequence[Mapping[str, float]], title: str | None, caption: str) -> Table:
    """A table of `RetrievalMetrics.to_dict` of image to text and of text to image."""
    table = Table(title=title, caption=caption, caption_justify="left")
    table.add_column("direction", no_wrap=True)
    recalls = [name for name in rows[0] if name.startswith("R@")]
    for name in (*recalls, "median", "mean", "queries", "among"):
        table.add_column(name, justify="right", no_wrap=True)
    for direction, row in zip(("image to text", "text to image"), rows, strict=True):
        table.add_row(
            direction,
            *(f"{row[name]:.1f}" for name in recalls),
            f"{round(row['median_rank'], 1):g}",
            f"{row['mean_rank']:.1f}",
            f"{row['queries']:.0f}",
            f"{row['candidates']:.0f}",
        )
    return table


def metrics_document(
    metrics: CrossModalMetrics,
    *,
    dataset: str,
    split: str,
    folded: FoldedMetrics | None = None,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The JSON document of one evaluation.

    Args:
        metrics: what was measured on the whole split.
        dataset: data set name.
        split: split name.
        folded: what was measured on its folds, where it was cut into some.
        extra: anything else worth keeping (config, hashes, times), JSON types only; it is held
            under "extra".

    Returns:
        "format", "dataset", "split", "images", "captions" (counts of candidates), "metrics"
        (`CrossModalMetrics.to_dict`: both directions with the number of queries, rsum, tie rule),
        "folded" (`FoldedMetrics.to_dict`) where there is one, "versions" and "extra".
    """
    return {
        "format": REPORT_FORMAT,
        "dataset": dataset,
        "split": split,
        "images": metrics.t2i.candidates,
        "captions": metrics.i2t.candidates,
        "metrics": metrics.to_dict(),
        **({} if folded is None else {"folded": folded.to_dict()}),
        "versions": {
            "user-itr": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": torch.__version__,
        },
        "extra": dict(extra or {}),
    }


def write_metrics(
    path: Path,
    metrics: CrossModalMetrics,
    *,
    dataset: str,
    split: str,
    folded: FoldedMetrics | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write `metrics_document` to `path`; the file there before stays until the new one is whole.

    Args:
        path: the JSON file; its folder is made where it is missing.
        metrics: as in `metrics_document`.
        dataset: data set name.
        split: split name.
        folded: as in `metrics_document`.
        extra: as in `metrics_document`.

    Raises:
        DataError: if the file cannot be written.
        TypeError: if `extra` holds what JSON has no form for.
        ValueError: if `extra` holds NaN or infinity.
    """
    document = metrics_document(metrics, dataset=dataset, split=split, folded=folded, extra=extra)
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise DataError(
            f"{path}: cannot be written ({error.strerror}); name a file in a folder you may write."
        ) from error
