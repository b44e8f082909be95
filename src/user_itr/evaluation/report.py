"""Metrics as tables for people; documents for programs are in `document`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from user_itr.evaluation.intervals import CrossModalIntervals
from user_itr.evaluation.metrics import CrossModalMetrics
from user_itr.evaluation.tables import PlainTable


def metrics_table(
    metrics: CrossModalMetrics,
    title: str | None = None,
    intervals: CrossModalIntervals | None = None,
) -> Table:
    """Both directions as a `rich` table: recalls in percent, ranks, counts; rsum below.

    Args:
        metrics: the figures.
        title: above the table.
        intervals: of the same figures, shown under each recall.
    """
    rows = (metrics.i2t.to_dict(), metrics.t2i.to_dict())
    rsum = f"rsum {metrics.rsum:.1f}"
    mean = f"mR {metrics.mean_recall:.1f}"
    if intervals is None:
        return _table(rows, title, f"{rsum}, {mean}, {metrics.ties} ties")
    rsum += f" ({intervals.rsum.low:.1f} to {intervals.rsum.high:.1f})"
    caption = f"{rsum}, {mean}, {metrics.ties} ties, 95 % intervals over images"
    ranges = [
        {f"R@{k}": f"{one.low:.1f}-{one.high:.1f}" for k, one in side.recall.items()}
        for side in (intervals.i2t, intervals.t2i)
    ]
    return _table(rows, title, caption, ranges)


def rich_table(plain: PlainTable) -> Table:
    """A plain table for the terminal."""
    table = Table(
        title=plain.title,
        caption=plain.note or None,
        caption_justify="left",
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    table.add_column(plain.heads[0], no_wrap=True)
    for head in plain.heads[1:]:
        table.add_column(head, justify="right")
    for row in plain.rows:
        table.add_row(*row)
    return table


def _table(
    rows: Sequence[Mapping[str, float]],
    title: str | None,
    caption: str,
    ranges: Sequence[Mapping[str, str]] = ({}, {}),
) -> Table:
    """A table of `RetrievalMetrics.to_dict` of image to text and of text to image."""
    table = Table(
        title=title,
        caption=caption,
        caption_justify="left",
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    table.add_column("direction", no_wrap=True)
    recalls = [name for name in rows[0] if name.startswith("R@")]
    for name in (*recalls, "median", "mean", "queries", "among"):
        table.add_column(name, justify="right", no_wrap=True)
    directions = ("image to text", "text to image")
    for direction, row, below in zip(directions, rows, ranges, strict=True):
        table.add_row(
            direction,
            *(f"{row[name]:.1f}" + (f"\n{below[name]}" if below else "") for name in recalls),
            f"{round(row['median_rank'], 1):g}",
            f"{row['mean_rank']:.1f}",
            f"{row['queries']:.0f}",
            f"{row['candidates']:.0f}",
        )
    return table
