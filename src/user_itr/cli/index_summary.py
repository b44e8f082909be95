"""What `user-itr index` prints of what it did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from user_itr.cli.printing import printable

if TYPE_CHECKING:
    from rich.table import Table

    from user_itr.search.update import IndexReport

MOST_ENDINGS = 8
"""Endings of passed-over files that are named."""


def print_losses(reports: Sequence[IndexReport]) -> None:
    """Tell, on standard error, which files were skipped and which photos stay unseen."""
    for report in reports:
        told = {path for path, _ in report.skipped}
        for path, reason in report.skipped:
            typer.echo(f"skipped {printable(path)}: {printable(reason)}", err=True)
        for kept in report.kept:
            if kept.folder not in told:
                typer.echo(
                    f"kept {_photos(kept.photos)} of {printable(kept.folder)}, which "
                    f"{printable(kept.reason)}; for good they leave with `user-itr index --forget "
                    f"{printable(kept.folder)}`",
                    err=True,
                )


def print_notes(reports: Sequence[IndexReport], verify: bool) -> None:
    """Tell what was passed over, by reason, and what a check of all files found."""
    passed_over: Counter[str] = Counter()
    for report in reports:
        passed_over.update(report.passed_over)
    for line in _passed_over(passed_over):
        typer.echo(f"passed over: {printable(line)}")
    if excluded := sum(report.excluded for report in reports):
        typer.echo(f"{_photos(excluded)} left the index, because they are passed over now")
    if verify:
        differed = sum(report.differed for report in reports)
        typer.echo(f"verified: {_photos(differed)} had changed at the same size and time")


def summary(reports: Sequence[IndexReport]) -> Table:
    """A table with a column for each folder."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    table.add_column("photos")
    for report in reports:
        table.add_column(Text(printable(report.folder)), justify="right", overflow="fold")
    for name in ("added", "updated", "moved", "unchanged", "removed"):
        table.add_row(name, *(f"{getattr(report, name):,}" for report in reports))
    table.add_row("kept", *(f"{sum(k.photos for k in report.kept):,}" for report in reports))
    table.add_row("skipped", *(f"{len(report.skipped):,}" for report in reports))
    table.add_row("seconds", *(f"{report.seconds:.1f}" for report in reports))
    rates = [report.encoded / report.seconds for report in reports]
    table.add_row("encoded/s", *(f"{rate:.1f}" for rate in rates))
    return table


def _passed_over(counts: Counter[str]) -> list[str]:
    from user_itr.search.leaving_out import WITH_HIDDEN
    from user_itr.search.walk import NO_ENDING

    known, endings, explained = [], [], []
    for what, number in counts.most_common():
        if ": " in what:
            ending, why = what.split(": ", 1)
            explained.append(f"{ending} {number:,} ({why})")
        elif what.startswith(".") or what == NO_ENDING:
            endings.append(f"{what} {number:,}")
        else:
            known.append((what, number))
    lines = []
    hidden = [f"{what} {number:,}" for what, number in known if what in WITH_HIDDEN]
    if hidden:
        lines.append(f"{', '.join(hidden)} (--include-hidden takes them in)")
    lines += [f"{what} {number:,}" for what, number in known if what not in WITH_HIDDEN]
    lines += explained
    if endings:
        more = len(endings) - MOST_ENDINGS
        rest = f", {more} other endings" if more > 0 else ""
        lines.append(f"{', '.join(endings[:MOST_ENDINGS])}{rest}")
    return lines


def _photos(number: int) -> str:
    return f"{number:,} photo" + "s" * (number != 1)
