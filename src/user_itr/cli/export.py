"""`user-itr export`: a trained model as a folder to give away, which runs without PyTorch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from user_itr.errors import CheckpointError, ConfigError
from user_itr.extras import extra_needed

if TYPE_CHECKING:
    from user_itr.model.onnx_files import Precision


def export_command(
    model: str = typer.Argument(..., help="Run or checkpoint."),
    out: Path = typer.Argument(..., help="Folder to make."),
    data: Path | None = typer.Option(
        None, "--data", help="Captioned set to check it on; by default that of the training."
    ),
    split: str = typer.Option("dev", "--split", help="Its split."),
    features: Path | None = typer.Option(None, "--features", help="Feature store of the split."),
    calibrate: bool = typer.Option(
        True,
        "--calibrate/--no-calibrate",
        help="Read the set: to check the export, and to name words that the training lacked.",
    ),
    precision: str = typer.Option(
        "float16",
        "--precision",
        help="Of the weights: float16, float32, or int8, which is a model of its own.",
    ),
    license: str = typer.Option(
        "unknown",
        "--license",
        help="For the card, by the name of the Hugging Face hub: apache-2.0, cc-by-nc-4.0, other.",
    ),
    views: str | None = typer.Option(
        None,
        "--views",
        help="Average the vectors of these views of a photo: whole,mirror,centre-85 for instance, "
        "which is a model of its own too. By default those of the training.",
    ),
) -> None:
    """Write a model to share, for ONNX Runtime: checked, no paths of this machine in it.

    The folder can be uploaded to the Hugging Face hub as it is; README.md is its card.

    The embeddings are compared with PyTorch's before the folder is there. In float16 and float32
    they may be searched in an index that the run itself made, and the folder is a checkpoint too.

    Exit code: 0 done, 2 a mistake.
    """
    if precision not in ("float16", "float32", "int8"):
        raise ConfigError(f"--precision {precision!r}: use float16, float32 or int8.")
    if out.exists():
        raise CheckpointError(f"{out}: is there already; choose another folder.")
    with extra_needed("export"):
        from user_itr.cli.progress import progress_of
        from user_itr.model.card import check_licence
        from user_itr.model.checkpoint import load_model
        from user_itr.model.embedder import Embedder
        from user_itr.model.exporting import export_model, with_views
        from user_itr.model.split_embeddings import embed_split, load_split
        from user_itr.model.vocabulary import Vocabulary
    check_licence(license)
    trained = load_model(model)
    if views is not None:
        trained = with_views(trained, views.split(","))
    embedded = None
    if calibrate:
        embedder = Embedder(trained)
        train = load_split(embedder, "train", data=data).split
        trained = replace(trained, vocabulary=Vocabulary.of(train.captions))
        embedded = embed_split(embedder, split, progress_of, data=data, features=features)
    cosine = export_model(
        trained, out, embedded, precision=cast("Precision", precision), licence=license
    )
    size = sum(file.stat().st_size for file in out.iterdir())
    typer.echo(f"{out}: {size / 1e6:.1f} MB, least cosine to PyTorch's embeddings {cosine:.4f}")
