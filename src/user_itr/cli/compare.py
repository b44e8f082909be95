"""`user-itr compare`: two evaluations of the same items, with significance."""

from __future__ import annotations

from pathlib import Path

import typer

from user_itr.errors import ConfigError


def compare_command(
    first: Path = typer.Argument(..., metavar="A.json", help="Written by evaluate --json."),
    second: Path = typer.Argument(..., metavar="B.json", help="The same, of the other model."),
    moved: int = typer.Option(10, "--moved", help="Queries to show that moved most; 0 for none."),
    json: Path | None = typer.Option(None, "--json", help="Also write the result to this file."),
) -> None:
    """Show where B is better or worse than A, and whether chance would do the same."""
    from rich.console import Console

    from user_itr.evaluation.comparison import compare, comparison_table, moved_table
    from user_itr.evaluation.document import read_document, write_document
    from user_itr.evaluation.outputs import check_outputs

    if moved < 0:
        raise ConfigError(f"--moved {moved}: give 0 or more.")
    check_outputs({"--json": json}, {})
    found = compare(read_document(first), read_document(second), moved=moved)
    console = Console()
    console.print(comparison_table(found))
    for direction in ("i2t", "t2i"):
        if found.moved[direction]:
            console.print(moved_table(found, direction))
    if json is not None:
        write_document(json, found.to_dict())
        typer.echo(f"written to {json}", err=True)
