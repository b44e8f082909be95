"""`user-itr features`: extract region features of images, and look into a feature store."""

from __future__ import annotations

import json
import os
from pathlib import Path

import typer

app = typer.Typer(
    help="Turn images into region features, and look into a feature store.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def extract(
    source: Path = typer.Argument(
        help="A captioned image set, or a folder of images.", show_default=False
    ),
    out: Path = typer.Argument(help="The folder of the feature store.", show_default=False),
    backbone: str = typer.Option(
        "efficientnet-lite0",
        help="efficientnet-lite0, -lite1, -lite2, transformers:PATH_OR_NAME or timm:NAME.",
    ),
    format: str = typer.Option(
        "auto", help="The set's format; `folder` takes every image below a folder."
    ),
    images: Path | None = typer.Option(
        None, help="The set's image folder, where the set does not tell.", show_default=False
    ),
    split: str = typer.Option("all", help="The split to take."),
    batch_size: int = typer.Option(32, min=1, help="Images a batch."),
    workers: int = typer.Option(
        min(4, os.cpu_count() or 1), min=1, help="Threads that decode images.", show_default=False
    ),
    overwrite: bool = typer.Option(
        False, "--overwrite", help="Replace a store that other settings made."
    ),
) -> None:
    """Extract region features of images into a memory-mapped store.

    A run that was stopped continues where it stopped when the same command is given again. The
    exit code is 1 when images were skipped because they cannot be decoded.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from user_itr.features.backbones.registry import create_backbone
    from user_itr.features.extraction import extract_features
    from user_itr.features.sources import find_source_images
    from user_itr.features.store import FeatureStore

    found, problems = find_source_images(source, split=split, format=format, images=images)
    if problems:
        typer.echo(
            f"{len(problems)} problems in {source}, the first is {problems[0]} "
            "See `user-itr data check`.",
            err=True,
        )
    network = create_backbone(backbone)
    console = Console(stderr=True)
    with Progress(
        TextColumn("extracting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as bar:

        def show(done: int, total: int) -> None:
            if not bar.tasks:
                bar.add_task("", completed=done, total=total, rate="")
                return
            task = bar.tasks[0]
            rate = f"{task.speed:.0f} images/s" if task.speed else ""
            bar.update(task.id, completed=done, rate=rate)

        report = extract_features(
            found,
            network,
            out,
            batch_size=batch_size,
            workers=workers,
            overwrite=overwrite,
            progress=show,
        )
    store = FeatureStore.open(out)
    for image in report.skipped:
        typer.echo(f"skipped {image.image_id}: {image.reason}", err=True)
    manifest = store.manifest
    resumed = f" ({report.resumed} of them earlier)" if report.resumed else ""
    typer.echo(
        f"{out}: {len(store)} of {report.images} images{resumed}, {manifest.regions} regions of "
        f"width {manifest.width}, {store.array.nbytes / 1e6:.1f} MB of float16"
    )
    if report.skipped:
        typer.echo(f"{len(report.skipped)} of {report.images} images skipped", err=True)
        raise typer.Exit(1)


@app.command()
def info(
    store: Path = typer.Argument(help="The folder of a feature store.", show_default=False),
    verify: bool = typer.Option(
        False, "--verify", help="Read the whole array and compare its SHA-256."
    ),
) -> None:
    """Print what a feature store holds and how it was made."""
    from user_itr.features.store import FeatureStore

    opened = FeatureStore.open(store)
    if verify:
        opened.verify()
    manifest = opened.manifest
    for field, value in (
        ("images", len(opened)),
        ("skipped", len(manifest.skipped)),
        ("regions", manifest.regions),
        ("width", manifest.width),
        ("array", f"{opened.array.nbytes / 1e6:.1f} MB of {manifest.dtype}"),
        ("array SHA-256", f"{manifest.features_sha256}{' (verified)' if verify else ''}"),
        ("backbone", manifest.backbone),
        ("weights SHA-256", manifest.weights_hash),
        ("preprocessing", json.dumps(manifest.preprocessing)),
        ("batch size", manifest.batch_size),
        ("created with", ", ".join(f"{k} {v}" for k, v in manifest.created_with.items())),
        ("format version", manifest.format_version),
    ):
        typer.echo(f"{field:<17}{value}")
    for image in manifest.skipped:
        typer.echo(f"{'skipped':<17}{image.image_id}: {image.reason}")
