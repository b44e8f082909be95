"""`user-itr convert`: an official USER or VSE-infinity checkpoint to one of ours."""

from __future__ import annotations

from pathlib import Path

import typer


def convert_command(
    source: Path = typer.Argument(..., metavar="OFFICIAL", help="Official checkpoint (.pth)."),
    out: Path = typer.Argument(..., metavar="OUT", help="Folder of the new checkpoint."),
    tokenizer: Path | None = typer.Option(
        None,
        "--tokenizer",
        help="Folder with its BERT's tokenizer.json or vocab.txt, where that is not uncased BERT.",
    ),
) -> None:
    """Convert an official checkpoint, running nothing that is in it."""
    from user_itr.conversion.converting import convert_checkpoint
    from user_itr.errors import CheckpointError
    from user_itr.model.checkpoint import save_model

    if out.exists():
        raise CheckpointError(f"{out}: is there already; choose another folder.")
    conversion = convert_checkpoint(source, tokenizer)
    model = conversion.model
    save_model(out, model)
    regions, width = model.features["regions"], model.features["width"]
    trained = [str(model.metrics["data_name"])] if "data_name" in model.metrics else []
    trained += [f"epoch {model.metrics['epoch']}"] if "epoch" in model.metrics else []
    trained += [f"dev rsum {model.metrics['rsum']:.1f}"] if "rsum" in model.metrics else []
    typer.echo(f"{conversion.method} ({', '.join(trained) or 'nothing known of its training'})")
    typer.echo(f"reads {regions} regions of width {width}, embeds {model.settings.model.embedding}")
    if conversion.unused:
        typer.echo(f"left out, never read by its forward pass: {', '.join(conversion.unused)}")
    typer.echo(f"written to {out}")
