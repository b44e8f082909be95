"""`user-itr index`: encode a folder of photos into a search index."""

from __future__ import annotations

import io
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from user_itr.cli.printing import printable
from user_itr.cli.termination import saves_on_sigterm
from user_itr.errors import DataError, IndexStoreError
from user_itr.pretrained import DEFAULT

if TYPE_CHECKING:
    from rich.table import Table

    from user_itr.search.encoder import Encoder
    from user_itr.search.location import Place
    from user_itr.search.photos import Skipped
    from user_itr.search.update import IndexReport

MODEL_VARIABLE = "USER_ITR_MODEL"
RUNTIME_VARIABLE = "USER_ITR_RUNTIME"
INDEX_HELP = (
    "Folder of the index, or s3://BUCKET/PREFIX; by default a folder in the user's data folder."
)


@saves_on_sigterm
def index_command(
    photos: list[Path] = typer.Argument(..., help="Folders of photos, looked through recursively."),
    index: str | None = typer.Option(None, "--index", help=INDEX_HELP),
    model: str | None = typer.Option(
        None,
        "--model",
        help=f"Checkpoint; by default {MODEL_VARIABLE}, or the model that ships. The index "
        "remembers it.",
    ),
    batch_size: int = typer.Option(
        32, "--batch-size", min=1, max=65_536, help="Photos encoded at once."
    ),
    workers: int = typer.Option(
        2, "--workers", min=1, max=256, help="Processes that decode photos ahead."
    ),
    rebuild: bool = typer.Option(
        False,
        "--rebuild",
        help="Encode all photos of the index again, for instance with another --model; the old "
        "index serves until the new one is complete.",
    ),
    allow_empty: bool = typer.Option(
        False,
        "--allow-empty",
        help="Let a missing or empty folder take its photos out of the index.",
    ),
    watch: bool = typer.Option(
        False, "--watch", help="Then stay, and take in what changes, until Ctrl-C or SIGTERM."
    ),
) -> None:
    """Index folders of photos for search; run again, it takes in only what changed.

    Exit code: 0 done, 1 some files were skipped (listed on standard error), 2 a mistake; 130 after
    Ctrl-C and 143 after SIGTERM, which both keep what is encoded.
    """
    from user_itr.cli.progress import progress_of
    from user_itr.cli.watch import tell, watch_folders
    from user_itr.data.images import IMAGE_SUFFIXES
    from user_itr.search.index import ImageIndex
    from user_itr.search.location import location_of
    from user_itr.search.manifest import Manifest
    from user_itr.search.names import as_on_disk
    from user_itr.search.photos import outermost_with_images
    from user_itr.search.sentences import SentenceStore
    from user_itr.search.service import when_free

    where = location_of(index or default_index())
    sentences: list[str] = []
    folders = [as_on_disk(given) for given in photos]
    if rebuild and Manifest.exists(where):
        folders = outermost_with_images([*folders, *ImageIndex.open(where).roots()], allow_empty)
        sentences = SentenceStore(where).texts()
    for folder in folders:
        is_photo = folder.suffix.lower() in IMAGE_SUFFIXES and folder.is_file()
        if not (folder.is_dir() or is_photo or allow_empty):
            raise DataError(f"{folder}: no such folder; check the path, or mount its disk.")
    checkpoint = find_model(model, where)
    encoder = load_encoder(checkpoint)
    make = partial(
        ImageIndex.rebuild if rebuild else ImageIndex.create_or_open, where, encoder, checkpoint
    )
    target = when_free(make, tell) if watch else make()

    def update(changed: list[Path]) -> list[IndexReport]:
        reports = []
        for folder in changed:
            with progress_of("encoding") as show:
                report = target.update(
                    folder,
                    encoder,
                    batch_size=batch_size,
                    workers=workers,
                    processes=True,
                    allow_empty=allow_empty,
                    progress=show,
                )
            reports.append(report)
        return reports

    def complete() -> None:
        if sentences:  # before the rebuild takes the old index's place, which has them
            SentenceStore(where, target.manifest).replace(sentences, encoder)
        target.commit()

    def total() -> None:
        typer.echo(f"{len(target):,} photos in {printable(target.location)}")

    if watch:
        whole = complete if rebuild else None
        watch_folders(folders, where.folder, update=update, show=_show, whole=whole, total=total)
        return
    skipped = _show(update(folders))
    complete()
    total()
    if skipped:
        raise typer.Exit(1)


def default_index() -> Path:
    """The folder of the index that serves where none is named."""
    import platformdirs

    return platformdirs.user_data_path("user-itr", appauthor=False) / "index"


def find_model(given: str | None, index: Place) -> str:
    """The checkpoint to load: that given, the index's own, the environment's, or the shipped one.

    Raises:
        IndexStoreError: if the index's own is gone, or the index's manifest cannot be read.
    """
    from user_itr.search.manifest import Manifest

    if given is not None:
        return given
    if Manifest.exists(index):
        recorded = Manifest.read(index).model
        if Path(recorded).is_absolute() and not Path(recorded).exists():
            raise IndexStoreError(
                f"{index}: made with the checkpoint {recorded}, which is not there any more; "
                "say with --model where it is now."
            )
        return recorded
    if from_environment := os.environ.get(MODEL_VARIABLE):
        return from_environment
    return DEFAULT


def load_encoder(checkpoint: str) -> Encoder:
    """The model of a checkpoint, computed by the environment's runtime or the fastest there is.

    Raises:
        ConfigError: if the environment names no runtime.
    """
    from user_itr.features.runtime import as_runtime
    from user_itr.model.embedder import load

    runtime = as_runtime(os.environ.get(RUNTIME_VARIABLE) or "auto", RUNTIME_VARIABLE)
    return load(checkpoint, runtime=runtime)


def print_table(table: Table) -> None:
    """Print a table: fitted to a terminal, as wide as it needs to be anywhere else."""
    from rich.console import Console

    console = Console(highlight=False)
    if console.is_terminal:
        console.print(table)
        return
    wide = Console(file=io.StringIO(), width=100_000, highlight=False)
    with wide.capture() as capture:
        wide.print(table)
    for line in capture.get().splitlines():
        typer.echo(line.rstrip())


def _show(reports: list[IndexReport]) -> list[Skipped]:
    """Print what updates did; returns what they skipped."""
    skipped = [entry for report in reports for entry in report.skipped]
    for path, reason in skipped:
        typer.echo(f"skipped {printable(path)}: {printable(reason)}", err=True)
    print_table(_summary(reports))
    return skipped


def _summary(reports: list[IndexReport]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    table.add_column("photos")
    for report in reports:
        table.add_column(Text(printable(report.folder)), justify="right", overflow="fold")
    for name in ("added", "updated", "moved", "unchanged", "removed"):
        table.add_row(name, *(f"{getattr(report, name):,}" for report in reports))
    table.add_row("skipped", *(f"{len(report.skipped):,}" for report in reports))
    table.add_row("seconds", *(f"{report.seconds:.1f}" for report in reports))
    rates = [report.encoded / report.seconds for report in reports]
    table.add_row("encoded/s", *(f"{rate:.1f}" for rate in rates))
    return table
