"""`user-itr data`: check a captioned image set, print its order, write the demo's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from user_itr.cli.printing import printable
from user_itr.errors import ConfigError, DataError

if TYPE_CHECKING:
    from user_itr.data.captions import CaptionedImages
    from user_itr.data.problems import Problem

app = typer.Typer(
    help="Check a captioned image set, print its order, or write the demo's.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command()
def check(
    root: Path = typer.Argument(help="Folder (or captions file) of the set."),
    format: str = typer.Option(
        "auto", help="Layout: auto, or one of those that an unknown one lists."
    ),
    images: Path | None = typer.Option(None, help="Images folder, if not beside the captions."),
    split: str = typer.Option("all", help="One split, or all."),
    decode: bool = typer.Option(False, "--decode", help="Decode every image, too."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Count the images and captions of each split and list every problem.

    Exits with 2 where there is a problem.
    """
    from user_itr.data import readers

    if format == "auto":
        format = readers.detect_format(root)
    if split == "all":
        names = readers.splits(root, format)
        if not names:
            raise DataError(f"{root}: no split of the {format} format; add the lists of images.")
        sets, problems = readers.read_splits(root, names, format=format, images=images)
    else:
        captioned, problems = readers.read_captions(root, split, format=format, images=images)
        sets = [captioned]
    if decode:
        for captioned in sets:
            problems.extend(_undecodable(captioned))
    counts = {captioned.split: _count(captioned) for captioned in sets}
    if as_json:
        found = [{"file": str(p.file), "where": p.where, "message": p.message} for p in problems]
        report = {"root": str(root), "format": format, "splits": counts, "problems": found}
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        _print_report(f"{root} ({format})", counts, problems)
    if problems:
        raise typer.Exit(2)


@app.command()
def order(
    root: Path = typer.Argument(help="Folder (or captions file) of the set."),
    split: str = typer.Option("test", help="The split."),
    format: str = typer.Option("auto", help="Layout, as for `check`."),
    side: str = typer.Option("both", help="images, captions or both."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Print the ids of a split in the order that rows of embeddings must have without ids.

    A line is the side, the row and the id; captions have their image's row and their words, too.
    With one side, a line is an id, as image_ids.txt and caption_ids.txt take them.
    """
    from user_itr.data import readers
    from user_itr.evaluation.inputs.order import rows_in_order

    if side not in ("images", "captions", "both"):
        raise ConfigError(f"--side {side!r}: use images, captions or both.")
    items = readers.load_captions(root, split, format=format, pictures=False)
    rows = rows_in_order(items)
    if as_json:
        found = rows if side == "both" else {side: rows[side]}
        typer.echo(json.dumps(found, ensure_ascii=False))
    elif side != "both":
        typer.echo("\n".join(map(printable, rows[side])))
    else:
        lines = [f"image\t{row}\t{key}" for row, key in enumerate(rows["images"])]
        captions = zip(rows["captions"], items.caption_image.tolist(), items.captions, strict=True)
        lines += [
            f"caption\t{row}\t{key}\t{image}\t{words}"
            for row, (key, image, words) in enumerate(captions)
        ]
        typer.echo("\n".join(_printable_cells(line) for line in lines))


@app.command()
def openmoji(
    out: Path = typer.Argument(help="Folder to write."),
    limit: int | None = typer.Option(None, min=1, help="Only the first drawings."),
) -> None:
    """Write a small captioned set: OpenMoji's drawings and their names (the `demo` extra)."""
    from user_itr.data.openmoji import write_openmoji

    count = write_openmoji(out, limit)
    typer.echo(f"{out}: {count:,} drawings with captions (CC BY-SA 4.0, see LICENSE-openmoji.txt)")
    typer.echo(f"next: user-itr data check {out}")


def _printable_cells(line: str) -> str:
    """A line of cells between tabs, as a terminal can show it."""
    return "\t".join(map(printable, line.split("\t")))


def _count(captioned: CaptionedImages) -> dict[str, Any]:
    import numpy as np

    each = np.bincount(captioned.caption_image, minlength=len(captioned))
    words = [len(caption.split()) for caption in captioned.captions]
    return {
        "images": len(captioned),
        "captions": len(captioned.captions),
        "captions_per_image": {
            "min": int(each.min()) if len(each) else 0,
            "mean": round(float(each.mean()), 2) if len(each) else 0.0,
            "max": int(each.max()) if len(each) else 0,
        },
        "mean_words": round(float(np.mean(words)), 2) if words else 0.0,
    }


def _print_report(title: str, counts: dict[str, dict[str, Any]], problems: list[Problem]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    table.add_column("split")
    for heading in ("images", "captions", "min/image", "mean/image", "max/image", "mean words"):
        table.add_column(heading, justify="right")
    for split, count in counts.items():
        each = count["captions_per_image"]
        table.add_row(
            split,
            f"{count['images']:,}",
            f"{count['captions']:,}",
            str(each["min"]),
            f"{each['mean']:.2f}",
            str(each["max"]),
            f"{count['mean_words']:.1f}",
        )
    if counts:
        Console().print(table)
    for problem in problems:
        typer.echo(printable(str(problem)))
    noun = "problem" if len(problems) == 1 else "problems"
    typer.echo(f"{len(problems):,} {noun}" if problems else "no problems")


def _undecodable(captioned: CaptionedImages) -> Iterator[Problem]:
    """Decode every image of a set, on all cores; yields those that fail, in order."""
    import os
    from concurrent.futures import ThreadPoolExecutor

    from rich.console import Console
    from rich.progress import track

    from user_itr.data.images import load_image
    from user_itr.data.problems import Problem

    if captioned.image_paths is None:
        raise DataError(f"{captioned.name}: holds features, no image files; omit --decode.")

    def fault(path: Path) -> Problem | None:
        try:
            load_image(path)
        except DataError as error:
            return Problem(path, "", str(error).removeprefix(f"{path}: "))
        return None

    console = Console(stderr=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            faults = pool.map(fault, captioned.image_paths)
            yield from filter(
                None,
                track(
                    faults,
                    f"decoding {captioned.split}",
                    total=len(captioned),
                    console=console,
                    disable=not console.is_terminal,
                ),
            )
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
