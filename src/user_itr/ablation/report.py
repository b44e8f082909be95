"""What a grid gave, written down: `table.csv`, `summary.csv`, `summary.md`, and for a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from user_itr.ablation.comparison import RowSummary, summarise
from user_itr.ablation.files import replace_file
from user_itr.ablation.grid import Grid
from user_itr.ablation.measurement import METRICS
from user_itr.ablation.runner import Result
from user_itr.evaluation.bootstrap import RESAMPLES

COLUMNS = ("row", "seed", "status", *METRICS, "best epoch", "minutes", "parameters", "note")
SUMMARY_COLUMNS = (
    *("row", "label", "seeds", "metric", "mean", "deviation"),
    *("difference", "low", "high", "p", "seeds low", "seeds high"),
)


def write_report(out: Path, grid: Grid, results: Sequence[Result]) -> Table:
    """Write tables and plots of what there is so far, each file replaced in one step.

    Returns:
        The summary as a table for the terminal.

    Raises:
        ConfigError: if a file cannot be written.
        MissingExtraError: if matplotlib is not installed.
    """
    from user_itr.ablation.plot import draw

    summaries = summarise(grid, results)
    replace_file(out / "table.csv", table_csv(results).encode())
    replace_file(out / "summary.csv", summary_csv(summaries).encode())
    replace_file(out / "summary.md", summary_markdown(grid, summaries, results).encode())
    if summaries:
        for suffix, content in draw(grid, summaries).items():
            replace_file(out / f"plot.{suffix}", content)
    return terminal_table(grid, summaries, results)


def table_csv(results: Sequence[Result]) -> str:
    """One line a row and seed; recalls in percent, training time in minutes."""
    lines: list[list[object]] = [list(COLUMNS)]
    for result in results:
        one = result.measurement
        if one is None:
            empty = [""] * (len(COLUMNS) - 4)
            lines.append([result.row, result.seed, "failed", *empty, result.failure])
            continue
        figures = [f"{one.figures[key]:.4f}" for key in METRICS]
        cost = [one.epoch or "", f"{one.minutes:.2f}", one.parameters]
        lines.append([result.row, result.seed, "done", *figures, *cost, ""])
    return _csv(lines)


def summary_csv(summaries: Sequence[RowSummary]) -> str:
    """One line a row and metric: over seeds, and the difference to the reference."""
    lines: list[list[object]] = [list(SUMMARY_COLUMNS)]
    for one in summaries:
        for key in METRICS:
            tested = one.difference[key] if one.difference else None
            figures = (one.mean[key], one.deviation[key])
            against = (tested.value, tested.low, tested.high) if tested else (None,) * 3
            texts = ["" if figure is None else f"{figure:.4f}" for figure in (*figures, *against)]
            p_value = f"{tested.p_value:.4g}" if tested else ""
            seeds = ["", ""]
            if one.over_seeds is not None:
                seeds = [f"{bound:.4f}" for bound in one.over_seeds[key]]
            lines.append([one.name, one.label, len(one.measured), key, *texts, p_value, *seeds])
    return _csv(lines)


def summary_markdown(grid: Grid, summaries: Sequence[RowSummary], results: Sequence[Result]) -> str:
    """The summary as a Markdown table with what one has to know to read it."""
    heads = ["", "seeds", *METRICS, "difference in rsum [95 %]", "p", "over seeds"]
    lines = [
        f"{grid.description.strip()}",
        "",
        _line(heads),
        _line(["---", *["---:"] * (len(heads) - 1)]),
        *(_line(_cells(grid, one)) for one in summaries),
        "",
        *_notes(grid),
        *(
            f"Failed: {result.row}, seed {result.seed}: {result.failure}"
            for result in results
            if result.measurement is None
        ),
    ]
    return "\n".join(lines) + "\n"


def terminal_table(grid: Grid, summaries: Sequence[RowSummary], results: Sequence[Result]) -> Table:
    """The summary for a terminal 80 wide, failed runs below."""
    failed = [f"{one.row}, seed {one.seed}: {one.failure}" for one in results if one.failure]
    caption = Text("\n".join(failed), style="red") if failed else None
    table = Table(box=SIMPLE_HEAD, caption=caption, caption_justify="left")
    table.add_column("row")
    for head in ("image to text\nR@1/5/10", "text to image\nR@1/5/10", "rsum", "difference", "p"):
        table.add_column(head, justify="right", no_wrap=True)
    for one in summaries:
        recalls = [f"{one.mean[key]:.1f}" for key in METRICS[:-1]]
        half = len(recalls) // 2
        rsum = _with_deviation(one.mean["rsum"], one.deviation["rsum"]).replace(" ", "\n", 1)
        difference, p_value = _test_cells(grid, one)
        table.add_row(
            Text(one.label),
            " ".join(recalls[:half]),
            " ".join(recalls[half:]),
            rsum,
            Text(difference.replace(" ", "\n", 1)),
            p_value,
        )
    return table


def _cells(grid: Grid, one: RowSummary) -> list[str]:
    return [
        one.label,
        str(len(one.measured)),
        *(_with_deviation(one.mean[key], one.deviation[key]) for key in METRICS),
        *_test_cells(grid, one),
        "" if one.over_seeds is None else "[{:+.1f}, {:+.1f}]".format(*one.over_seeds["rsum"]),
    ]


def _with_deviation(mean: float, deviation: float | None) -> str:
    return f"{mean:.1f}" if deviation is None else f"{mean:.1f} ± {deviation:.1f}"


def _test_cells(grid: Grid, one: RowSummary) -> tuple[str, str]:
    if one.difference is None:
        return ("reference" if one.name == grid.reference else ""), ""
    rsum = one.difference["rsum"]
    return f"{rsum.value:+.1f} [{rsum.low:+.1f}, {rsum.high:+.1f}]", f"{rsum.p_value:.2g}"


def _notes(grid: Grid) -> list[str]:
    reference = grid.rows[grid.reference].label
    return [
        "Dev split; recalls in percent, mean ± sample standard deviation over seeds. Differences",
        f"are to {reference}, over the seeds that both rows have. Interval and p-value come from a",
        f"paired bootstrap over images ({RESAMPLES:,} resamples): they speak of other images, not",
        "of other seeds. Of those speaks the last column, Student's 95 % interval of the paired",
        "differences of seeds.",
    ]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _csv(lines: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
