"""The plot of a grid: rsum and both R@1 of every row, each seed a dot."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from user_itr.ablation.comparison import RowSummary
from user_itr.ablation.grid import Grid
from user_itr.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with any colour vision; the shapes differ as well.
BLUE, ORANGE, INK, GREY = "#0072B2", "#D55E00", "#222222", "#777777"
LABEL_WIDTH = 26  # characters
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.edgecolor": GREY,
    "svg.hashsalt": "user-itr",  # else the ids in the file are random
}
RIGHT: dict[str, Any] = {"va": "center", "ha": "left", "fontsize": 8.5}


def require_matplotlib() -> None:
    """Raise a MissingExtraError where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            "the plot of an ablation needs matplotlib; run `pip install 'user-itr[plots]'`."
        ) from None


def draw(grid: Grid, summaries: Sequence[RowSummary]) -> dict[str, bytes]:
    """Draw rows from top to bottom in the grid's order; equal input gives equal bytes.

    Args:
        grid: names the reference.
        summaries: at least one row.

    Returns:
        The file's content by suffix: "png" and "svg".

    Raises:
        MissingExtraError: if matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(8.4, 1.2 + 0.4 * len(summaries)), layout="constrained")
        _fill(figure, grid, summaries)
        files: dict[str, bytes] = {}
        for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            content = io.BytesIO()
            figure.savefig(content, format=suffix, dpi=200, metadata=metadata)
            files[suffix] = content.getvalue()
    return files


def _fill(figure: Figure, grid: Grid, summaries: Sequence[RowSummary]) -> None:
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    _rows(left, summaries, "rsum", BLUE, "o", f"rsum, {_seeds(summaries)}")
    for row, one in enumerate(summaries):
        place = (1.01, row)  # beside the panel
        left.text(*place, f"{one.mean['rsum']:.1f}", transform=left.get_yaxis_transform(), **RIGHT)
        if one.name == grid.reference:
            label = f"reference: {textwrap.shorten(one.label, 40)}"
            left.axvline(one.mean["rsum"], color=INK, linestyle="--", linewidth=0.9, label=label)
    _rows(right, summaries, "i2t R@1", BLUE, "s", "image to text")
    _rows(right, summaries, "t2i R@1", ORANGE, "D", "text to image")
    labels = [textwrap.fill(one.label, LABEL_WIDTH) for one in summaries]
    left.set_yticks(range(len(summaries)), labels)
    left.set_ylim(len(summaries) - 0.4, -0.6)
    for axes, title in ((left, "rsum"), (right, "R@1, %")):
        axes.margins(x=0.08)
        axes.grid(color="#e3e3e3", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"{title} (axis starts at {_start(axes):g})")
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), borderpad=0, labelspacing=0.3, frameon=False
        )


def _rows(
    axes: Axes, summaries: Sequence[RowSummary], key: str, colour: str, marker: str, label: str
) -> None:
    """Mean with the standard deviation over seeds as a bar, and below it a dot for each seed."""
    for row, one in enumerate(summaries):
        axes.errorbar(
            one.mean[key],
            row,
            xerr=one.deviation[key],
            color=colour,
            marker=marker,
            markersize=5.5,
            capsize=2.5,
            label=label if row == 0 else None,
        )
        seeds = [seed.figures[key] for seed in one.measured.values()]
        if len(seeds) > 1:
            axes.plot(seeds, [row + 0.26] * len(seeds), "o", ms=2.6, color=colour, alpha=0.6)


def _seeds(summaries: Sequence[RowSummary]) -> str:
    counts = sorted({len(one.measured) for one in summaries})
    many = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    return "one seed" if counts == [1] else f"mean ± std of {many} seeds (dots)"


def _start(axes: Axes) -> float:
    """Let an axis begin at a tick, and return where."""
    from matplotlib.ticker import MaxNLocator

    low, high = axes.get_xlim()
    ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(max(low, 0), high)
    axes.set_xticks([tick for tick in ticks if tick <= high])
    axes.set_xlim(ticks[0], high)
    return float(ticks[0])
