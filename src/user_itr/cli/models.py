"""`user-itr models`: which published models to choose from, and fetching one."""

from __future__ import annotations

import typer

from user_itr.cli.printing import printable

app = typer.Typer(
    help="List published models, and fetch one.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    invoke_without_command=True,
)


@app.callback()
def models_command(context: typer.Context) -> None:
    """List a short choice of published models, and which are on this machine.

    Each name works wherever a model is taken, once `user-itr models get NAME` has fetched it; so
    does any OWNER/NAME of the Hugging Face hub.

    Exit code: 0 done, 2 a mistake.
    """
    if context.invoked_subcommand is not None:
        return
    from rich import box
    from rich.table import Table

    from user_itr.cli.index import print_table
    from user_itr.hub.catalogue import CATALOGUE

    table = Table(box=box.SIMPLE)
    for title in ("name", "for", "MB", "width", "languages", "licence", "ImageNet", "fetched"):
        table.add_column(title, justify="right" if title in ("MB", "width", "ImageNet") else "left")
    for model in CATALOGUE:
        table.add_row(
            model.name,
            model.suits,
            f"{model.megabytes:,}",
            str(model.width),
            model.languages,
            model.licence,
            f"{model.imagenet:.1f} %",
            "yes" if _is_here(model.name) else "",
        )
    print_table(table)
    for model in CATALOGUE:
        source, train = model.source, "" if model.light else "; first use takes the extra `train`"
        typer.echo(
            f"{model.name}: {source.repository} at {(source.revision or '')[:7]}, figure of "
            f"{model.figure_from}{train}"
        )
    others = _others()
    if others:
        typer.echo(f"also fetched: {', '.join(map(printable, others))}")
    typer.echo(
        "\nMB: to fetch, about. Width: of an embedding. ImageNet: published zero-shot top-1\n"
        "accuracy, in full precision.\n"
        "Fetch one with `user-itr models get NAME`, or any OWNER/NAME of the Hugging Face hub."
    )


@app.command("get")
def get_command(
    name: str = typer.Argument(
        ...,
        help="A name that `user-itr models` lists, or OWNER/NAME[@REVISION][/FILE] of the Hugging "
        "Face hub; FILE chooses among ONNX files and weights.",
    ),
) -> None:
    """Fetch a model into the hub's cache; interrupted, it goes on where it stopped.

    Its commit and the hashes of its files are recorded, and hold from then on; NAME@main fetches
    the newest. Nothing that runs as code is fetched.

    Exit code: 0 it is there, 2 a mistake, no network, no room, or a wrong hash.
    """
    from user_itr.cli.progress import progress_of
    from user_itr.hub.fetching import fetch_model

    with progress_of("fetching, MB") as show:
        fetched = fetch_model(name, lambda done, total: show(_megabytes(done), _megabytes(total)))
    state = "fetched" if fetched.received else "there already, its hashes are right"
    typer.echo(f"{fetched.name}: {state}, {fetched.bytes / 1e6:,.1f} MB")


def _megabytes(size: int) -> int:
    return -(-size // 1_000_000)


def _is_here(name: str) -> bool:
    from user_itr.errors import CheckpointError
    from user_itr.hub.names import resolve_model

    try:
        return resolve_model(name) is not None
    except CheckpointError:
        return False


def _others() -> list[str]:
    """What was fetched besides the choice."""
    from user_itr.hub.catalogue import CATALOGUE
    from user_itr.hub.records import read_records

    chosen = {model.source.repository for model in CATALOGUE}
    return [name for name in read_records() if name not in chosen]
