"""`user-itr duplicates`: photos that an index has several of; nothing is deleted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from user_itr.cli.index import INDEX_HELP, default_index, print_table
from user_itr.cli.printing import printable

if TYPE_CHECKING:
    from rich.table import Table

    from user_itr.search.duplicates import Copy


def duplicates_command(
    index: str | None = typer.Option(None, "--index", help=INDEX_HELP),
    same: bool = typer.Option(
        False, "--same-bytes", help="Only files of the same contents, none that look alike."
    ),
    everything: bool = typer.Option(False, "--all", help="Also photos that you hid on the page."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List photos that there are several of: the same bytes, resized, saved again, cropped a bit.

    The first of each group has the most pixels. `copy` says "same" of a file with the bytes of
    another one of its group, else how alike it is to the first (cosine). Nothing is deleted.

    Exit code: 0 with copies, 1 if there are none, 2 a mistake.
    """
    from user_itr.cli.progress import progress_of
    from user_itr.search.duplicates import find_copies
    from user_itr.search.index import ImageIndex

    opened = ImageIndex.open(index or default_index())
    with progress_of("comparing") as show:
        groups = find_copies(opened, near=not same, hidden=everything, progress=show)
    if as_json:
        records = [[_record(copy, group) for copy in group] for group in groups]
        typer.echo(json.dumps({"groups": records}, indent=2))
    elif groups:
        print_table(_table(groups))
        further = sum(len(group) - 1 for group in groups)
        wasted = sum(copy.facts.bytes for group in groups for copy in group[1:])
        typer.echo(
            f"{len(groups):,} photos have {further:,} further copies, {wasted / 1e6:,.1f} MB"
        )
    if not groups:
        typer.echo(f"{opened.location}: no copies were found.", err=True)
        raise typer.Exit(1)


def _kind(copy: Copy, group: list[Copy]) -> str:
    if _first_of_its_bytes(copy, group) is not copy:
        return "same"
    return "" if copy is group[0] else f"{copy.cosine:.3f}"


def _first_of_its_bytes(copy: Copy, group: list[Copy]) -> Copy:
    return next(one for one in group if one.content == copy.content)


def _record(copy: Copy, group: list[Copy]) -> dict[str, Any]:
    facts = copy.facts
    first = _first_of_its_bytes(copy, group)
    return {
        "path": str(facts.path),
        "width": facts.width,
        "height": facts.height,
        "bytes": facts.bytes,
        "taken": None if facts.taken is None else facts.taken.isoformat(),
        "cosine": round(copy.cosine, 4),
        "same_bytes_as": None if first is copy else str(first.facts.path),
    }


def _table(groups: list[list[Copy]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    for name in ("group", "copy", "pixels", "kB"):
        table.add_column(name, justify="right")
    table.add_column("path", overflow="fold")
    for number, group in enumerate(groups, start=1):
        for copy in group:
            facts = copy.facts
            table.add_row(
                str(number),
                _kind(copy, group),
                f"{facts.width} x {facts.height}",
                f"{facts.bytes / 1e3:,.0f}",
                Text(printable(facts.path)),
            )
    return table
