"""`user-itr evaluate`: recall both ways of checkpoints, embeddings or a similarity matrix."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from user_itr.errors import ConfigError, DataError

if TYPE_CHECKING:
    from rich.table import Table

    from user_itr.data.captions import CaptionedImages
    from user_itr.evaluation.evaluating import Request, Truths
    from user_itr.evaluation.ranks import TieRule
    from user_itr.evaluation.result import Fusion
    from user_itr.evaluation.sources import Source


def evaluate_command(
    models: list[Path] = typer.Argument(
        ...,
        metavar="MODEL...",
        help="Checkpoint, or run (its best one); folder with images.npy and captions.npy; "
        "similarity matrix, images x captions, as .npy. Several make an ensemble.",
    ),
    data: Path | None = typer.Option(
        None, "--data", help="Captioned set; by default the one of the training."
    ),
    split: str = typer.Option("test", "--split", help="Split to evaluate."),
    format: str = typer.Option("auto", "--format", help="Reader of the captioned set."),
    images: Path | None = typer.Option(None, "--images", help="Image folder of the set."),
    ids: Path | None = typer.Option(
        None,
        "--ids",
        help="dataset_coco.json with MSCOCO's ids of a set without them, like SCAN's folder, for "
        "--cxc and --eccv.",
    ),
    features: Path | None = typer.Option(
        None, "--features", help="Feature store; one in the cache folder by default."
    ),
    caption_image: Path | None = typer.Option(
        None,
        "--caption-image",
        help="In place of --data, for files without a set: .npy with each caption's image row.",
    ),
    k: str = typer.Option("1,5,10", "--k", help="Cut-offs of the recall, with commas."),
    ties: str = typer.Option(
        "pessimistic", "--ties", help="Tie rule: pessimistic, expected or optimistic."
    ),
    fusion: str = typer.Option("mean", "--fusion", help="Several models by: mean or rank."),
    folds: int | None = typer.Option(
        None, "--folds", help="Also the mean over N equal folds: 5 for MSCOCO's 1K figures."
    ),
    resamples: int = typer.Option(
        2000,
        "--resamples",
        max=1_000_000,
        help="Draws behind the 95 % intervals; 0 for no intervals.",
    ),
    cxc: Path | None = typer.Option(
        None, "--cxc", help="Also Crisscrossed Captions, with its annotation files in this folder."
    ),
    eccv: bool = typer.Option(False, "--eccv", help="Also ECCV Caption (extra: eccv)."),
    pmrp: Path | None = typer.Option(
        None, "--pmrp", help="Also PMRP, with this MSCOCO instances_*.json."
    ),
    precision: bool = typer.Option(False, "--precision", help="Also mAP@R, R-Precision, nDCG."),
    json: Path | None = typer.Option(None, "--json", help="Also write the result to this file."),
    report: Path | None = typer.Option(
        None, "--report", help="Also write a page to look at, one .html file."
    ),
) -> None:
    """Print recall at K, median and mean rank of both directions, and rsum."""
    from rich.console import Console

    from user_itr.evaluation.document import evaluation_document, write_document
    from user_itr.evaluation.evaluating import Request, evaluate_sources
    from user_itr.evaluation.page import write_page
    from user_itr.evaluation.report import folds_table, metrics_table

    if fusion not in ("mean", "rank"):
        raise ConfigError(f"--fusion {fusion!r}: use mean or rank.")
    request = Request(
        ks=_cutoffs(k),
        ties=cast("TieRule", ties),
        fusion=cast("Fusion", fusion),
        folds=folds,
        resamples=resamples,
        cxc=cxc,
        eccv=eccv,
        pmrp=pmrp,
        precision=precision,
        top=report is not None,
    )
    given = {"data": data, "format": format, "images": images, "ids": ids}
    sources, items, truths = _sources(models, split, given, features, caption_image, request)
    command = shlex.join(["user-itr", *sys.argv[1:]])
    result = evaluate_sources(sources, items, request, truths, command)
    console = Console()
    console.print(metrics_table(result.metrics, result.title, result.intervals))
    if result.folded is not None:
        console.print(folds_table(result.folded, f"{result.title}: mean of {folds} folds"))
    for name, document in result.protocols.items():
        console.print(_protocol_table(name, document))
    if json is not None:
        write_document(json, evaluation_document(result))
        typer.echo(f"written to {json}", err=True)
    if report is not None:
        write_page(result, report)
        typer.echo(f"page written to {report}", err=True)


def _sources(
    paths: list[Path],
    split: str,
    given: dict[str, Any],
    features: Path | None,
    caption_image: Path | None,
    request: Request,
) -> tuple[list[Source], CaptionedImages, Truths]:
    """Load or embed every model's scores of one split, once all that can be checked before is."""
    from user_itr.cli.progress import progress_of
    from user_itr.data.coco_ids import with_coco_ids
    from user_itr.data.identity import split_key
    from user_itr.data.readers import load_captions
    from user_itr.evaluation.sources import embeddings_source, open_files, source_kind
    from user_itr.model.embedder import load
    from user_itr.model.split_embeddings import embed_loaded, load_split

    kinds = [source_kind(path) for path in paths]
    embedders = {
        path: load(path) for path, kind in zip(paths, kinds, strict=True) if kind == "checkpoint"
    }
    if embedders:
        if caption_image is not None:
            raise ConfigError(
                "--caption-image goes with files of scores; a checkpoint needs a set."
            )
        loaded = {path: load_split(one, split, **given) for path, one in embedders.items()}
        first = next(iter(loaded))
        items = loaded[first].split
        for path, other in loaded.items():
            if split_key(other.split) != split_key(items):
                raise DataError(
                    f"{path}: was trained on another set than {first}, so that its {split} split "
                    "is another; give one set for all with --data."
                )
    elif caption_image is not None:
        items = _bare_items(caption_image, paths[0], split)
    elif given["data"] is not None:
        items = load_captions(given["data"], split, format=given["format"], images=given["images"])
        if given["ids"] is not None:
            items = with_coco_ids(items, given["ids"])
    else:
        raise ConfigError(
            f"{paths[0]}: files of scores do not say what is right; give --data SET, or "
            "--caption-image FILE.npy."
        )
    truths = request.prepare(items, len(paths))
    found = {
        path: open_files(path, items)
        for path, kind in zip(paths, kinds, strict=True)
        if kind != "checkpoint"
    }
    for path, embedder in embedders.items():
        embedded = embed_loaded(embedder, loaded[path], progress_of, features=features)
        found[path] = embeddings_source(
            str(path),
            "checkpoint",
            embedded.images,
            embedded.captions,
            embedder.fingerprint,
            embedder.model.settings.model_dump(mode="json"),
        )
    return [found[path] for path in paths], items, truths


def _bare_items(file: Path, scores: Path, split: str) -> CaptionedImages:
    """Items without a set: numbered, with the ground truth of a file."""
    from user_itr.data.captions import CaptionedImages
    from user_itr.evaluation.relevance import as_caption_image
    from user_itr.evaluation.sources import count_images, open_array

    rows = open_array(file)
    try:
        rows = as_caption_image(rows)
    except DataError as error:
        raise DataError(f"{file}: {error}") from None
    return CaptionedImages(
        scores.stem,
        split,
        tuple(f"image {row}" for row in range(count_images(scores))),
        tuple(f"caption {row}" for row in range(len(rows))),
        rows.astype("int64"),
    )


def _protocol_table(name: str, document: dict[str, Any]) -> Table:
    """The figures of a further protocol, one a line, by their names in the document."""
    from rich.table import Table

    titles = {
        "cxc": "Crisscrossed Captions",
        "eccv": "ECCV Caption",
        "pmrp": "Plausible matches",
        "precision": "All right answers",
    }
    table = Table("figure", title=titles[name])
    table.add_column("value", justify="right")

    def add(prefix: str, part: dict[str, Any]) -> None:
        for key, value in part.items():
            if isinstance(value, dict):
                add(f"{prefix}{key} ", value)
            elif isinstance(value, int | float) and key not in ("candidates", "positives"):
                table.add_row(
                    f"{prefix}{key}", f"{value}" if isinstance(value, int) else f"{value:.1f}"
                )

    add("", document)
    return table


def _cutoffs(text: str) -> tuple[int, ...]:
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or min(values) < 1:
        raise ConfigError(f"--k {text!r}: give whole numbers from 1 on with commas, like 1,5,10.")
    return values
