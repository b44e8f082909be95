"""`user-itr demo`: the whole way in minutes, offline: data, train, evaluate, index, search."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import typer

_Say = Callable[[str], None]

QUERIES = {
    "openmoji": ("a drawing of a dog", "red fruit", "a musical instrument"),
    "flickr8k": ("two dogs play in the snow", "a surfer rides a wave", "children on a playground"),
}


def demo_command(
    out: Path = typer.Option(Path("demo"), "--out", help="Folder for everything the demo makes."),
    flickr8k: Path | None = typer.Option(
        None, "--flickr8k", help="Use this Flickr8K corpus instead of OpenMoji's drawings."
    ),
    minutes: float = typer.Option(3.0, "--minutes", min=0.05, help="Most minutes of training."),
    drawings: int = typer.Option(
        600, "--drawings", min=50, help="Most drawings to use, where the demo makes its own set."
    ),
) -> None:
    """Train a small model, evaluate it, index its images and search them.

    Run again, it starts from what is there: the data, the features and the trained model are kept.
    """
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
    _index_and_search(run, photos, out / f"index-{kind}", queries, say)
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
    run: Path, photos: Path, index: Path, queries: tuple[str, ...], say: _Say
) -> None:
    from user_itr.cli.index import index_command
    from user_itr.cli.search import print_results

    say(f"4. Index the images in {photos}")
    index_command(
        [photos],
        index=index,
        model=str(run),
        batch_size=32,
        workers=2,
        rebuild=False,
        allow_empty=False,
        watch=False,
    )
    say("5. Search them by words")
    for query in queries:
        typer.echo(f'\nuser-itr search "{query}" --index {index} --top 5')
        print_results(query, index, 5)
