"""`user-itr features`: extract features of images, and look into a feature store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from user_itr.cli.printing import printable

if TYPE_CHECKING:
    from user_itr.features.extraction import ExtractionReport
    from user_itr.features.store import FeatureStore

app = typer.Typer(
    help="Turn images into region features, and look into a feature store.",
    no_args_is_help=True,
    add_completion=False,
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
    guide: str | None = typer.Option(
        None,
        help="Also store one vector an image, for CLIP-guided enhancement: "
        "transformers:PATH_OR_NAME, open_clip:MODEL@PRETRAINED, or a backbone for the mean of its "
        "regions.",
        show_default=False,
    ),
    format: str = typer.Option(
        "auto", help="The set's format; `folder` takes every image below a folder."
    ),
    images: Path | None = typer.Option(
        None, help="The set's image folder, where the set does not tell.", show_default=False
    ),
    split: str = typer.Option("all", help="The split to take."),
    batch_size: int = typer.Option(32, min=1, max=65_536, help="Images a batch."),
    workers: int | None = typer.Option(
        None,
        min=1,
        max=256,
        help="Threads that decode images; by default one a core, at most 16.",
        show_default=False,
    ),
    runtime: str = typer.Option(
        "torch",
        help="torch, onnxruntime (more than twice as fast on a CPU, other last bits), or auto.",
    ),
    overwrite: bool = typer.Option(
        False, "--overwrite", help="Replace a store that other settings made."
    ),
) -> None:
    """Extract region features of images into a memory-mapped store, and a guide beside them.

    A run that was stopped continues where it stopped when the same command is given again. The
    exit code is 1 when images were skipped because they cannot be decoded.
    """
    from user_itr.cli.progress import progress_of
    from user_itr.features.backbones.registry import create_backbone
    from user_itr.features.extraction import extract_features
    from user_itr.features.guides.registry import create_guide, guide_folder
    from user_itr.features.guides.storage import extract_guide
    from user_itr.features.runtime import for_extraction
    from user_itr.features.sources import find_source_images
    from user_itr.features.store import FeatureStore
    from user_itr.runtime.loading import as_runtime

    chosen = as_runtime(runtime, "--runtime")
    found, problems = find_source_images(source, split=split, format=format, images=images)
    if problems:
        typer.echo(
            f"{len(problems)} problems in {source}, the first is {problems[0]} "
            "See `user-itr data check`.",
            err=True,
        )
    if guide is not None:
        create_guide(guide)  # a wrong name shows now, not after the regions
    network = for_extraction(create_backbone(backbone), chosen)
    with progress_of("regions") as progress:
        report = extract_features(
            found,
            network,
            out,
            batch_size=batch_size,
            workers=workers,
            overwrite=overwrite,
            progress=progress,
        )
    store = FeatureStore.open(out)
    _print_report(store, report)
    skipped = len(report.skipped)
    if guide is not None:
        with progress_of("guide") as progress:
            report = extract_guide(
                store,
                guide,
                dict(found),
                batch_size=batch_size,
                workers=workers,
                overwrite=overwrite,
                runtime=chosen,
                progress=progress,
            )
        _print_report(FeatureStore.open(guide_folder(out, guide)), report)
        skipped += len(report.skipped)
    if skipped:
        raise typer.Exit(1)


def _print_report(store: FeatureStore, report: ExtractionReport) -> None:
    for image in report.skipped:
        typer.echo(printable(f"skipped {image.image_id}: {image.reason}"), err=True)
    manifest = store.manifest
    resumed = f" ({report.resumed} of them earlier)" if report.resumed else ""
    vectors = "one vector" if manifest.regions == 1 else f"{manifest.regions} regions"
    typer.echo(
        f"{store.path}: {len(store)} of {report.images} images{resumed}, "
        f"{vectors} of width {manifest.width}, {store.array.nbytes / 1e6:.1f} MB of float16"
    )
    if report.skipped:
        typer.echo(f"{len(report.skipped)} of {report.images} images skipped", err=True)


@app.command()
def info(
    store: Path = typer.Argument(help="The folder of a feature store.", show_default=False),
    verify: bool = typer.Option(
        False, "--verify", help="Read the whole array and compare its SHA-256."
    ),
) -> None:
    """Print what a feature store holds and how it was made, and the guides beside it."""
    from user_itr.features.guides.storage import stored_guides
    from user_itr.features.store import FeatureStore

    opened = FeatureStore.open(store)
    guides = stored_guides(store)
    if verify:
        for each in (opened, *guides):
            each.verify()
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
        typer.echo(printable(f"{field:<17}{value}"))
    for image in manifest.skipped:
        typer.echo(printable(f"{'skipped':<17}{image.image_id}: {image.reason}"))
    for guide in guides:
        made = guide.manifest
        typer.echo(
            f"{'guide':<17}{made.backbone}: {len(guide)} images, width {made.width}, in "
            f"{guide.path.relative_to(store)}"
        )
