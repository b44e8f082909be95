"""`user-itr evaluate`: recall both ways of a checkpoint on a split of a captioned set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from user_itr.errors import ConfigError, FeatureError

if TYPE_CHECKING:
    from user_itr.evaluation.metrics import CrossModalMetrics


def evaluate_command(
    model: Path = typer.Argument(..., metavar="MODEL", help="Checkpoint, or run (its best one)."),
    data: Path | None = typer.Option(
        None, "--data", help="Captioned set; by default the one of the training."
    ),
    split: str = typer.Option("test", "--split", help="Split to evaluate."),
    format: str = typer.Option("auto", "--format", help="Reader of the captioned set."),
    images: Path | None = typer.Option(None, "--images", help="Image folder of the set."),
    features: Path | None = typer.Option(
        None, "--features", help="Feature store; one in the cache folder by default."
    ),
    k: str = typer.Option("1,5,10", "--k", help="Cut-offs of the recall, with commas."),
    json: Path | None = typer.Option(None, "--json", help="Also write the result to this file."),
) -> None:
    """Print recall at K, median and mean rank of both directions, and rsum."""
    from rich.console import Console

    from user_itr.evaluation.report import metrics_table, write_metrics

    cutoffs = _cutoffs(k)
    metrics, name, extra = evaluate_checkpoint(
        model, data, split, format=format, images=images, features=features, cutoffs=cutoffs
    )
    Console().print(metrics_table(metrics, f"{name}, {split}"))
    if json is not None:
        write_metrics(json, metrics, dataset=name, split=split, extra=extra)
        typer.echo(f"written to {json}", err=True)


def evaluate_checkpoint(
    model: Path,
    data: Path | None,
    split: str,
    *,
    format: str = "auto",
    images: Path | None = None,
    features: Path | None = None,
    cutoffs: tuple[int, ...] = (1, 5, 10),
) -> tuple[CrossModalMetrics, str, dict[str, object]]:
    """Embed a split with a checkpoint and rank it, each image encoded once.

    Returns:
        The metrics, the data set's name, and what to write beside them.
    """
    from user_itr.cli.progress import progress_of
    from user_itr.data.readers import load_captions
    from user_itr.evaluation.metrics import evaluate_embeddings
    from user_itr.features.regions import open_regions
    from user_itr.features.store import FeatureStore
    from user_itr.model.checkpoint import resolve_checkpoint
    from user_itr.model.embedder import load

    embedder = load(model)
    settings = embedder.model.settings
    same_set = data is None
    path = settings.data.path if data is None else data
    if path is None:
        raise ConfigError("the checkpoint names no captioned set; give --data PATH.")
    captioned = load_captions(
        path,
        split,
        format=settings.data.format if same_set else format,
        images=images or (settings.data.images if same_set else None),
    )
    backbone = str(embedder.model.features["backbone"])
    store = features
    trained_on = settings.features.store if same_set else None
    # A store given for training serves where it has this split's images as well.
    if store is None and trained_on and FeatureStore.open(trained_on).holds(captioned.image_ids):
        store = trained_on
    with progress_of("extracting features") as advance:
        [regions] = open_regions([captioned], backbone, path, store, advance)
    kind = embedder.model.features
    differing = [name for name, value in regions.identity.items() if value != kind[name]]
    if differing:
        raise FeatureError(
            f"{path}: its features are not of the kind that the model was trained on "
            f"({', '.join(differing)} differ); extract them again with {backbone}."
        )
    image_embeddings = embedder.encode_regions(regions.array, regions.rows)
    caption_embeddings = embedder.encode_text(captioned.captions)
    metrics = evaluate_embeddings(
        image_embeddings, caption_embeddings, captioned.caption_image, cutoffs
    )
    extra: dict[str, object] = {
        "checkpoint": resolve_checkpoint(model).name,
        "fingerprint": embedder.fingerprint,
        "settings": settings.model_dump(mode="json"),
    }
    return metrics, captioned.name, extra


def _cutoffs(text: str) -> tuple[int, ...]:
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or min(values) < 1:
        raise ConfigError(f"--k {text!r}: give whole numbers from 1 on with commas, like 1,5,10.")
    return values
