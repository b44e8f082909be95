"""`user-itr demo`: sample photos indexed and searched; or trained, evaluated, all offline."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import typer

from user_itr.cli.printing import printable

_Say = Callable[[str], None]

PHOTO_QUERIES = (
    "a man takes a photo with a camera",
    "an astronaut in an orange suit",
    "a cat",
    "stars in the night sky",
)
QUERIES = {
    "openmoji": ("a drawing of a dog", "red fruit", "a musical instrument"),
    "flickr8k": ("two dogs play in the snow", "a surfer rides a wave", "children on a playground"),
}


def demo_command(
    out: Path = typer.Option(Path("demo"), "--out", help="Folder for everything the demo makes."),
    train: bool = typer.Option(
        False, "--train", help="The researcher's way: train a small model, evaluate it, search."
    ),
    flickr8k: Path | None = typer.Option(
        None, "--flickr8k", help="Train on this Flickr8K corpus in place of OpenMoji's drawings."
    ),
    minutes: float = typer.Option(3.0, "--minutes", min=0.05, help="Most minutes of training."),
    drawings: int = typer.Option(
        600, "--drawings", min=50, help="Most drawings to train on, where there is no corpus."
    ),
) -> None:
    """Index sample photos and search them; with --train, train a model first (extra: train).

    Run again, it starts from what is there: data, features, models and indexes are kept.
    """
    if train or flickr8k is not None:
        _train(out, flickr8k, minutes, drawings)
    else:
        _photos(out)


def _photos(out: Path) -> None:
    """A person's way: index, search, and where the page is."""
    from rich.console import Console

    from user_itr.demo.sample_photos import copy_sample_photos
    from user_itr.pretrained import DEFAULT

    console = Console(highlight=False)
    started = time.monotonic()

    def say(text: str) -> None:
        console.print(f"\n[bold]{text}[/bold]  ({time.monotonic() - started:.0f} s)")

    folder, index = out / "photos", out / "index"
    count = len(copy_sample_photos(folder))
    say(f"1. Photos: {count} in the public domain, copied to {folder}")
    _index_and_search(DEFAULT, folder, index, PHOTO_QUERIES, say, first_step=2, top=3)
    say("Done. What to try next")
    for command in (
        f"user-itr serve --index {index}   # then open http://127.0.0.1:8765/",
        f'user-itr search "your own words" --index {index}',
        f"user-itr search --image {folder / 'cat.jpg'} --index {index}",
        "user-itr index ~/Pictures",
        "user-itr demo --train",
    ):
        console.print(f"  {command}", soft_wrap=True, markup=False)


def _train(out: Path, flickr8k: Path | None, minutes: float, drawings: int) -> None:
    from rich.console import Console

    from user_itr.cli.progress import progress_of
    from user_itr.cli.train import continue_run, start_run
    from user_itr.config.loading import load_settings
    from user_itr.evaluation.metrics import evaluate_embeddings
    from user_itr.evaluation.report import metrics_table
    from user_itr.model.embedder import load
    from user_itr.model.split_embeddings import embed_split

    console = Console(highlight=False)
    started = time.monotonic()

    def say(text: str) -> None:
        console.print(f"\n[bold]{text}[/bold]  ({time.monotonic() - started:.0f} s)")

    queries = QUERIES["openmoji" if flickr8k is None else "flickr8k"]
    kind = f"openmoji-{drawings}" if flickr8k is None else "flickr8k"
    data, photos, split = _captioned_set(out / kind, flickr8k, drawings, say)
    run = out / f"run-{kind}"
    say("2. Train a small USER: frozen backbones, SGE, GPO, momentum queues, UTO")
    if (run / "run.json").exists():
        continue_run(run)
    else:
        settings = load_settings(
            "demo",
            data={"path": str(data)},
            features={"store": str(out / f"features-{kind}")},
            training={"max_minutes": minutes},
        )
        start_run(settings, run)
    say(f"3. Evaluate it on the {split} split, which it was not trained on")
    embedded = embed_split(load(run), split, progress_of)
    metrics = evaluate_embeddings(embedded.images, embedded.captions, embedded.split.caption_image)
    console.print(metrics_table(metrics, f"{embedded.split.name}, {split}"))
    _index_and_search(str(run), photos, out / f"index-{kind}", queries, say, first_step=4, top=5)
    say("Done. What to try next")
    index = out / f"index-{kind}"
    for command in (
        f'user-itr search "your own words" --index {index}',
        f"user-itr search --image PICTURE.jpg --index {index}",
        f"user-itr index ~/Pictures --index my-photos --model {run}",
        f"user-itr evaluate {run} --split {split} --json result.json",
        "user-itr train --preset flickr8k --data FLICKR8K --out runs/flickr8k",
    ):
        console.print(f"  {command}", soft_wrap=True)


def _captioned_set(
    folder: Path, flickr8k: Path | None, drawings: int, say: _Say
) -> tuple[Path, Path, str]:
    if flickr8k is not None:
        say(f"1. Data: the Flickr8K corpus in {flickr8k}")
        return flickr8k, flickr8k / "Images", "dev"
    from user_itr.data.openmoji import write_openmoji

    count = write_openmoji(folder, limit=drawings)
    say(f"1. Data: {count} OpenMoji drawings (CC BY-SA 4.0) with captions made from their names")
    return folder, folder / "images", "test"


def _index_and_search(
    model: str,
    photos: Path,
    index: Path,
    queries: tuple[str, ...],
    say: _Say,
    *,
    first_step: int,
    top: int,
) -> None:
    from user_itr.cli.index import load_encoder, print_table
    from user_itr.cli.index_summary import print_losses, summary
    from user_itr.cli.progress import progress_of
    from user_itr.cli.search import print_results
    from user_itr.search.index import ImageIndex

    say(f"{first_step}. Index the images in {photos}")
    encoder = load_encoder(model)
    target = ImageIndex.create_or_open(index, encoder, model)
    with progress_of("encoding") as show:
        report = target.update(photos, encoder, processes=True, progress=show)
    print_losses([report])
    print_table(summary([report]))
    typer.echo(f"{len(target):,} photos in {printable(index)}")
    say(f"{first_step + 1}. Search them by words")
    print_results(queries, index, top)
