"""`user-itr encode`: embeddings of a large collection, in shards, here or on a cluster."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import typer

from user_itr.errors import ConfigError
from user_itr.pretrained import DEFAULT

if TYPE_CHECKING:
    from user_itr.bulk.encoding import EncodingReport

LISTED = 20
"""So many skipped images are printed; skipped.jsonl has all."""


def encode_command(
    sources: list[Path] = typer.Argument(
        ...,
        metavar="SOURCE...",
        help="Folders of images or of WebDataset tars, looked through recursively, and tars.",
    ),
    out: Path = typer.Option(..., "--out", help="Folder of the shards."),
    model: str | None = typer.Option(
        None,
        "--model",
        help="Run, checkpoint, folder of a published model, or a name (see `user-itr models`); by "
        "default USER_ITR_MODEL, or the model that ships.",
    ),
    engine: str = typer.Option(
        "local", "--engine", help="local, processes of this machine, or ray (extra: ray)."
    ),
    format: str = typer.Option("parquet", "--format", help="Of the shards: parquet or lance."),
    dtype: str = typer.Option("float32", "--dtype", help="Of the embeddings: float32 or float16."),
    shard_rows: int = typer.Option(
        4096, "--shard-rows", min=1, help="Images a shard, a multiple of --batch-size."
    ),
    batch_size: int = typer.Option(32, "--batch-size", min=1, help="Images encoded at once."),
    workers: int = typer.Option(
        2,
        "--workers",
        min=1,
        help="Processes that decode for each encoder; with Ray also the CPUs it takes.",
    ),
    address: str | None = typer.Option(
        None,
        "--address",
        help="Ray cluster: auto or HOST:PORT; by default one is started here.",
    ),
    overwrite: bool = typer.Option(
        False, "--overwrite", help="Begin anew where --out holds other embeddings."
    ),
) -> None:
    """Encode large collections into shards of embeddings; run again, it makes those missing.

    Exit code: 0 done, 1 some images were skipped (see skipped.jsonl), 2 a mistake.
    """
    from user_itr.bulk.collection import Dtype, ShardFormat
    from user_itr.bulk.encoding import Engine, encode_collection
    from user_itr.cli.index import MODEL_VARIABLE, load_encoder
    from user_itr.cli.progress import progress_of
    from user_itr.hub.names import announced_model

    given: dict[str, Any] = {}
    for name, value, allowed in (
        ("engine", engine, get_args(Engine)),
        ("format", format, get_args(ShardFormat)),
        ("dtype", dtype, get_args(Dtype)),
    ):
        if value not in allowed:
            raise ConfigError(f"--{name} {value!r}: use {' or '.join(allowed)}.")
        given[name] = value
    if address is not None and engine != "ray":
        raise ConfigError("--address goes with --engine ray.")
    # as recorded, for workers whose folder is another
    checkpoint = announced_model(model or os.environ.get(MODEL_VARIABLE) or DEFAULT).recorded
    with ExitStack() as listing, progress_of("encoding") as show:
        list_more = listing.enter_context(progress_of("listing"))

        def show_encoding(done: int, total: int) -> None:
            listing.close()
            show(done, total)

        report = encode_collection(
            sources,
            out,
            partial(load_encoder, checkpoint),
            checkpoint,
            shard_rows=shard_rows,
            batch_size=batch_size,
            workers=workers,
            address=address,
            overwrite=overwrite,
            listed=lambda count: list_more(count, None),
            progress=show_encoding,
            **given,
        )
    _print(report, out)
    if report.skipped:
        raise typer.Exit(1)


def _print(report: EncodingReport, out: Path) -> None:
    from user_itr.cli.printing import printable

    for path, reason in report.skipped[:LISTED]:
        typer.echo(f"skipped {printable(path)}: {printable(reason)}", err=True)
    if len(report.skipped) > LISTED:
        more = len(report.skipped) - LISTED
        typer.echo(f"skipped {more:,} more; {printable(out / 'skipped.jsonl')} has all", err=True)
    manifest = report.manifest
    state = f"{manifest.rows:,} embeddings in {len(manifest.shards):,} shards in {printable(out)}"
    if report.resumed == manifest.planned:
        typer.echo(f"{state}, finished before; nothing to do")
        return
    typer.echo(
        f"{state}; {report.encoded:,} images in {report.seconds:.1f} s, "
        f"{report.encoded / report.seconds:.1f}/s"
    )
