"""`user-itr search`: find photos of an index by words, by a photo, or by both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from user_itr.cli.index import default_index, find_model, load_encoder, print_table, printable
from user_itr.errors import ConfigError, DataError

if TYPE_CHECKING:
    from rich.table import Table

    from user_itr.search.index import Hit


def search_command(
    query: str | None = typer.Argument(None, help='Words, such as "two dogs play in the snow".'),
    image: Path | None = typer.Option(None, "--image", help="Find photos like this one."),
    index: Path | None = typer.Option(
        None, "--index", help="Folder of the index; by default the one in the user's data folder."
    ),
    top: int = typer.Option(10, "--top", "-k", min=1, help="Number of results."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
    model: str | None = typer.Option(
        None, "--model", help="Where the index's checkpoint is now, if it moved."
    ),
) -> None:
    """Search an index by words, by a photo, or by both (each counts the same).

    Exit code: 0 with results, 1 if there are none, 2 a mistake.
    """
    from user_itr.search.index import ImageIndex
    from user_itr.search.query import search

    if query is None and image is None:
        raise ConfigError("nothing to search for; give a text, --image FILE, or both.")
    if image is not None and not image.is_file():
        raise DataError(f"{image}: no such image file; check the path.")
    opened = ImageIndex.open(index or default_index())
    checkpoint = find_model(model, opened.path)
    hits: list[Hit] = []
    if len(opened):
        encoder = load_encoder(checkpoint)
        hits = search(opened, encoder, text=query, image=image, k=top)
    if as_json:
        results = [
            {
                "rank": hit.rank,
                "score": hit.score,
                "path": str(hit.path),
                "width": hit.width,
                "height": hit.height,
            }
            for hit in hits
        ]
        asked = {"query": query, "image": None if image is None else str(image)}
        typer.echo(json.dumps({**asked, "results": results}, indent=2))
    elif hits:
        print_table(_ranking(hits))
    if not hits:
        typer.echo(
            f"{opened.path}: the index has no other photos; add some with `user-itr index PHOTOS`."
            if len(opened)
            else f"{opened.path}: the index is empty; add photos with `user-itr index PHOTOS`.",
            err=True,
        )
        raise typer.Exit(1)


def _ranking(hits: list[Hit]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    table.add_column("rank", justify="right")
    table.add_column("score", justify="right")
    table.add_column("path", overflow="fold")
    for hit in hits:
        table.add_row(str(hit.rank), f"{hit.score:.4f}", Text(printable(hit.path)))
    return table
