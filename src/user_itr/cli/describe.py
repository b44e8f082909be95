"""`user-itr sentences` and `user-itr describe`: captions for a photo, out of your own sentences."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from user_itr.cli.index import (
    INDEX_HELP,
    default_index,
    find_model,
    load_encoder,
    print_table,
)
from user_itr.cli.printing import printable
from user_itr.cli.query_photo import query_photo


def sentences_command(
    files: list[Path] = typer.Argument(..., help="Text files, one sentence a line."),
    index: str | None = typer.Option(None, "--index", help=INDEX_HELP),
    model: str | None = typer.Option(
        None, "--model", help="Where the index's checkpoint is now, if it moved."
    ),
) -> None:
    """Index sentences, in the place of those before; `describe` and the page choose among them.

    Exit code: 0 done, 2 a mistake.
    """
    from user_itr.search.index import ImageIndex
    from user_itr.search.sentences import SentenceStore, read_sentences

    found = [sentence for file in files for sentence in read_sentences(file)]
    opened = ImageIndex.open(index or default_index())
    encoder = load_encoder(find_model(model, opened.location))
    count = SentenceStore(opened).replace(found, encoder)
    typer.echo(f"{count:,} sentences in {printable(opened.location)}")


def describe_command(
    photo: Path = typer.Argument(
        ..., help="A photo, indexed or not; - reads it from standard input."
    ),
    index: str | None = typer.Option(None, "--index", help=INDEX_HELP),
    top: int = typer.Option(5, "--top", "-k", min=1, max=1_000, help="Number of sentences."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
    model: str | None = typer.Option(
        None, "--model", help="Where the index's checkpoint is now, if it moved."
    ),
) -> None:
    """Find the indexed sentences that describe a photo best; those that do not fit are left out.

    Exit code: 0 with results, 1 if there are none, 2 a mistake.
    """
    from user_itr.search.index import ImageIndex
    from user_itr.search.matching.judging import described
    from user_itr.search.query import photo_embedding
    from user_itr.search.sentences import SentenceStore

    opened = ImageIndex.open(index or default_index())
    store = SentenceStore(opened)
    if not len(store):
        typer.echo(
            f"{opened.location}: no sentences are indexed; add some with `user-itr sentences "
            "FILE`.",
            err=True,
        )
        raise typer.Exit(1)
    with query_photo(photo) as file:
        encoder = load_encoder(find_model(model, opened.location))
        opened.check_model(encoder)
        found = described(opened, encoder, photo_embedding(encoder, file), top)
    results = [
        {
            "match": None if match is None else match._asdict(),
            "score": sentence.score,
            "text": sentence.text,
        }
        for sentence, match in found
    ]
    if as_json:
        typer.echo(json.dumps({"image": str(photo), "sentences": results}, indent=2))
    if not found:
        typer.echo(f"{opened.location}: none of its sentences fits this photo.", err=True)
        raise typer.Exit(1)
    if as_json:
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    table.add_column("match")
    table.add_column("score", justify="right")
    table.add_column("sentence", overflow="fold")
    for sentence, match in found:
        shown = "" if match is None else str(match)
        table.add_row(shown, f"{sentence.score:.4f}", Text(printable(sentence.text)))
    print_table(table)
