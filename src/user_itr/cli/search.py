"""`user-itr search`: find photos of an index by words, by a photo, or by both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from user_itr.cli.index import (
    INDEX_HELP,
    default_index,
    find_model,
    load_encoder,
    print_table,
)
from user_itr.cli.printing import printable
from user_itr.cli.query_photo import find_photo, query_photo
from user_itr.errors import ConfigError, DataError

if TYPE_CHECKING:
    from rich.table import Table

    from user_itr.search.found import Hit

DAYS = ["%Y-%m-%d"]

MOST = 1_000_000
"""Results, and pages of them, that can be asked for."""


def search_command(
    query: str | None = typer.Argument(
        None, help='Words: two dogs play in the snow. Or terms: "beach" - "people".'
    ),
    image: Path | None = typer.Option(
        None, "--image", help="Find photos like this one; - reads it from standard input."
    ),
    index: str | None = typer.Option(None, "--index", help=INDEX_HELP),
    top: int = typer.Option(10, "--top", "-k", min=1, max=MOST, help="Number of results."),
    page: int = typer.Option(
        1, "--page", min=1, max=MOST, help="Which --top results: 2 is the next ones."
    ),
    after: datetime | None = typer.Option(
        None, "--after", formats=DAYS, help="Taken on this day or later (EXIF, or the file's)."
    ),
    before: datetime | None = typer.Option(
        None, "--before", formats=DAYS, help="Taken on this day or before."
    ),
    folder: Path | None = typer.Option(None, "--folder", help="Only photos below this folder."),
    min_width: int | None = typer.Option(None, "--min-width", min=0, help="Pixels."),
    min_height: int | None = typer.Option(None, "--min-height", min=0, help="Pixels."),
    min_bytes: int | None = typer.Option(None, "--min-bytes", min=0, help="Size of the file."),
    max_bytes: int | None = typer.Option(None, "--max-bytes", min=0, help="Size of the file."),
    album: str | None = typer.Option(None, "--album", metavar="NAME", help="Only its photos."),
    favourites: bool = typer.Option(False, "--favourites", help="Only favourites."),
    everything: bool = typer.Option(
        False, "--all", help="Also photos that you hid on the page, which are left out else."
    ),
    exact: bool = typer.Option(
        False, "--exact", help="Compare every photo, also where there are 10,000 or more."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
    open_best: bool = typer.Option(False, "--open", help="Show the best result in a viewer."),
    thumbnails: bool | None = typer.Option(
        None,
        "--thumbnails/--no-thumbnails",
        help="Small pictures; by default where the terminal can show them.",
    ),
    model: str | None = typer.Option(
        None, "--model", help="Where the index's checkpoint is now, if it moved."
    ),
) -> None:
    """Search an index by words, by a photo, or by both (each counts the same).

    `match` says how well a photo fits the words: good, possible or weak, and what share of ordinary
    sentences fit the best photos of the index worse. `score` is the cosine.

    Exit code: 0 with results, 1 if there are none, 2 a mistake.
    """
    from user_itr.search.filters import Filters
    from user_itr.search.folders import with_indexed_folder
    from user_itr.search.index import ImageIndex
    from user_itr.search.matching.remarks import remarks
    from user_itr.search.query import parse_query, search

    if query is None and image is None:
        raise ConfigError("nothing to search for; give a text, --image FILE, or both.")
    if image is not None:
        find_photo(image)
    filters = Filters(
        None if after is None else after.date(),
        None if before is None else before.date(),
        folder,
        min_width,
        min_height,
        min_bytes,
        max_bytes,
        favourites=favourites,
        hidden="with" if everything else "without",
    )
    opened = ImageIndex.open(index or default_index())
    if album is not None:
        from user_itr.search.albums import in_album

        filters = in_album(opened, filters, album)
    words = None if query is None else parse_query(query)
    checkpoint = find_model(model, opened.location)
    hits: list[Hit] = []
    said: list[str] = []
    if len(opened):
        filters = with_indexed_folder(opened, filters)
        with query_photo(image) as photo:
            encoder = load_encoder(checkpoint)
            hits = search(
                opened,
                encoder,
                text=query,
                image=photo,
                k=top,
                offset=(page - 1) * top,
                filters=filters,
                exact=exact,
            )
        if words is not None:
            said = remarks(encoder, [*words.plus, *words.minus])
    if as_json:
        asked = {"query": query, "image": None if image is None else str(image)}
        results = [_record(hit) for hit in hits]
        typer.echo(json.dumps({**asked, "remarks": said, "results": results}, indent=2))
    elif hits:
        print_table(_ranking(hits))
        if page == 1 and hits[0].match is not None and hits[0].match.word == "weak":
            said.append("All matches are weak: try other words, or there is no such photo.")
        if image is None and opened.reference() is None:
            said.append("Matches are not known yet: run `user-itr index` on the photos once more.")
        for sentence in said:
            typer.echo(printable(sentence))
        _show_thumbnails(hits, thumbnails)
    if not hits:
        typer.echo(_why_nothing(opened, filters != Filters(), page), err=True)
        raise typer.Exit(1)
    if open_best and typer.launch(str(hits[0].path)):
        raise DataError(f"{hits[0].path}: no viewer could be started; open it by hand.")


def print_results(queries: Sequence[str], index: Path, top: int) -> None:
    """Search an index by several texts and print each command with its table."""
    from user_itr.search.index import ImageIndex
    from user_itr.search.query import search

    opened = ImageIndex.open(index)
    encoder = load_encoder(find_model(None, index))
    for query in queries:
        typer.echo(f'\nuser-itr search "{query}" --index {index} --top {top}')
        print_table(_ranking(search(opened, encoder, text=query, k=top)))


def _record(hit: Hit) -> dict[str, Any]:
    return {
        "rank": hit.rank,
        "match": None if hit.match is None else hit.match._asdict(),
        "score": hit.score,
        "path": str(hit.path),
        "width": hit.width,
        "height": hit.height,
    }


def _why_nothing(opened: Any, filtered: bool, page: int) -> str:
    if not len(opened):
        return f"{opened.location}: the index is empty; add photos with `user-itr index PHOTOS`."
    if page > 1:
        return f"{opened.location}: there is no page {page}; ask for an earlier one."
    if filtered:
        return f"{opened.location}: no other photos are left; ask with wider limits."
    return (
        f"{opened.location}: the index has no other photos; add some with `user-itr index PHOTOS`."
    )


def _ranking(hits: list[Hit]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    readable = any(hit.match is not None for hit in hits)
    table = Table(box=box.SIMPLE)
    table.add_column("rank", justify="right")
    if readable:
        table.add_column("match")
    table.add_column("score", justify="right")
    table.add_column("path", overflow="fold")
    for hit in hits:
        shown = [str(hit.match)] if readable else []
        table.add_row(str(hit.rank), *shown, f"{hit.score:.4f}", Text(printable(hit.path)))
    return table


def _show_thumbnails(hits: list[Hit], wanted: bool | None) -> None:
    import sys

    if wanted is False or (wanted is None and not sys.stdout.isatty()):
        return
    from user_itr.cli.thumbnails import print_thumbnails

    print_thumbnails([(hit.rank, hit.path) for hit in hits], forced=bool(wanted))
