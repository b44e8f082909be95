"""Putting the page together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np

from user_itr import __version__
from user_itr.evaluation.document import replace_text
from user_itr.evaluation.intervals import DirectionIntervals
from user_itr.evaluation.metrics import RetrievalMetrics
from user_itr.evaluation.page.charts import curve_ks, rank_histogram, recall_curve
from user_itr.evaluation.page.content import page_content
from user_itr.evaluation.result import EvaluationResult
from user_itr.evaluation.tables import as_html, further_tables

_WAYS = ("image to text", "text to image")


def write_page(result: EvaluationResult, path: Path) -> None:
    """Write the page of an evaluation; the file there before stays until the new one is whole.

    Args:
        result: with its top lists.
        path: the .html file; its folder is made where it is missing.

    Raises:
        ValueError: if the result has no top lists.
        DataError: if the file cannot be written.
    """
    if result.top is None:
        raise ValueError("the page shows top lists; ask for them with Request.top")
    folder = files(__package__)
    content = json.dumps(page_content(result, result.top), ensure_ascii=False)
    metrics = (result.metrics.i2t, result.metrics.t2i)
    ties = result.metrics.ties
    sides = (result.ranks.i2t, result.ranks.t2i)
    curves = []
    for side in sides:
        ks = curve_ks(side.candidates)
        curves.append((ks, [100 * float(np.mean(side.hits(k, ties))) for k in ks]))
    page = Template((folder / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(result.title),
        models=escape(" + ".join(model.name for model in result.models)),
        facts=_facts(result),
        table=_table(metrics, result),
        protocols=_protocols(result),
        curve=recall_curve(curves),
        histogram=rank_histogram([side.ranks(ties) for side in sides]),
        style=(folder / "page.css").read_text(encoding="utf-8"),
        script=(folder / "page.js").read_text(encoding="utf-8"),
        # In a script element nothing but "<" can end the data early.
        content=content.replace("<", "\\u003c"),
    )
    replace_text(path, page)


def _facts(result: EvaluationResult) -> str:
    split = result.split
    facts = {
        "images": f"{len(split.image_ids):,}",
        "captions": f"{len(split.captions):,}",
        "ties": result.metrics.ties,
        "user-itr": __version__,
    }
    if result.fusion is not None:
        facts["fusion"] = result.fusion
    for model in result.models:
        facts[f"SHA-256 of {model.name}"] = model.sha256[:16]
    if result.command:
        facts["command"] = result.command
    return "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts.items()
    )


def _table(metrics: Sequence[RetrievalMetrics], result: EvaluationResult) -> str:
    ks = list(metrics[0].recall)
    heads = [*(f"R@{k}" for k in ks), "median rank", "mean rank", "queries", "among"]
    rows = []
    intervals = result.intervals
    spreads = (None, None) if intervals is None else (intervals.i2t, intervals.t2i)
    for name, one, spread in zip(_WAYS, metrics, spreads, strict=True):
        cells = [
            *(_cell(f"{one.recall[k]:.1f}", spread, k) for k in ks),
            f"{one.median_rank:g}",
            f"{one.mean_rank:.1f}",
            f"{one.queries:,}",
            f"{one.candidates:,}",
        ]
        rows.append(f'<tr><th scope="row">{name}</th>{_cells(cells, "td")}</tr>')
    rsum = f"{result.metrics.rsum:.1f}"
    if intervals is not None:
        rsum += f" <small>{intervals.rsum.low:.1f} to {intervals.rsum.high:.1f}</small>"
    note = "" if intervals is None else " Small figures: 95 % intervals over images."
    return (
        f'<div class="scroll"><table><thead><tr><td></td>{_cells(heads, "th")}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        f'<p class="rsum">rsum <strong>{rsum}</strong>.{note}</p>'
    )


def _cell(value: str, spread: DirectionIntervals | None, k: int) -> str:
    if spread is None:
        return value
    one = spread.recall[k]
    return f"{value} <small>{one.low:.1f} to {one.high:.1f}</small>"


def _cells(values: Sequence[str], tag: str) -> str:
    return "".join(f"<{tag}>{value}</{tag}>" for value in values)


def _protocols(result: EvaluationResult) -> str:
    notes = "".join(f"<li>{escape(note)}.</li>" for note in result.notes)
    tables = "".join(map(as_html, further_tables(result)))
    return tables + (f'<ul class="notes">{notes}</ul>' if notes else "")
