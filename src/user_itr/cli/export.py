"""`user-itr export`: a trained model as a folder to give away."""

from __future__ import annotations

from pathlib import Path

import typer

from user_itr.errors import CheckpointError


def export_command(
    model: str = typer.Argument(..., help="Run or checkpoint."),
    out: Path = typer.Argument(..., help="Folder to make."),
    data: Path | None = typer.Option(
        None, "--data", help="Captioned set to calibrate on; by default that of the training."
    ),
    split: str = typer.Option("dev", "--split", help="Its split."),
    features: Path | None = typer.Option(None, "--features", help="Feature store of the split."),
    calibrate: bool = typer.Option(
        True, "--calibrate/--no-calibrate", help="Fit the match percentages that searches show."
    ),
    half: bool = typer.Option(
        True, "--half/--full", help="Weights in float16, half the size, or in float32."
    ),
) -> None:
    """Write a model to share: no paths of this machine, float16, calibrated on the dev split.

    Exit code: 0 done, 2 a mistake.
    """
    from user_itr.cli.progress import progress_of
    from user_itr.model.checkpoint import load_model
    from user_itr.model.embedder import Embedder
    from user_itr.model.exporting import export_model
    from user_itr.model.split_embeddings import embed_split

    if out.exists():
        raise CheckpointError(f"{out}: is there already; choose another folder.")
    trained = load_model(model)
    embedded = None
    if calibrate:
        embedded = embed_split(Embedder(trained), split, progress_of, data=data, features=features)
    export_model(trained, out, embedded, half=half)
    size = sum(file.stat().st_size for file in out.iterdir())
    typer.echo(f"{out}: {size / 1e6:.1f} MB")
