"""`user-itr evaluate`: recall both ways of a checkpoint on a split of a captioned set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from user_itr.errors import ConfigError

if TYPE_CHECKING:
    from user_itr.evaluation.folds import FoldedMetrics
    from user_itr.evaluation.metrics import CrossModalMetrics


class Evaluation(NamedTuple):
    """What `evaluate_checkpoint` found.

    Args:
        metrics: of the whole split.
        folded: of the split's folds, where they were asked for.
        dataset: name of the data set.
        extra: what to write beside the metrics.
    """

    metrics: CrossModalMetrics
    folded: FoldedMetrics | None
    dataset: str
    extra: dict[str, object]


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
    folds: int | None = typer.Option(
        None, "--folds", help="Also the mean over N equal folds: 5 for MSCOCO's 1K figures."
    ),
    json: Path | None = typer.Option(None, "--json", help="Also write the result to this file."),
) -> None:
    """Print recall at K, median and mean rank of both directions, and rsum."""
    from rich.console import Console

    from user_itr.evaluation.report import folds_table, metrics_table, write_metrics

    cutoffs = _cutoffs(k)
    metrics, folded, name, extra = evaluate_checkpoint(
        model,
        data,
        split,
        format=format,
        images=images,
        features=features,
        cutoffs=cutoffs,
        folds=folds,
    )
    console = Console()
    console.print(metrics_table(metrics, f"{name}, {split}"))
    if folded is not None:
        console.print(folds_table(folded, f"{name}, {split}: mean of {folds} folds"))
    if json is not None:
        write_metrics(json, metrics, dataset=name, split=split, folded=folded, extra=extra)
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
    folds: int | None = None,
) -> Evaluation:
    """Embed a split with a checkpoint and rank it, whole and by folds, each image encoded once."""
    from user_itr.cli.progress import progress_of
    from user_itr.evaluation.embedding_scores import EmbeddingScores
    from user_itr.evaluation.folds import evaluate_folds
    from user_itr.evaluation.metrics import evaluate_scores
    from user_itr.evaluation.relevance import Relevance
    from user_itr.model.checkpoint import resolve_checkpoint
    from user_itr.model.embedder import load
    from user_itr.model.split_embeddings import embed_split

    embedder = load(model)
    embedded = embed_split(
        embedder, split, progress_of, data=data, format=format, images=images, features=features
    )
    scores = EmbeddingScores(embedded.images, embedded.captions)
    relevance = Relevance.from_caption_image(embedded.split.caption_image, scores.shape[0])
    folded = None if folds is None else evaluate_folds(scores, relevance, folds, cutoffs)
    metrics = evaluate_scores(scores, relevance, cutoffs)
    extra: dict[str, object] = {
        "checkpoint": resolve_checkpoint(model).name,
        "fingerprint": embedder.fingerprint,
        "settings": embedder.model.settings.model_dump(mode="json"),
    }
    return Evaluation(metrics, folded, embedded.split.name, extra)


def _cutoffs(text: str) -> tuple[int, ...]:
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or min(values) < 1:
        raise ConfigError(f"--k {text!r}: give whole numbers from 1 on with commas, like 1,5,10.")
    return values
