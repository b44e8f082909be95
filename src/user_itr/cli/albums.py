"""`user-itr albums`: what was added to photos on the page, listed, exported and imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from user_itr.cli.index import INDEX_HELP, default_index, print_table
from user_itr.cli.printing import printable

if TYPE_CHECKING:
    from rich.table import Table

    from user_itr.search.albums import Album


def albums_command(
    index: str | None = typer.Option(None, "--index", help=INDEX_HELP),
    export: Path | None = typer.Option(
        None,
        "--export",
        metavar="FILE",
        help="Write albums, favourites and hidden photos to a file of JSON.",
    ),
    read: Path | None = typer.Option(
        None,
        "--import",
        metavar="FILE",
        help="Add what such a file has to this index; nothing is taken away.",
    ),
) -> None:
    """List the albums of an index, and how many photos are favourites or hidden.

    They are made on the page (`user-itr serve`). `search --album NAME` looks into one.

    Exit code: 0 done, 2 a mistake.
    """
    from user_itr.search.albums import Albums, read_exported, write_exported
    from user_itr.search.index import ImageIndex

    albums = Albums(ImageIndex.open(index or default_index()))
    if read is not None:
        albums.merge(read_exported(read))
    if export is not None:
        exported = albums.export()
        write_exported(exported, export)
        typer.echo(
            f"{printable(export)}: {len(exported.albums):,} albums, "
            f"{len(exported.favourites):,} favourites, {len(exported.hidden):,} hidden photos"
        )
        return
    if listed := albums.list():
        print_table(_table(listed))
    else:
        typer.echo("no albums yet; make one on the page (`user-itr serve`)")
    typer.echo(f"{albums.favourites():,} favourites, {albums.hidden():,} hidden photos")


def _table(albums: list[Album]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    table.add_column("album", overflow="fold")
    table.add_column("photos", justify="right")
    table.add_column("made on")
    for album in albums:
        made = album.created.astimezone().date().isoformat()
        table.add_row(Text(printable(album.name)), f"{album.photos:,}", made)
    return table
