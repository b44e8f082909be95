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
from user_itr.errors import ConfigError, DataError, IndexStoreError
from user_itr.pretrained import DEFAULT

if TYPE_CHECKING:
    from rich.table import Table

    from user_itr.search.encoder import Encoder
    from user_itr.search.index import ImageIndex
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
    photos: list[Path] | None = typer.Argument(
        None, help="Folders of photos, looked through recursively; or photos."
    ),
    index: str | None = typer.Option(None, "--index", help=INDEX_HELP),
    model: str | None = typer.Option(
        None,
        "--model",
        help="Run, checkpoint, folder of a published model, or a name (see `user-itr models`); by "
        f"default {MODEL_VARIABLE}, or the model that ships. The index remembers it.",
    ),
    batch_size: int = typer.Option(
        32, "--batch-size", min=1, max=65_536, help="Photos encoded at once."
    ),
    workers: int = typer.Option(
        2, "--workers", min=1, max=256, help="Processes that decode photos ahead."
    ),
    exclude: list[str] = typer.Option(
        [],
        "--exclude",
        metavar="GLOB",
        help="Leave out what the pattern names, as in a .gitignore file; may be repeated. A file "
        ".user-itr-ignore in a folder does the same for good.",
    ),
    include_hidden: bool = typer.Option(
        False, "--include-hidden", help="Also hidden files and folders, bins, thumbnail caches."
    ),
    follow_links: bool = typer.Option(
        False, "--follow-links", help="Go through links to folders, each folder once."
    ),
    verify: bool = typer.Option(
        False, "--verify", help="Read every photo: finds what kept its size and its times."
    ),
    forget: list[Path] = typer.Option(
        [],
        "--forget",
        metavar="PATH",
        help="Remove a photo, a folder or a disk from the index for good; may be repeated.",
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
        help="Let what is missing or empty take its photos out of the index.",
    ),
    watch: bool = typer.Option(
        False, "--watch", help="Then stay, and take in what changes, until Ctrl-C or SIGTERM."
    ),
) -> None:
    """Index folders of photos for search; run again, it takes in only what changed.

    Photos of a folder that is missing, empty or unreadable stay, until --forget.

    Exit code: 0 done, 1 some files were skipped (listed on standard error), 2 a mistake; 130 after
    Ctrl-C and 143 after SIGTERM, which both keep what is encoded.
    """
    from user_itr.cli.index_summary import print_losses, print_notes, summary
    from user_itr.cli.progress import progress_of
    from user_itr.cli.watch import tell, watch_folders
    from user_itr.search.index import ImageIndex
    from user_itr.search.location import location_of
    from user_itr.search.manifest import Manifest
    from user_itr.search.places import absolute, outermost_with_images
    from user_itr.search.sentences import SentenceStore
    from user_itr.search.service import when_free
    from user_itr.search.walk import require_photo

    where = location_of(index or default_index())
    if forget:
        _forget(ImageIndex.open(where), forget)
        if not photos and not rebuild:
            return
    sentences: list[str] = []
    before = ImageIndex.open(where) if Manifest.exists(where) else None
    places = list(dict.fromkeys(absolute(path) for path in photos or []))
    if rebuild and before is not None:
        places = outermost_with_images([*places, *before.roots()], allow_empty)
        sentences = SentenceStore(before).texts()
    if not places:
        raise ConfigError("which photos? name a folder, as in `user-itr index ~/Pictures`.")
    for place in places:
        if place.is_file():
            require_photo(str(place))
    roots = {} if before is None else before.roots()
    lost = [] if allow_empty else _lost(places, roots)
    checkpoint = find_model(model, where)
    encoder = load_encoder(checkpoint)
    make = partial(
        ImageIndex.rebuild if rebuild else ImageIndex.create_or_open, where, encoder, checkpoint
    )
    target = when_free(make, tell) if watch else make()

    def update(changed: list[Path]) -> list[IndexReport]:
        reports = []
        alone = [path for path in changed if path.is_file()]
        folders = [path for path in changed if path not in alone]
        runs: list[Path | list[Path]] = [*folders, *([alone] if alone else [])]
        for place in runs:  # what moves from one to the next is not encoded again
            with progress_of("encoding") as show:
                report = target.update(
                    place,
                    encoder,
                    batch_size=batch_size,
                    workers=workers,
                    processes=True,
                    allow_empty=allow_empty,
                    verify=verify,
                    include_hidden=include_hidden,
                    exclude=exclude,
                    follow_links=follow_links,
                    more=place is not runs[-1],
                    progress=show,
                )
            reports.append(report)
        return reports

    def show(reports: list[IndexReport]) -> list[Skipped]:
        print_losses(reports)
        print_table(summary(reports))
        print_notes(reports, verify)
        return [entry for report in reports for entry in report.skipped]

    def complete() -> None:
        if sentences:  # before the rebuild takes the old index's place, which has them
            SentenceStore(target).replace(sentences, encoder)
        target.commit()

    def total() -> None:
        typer.echo(f"{len(target):,} photos in {printable(target.location)}")

    if watch:
        whole = complete if rebuild else None
        watch_folders(places, where.folder, update=update, show=show, whole=whole, total=total)
        return
    skipped = show(update([place for place in places if place not in lost]))
    complete()
    for place in lost:
        typer.echo(f"kept {_lost_photos(place, roots)}", err=True)
    total()
    if skipped or lost:
        raise typer.Exit(1)


def _forget(index: ImageIndex, places: list[Path]) -> None:
    for place in places:
        number = index.forget(place)
        typer.echo(f"forgot {number:,} photo{'s' * (number != 1)} of {printable(place)}")
    typer.echo(f"{len(index):,} photos in {printable(index.location)}")


def _lost(places: list[Path], roots: dict[Path, int]) -> list[Path]:
    """Those of several places that are missing and whose photos the index keeps.

    Raises:
        DataError: if a place is missing that the index does not know, or all are missing.
    """
    lost = [place for place in places if not os.path.lexists(place)]
    unknown = [place for place in lost if not _stored(place, roots)]
    if unknown:
        raise DataError(
            f"{unknown[0]}: no such folder or photo; check the path, or mount its disk."
        )
    if lost and len(lost) == len(places):
        raise DataError(_lost_photos(lost[0], roots))
    return lost


def _lost_photos(place: Path, roots: dict[Path, int]) -> str:
    return (
        f"{printable(place)}: no such folder or photo; check the path, or mount its disk. The "
        f"index keeps its {_stored(place, roots):,} photos until --allow-empty or `user-itr index "
        f"--forget {printable(place)}`."
    )


def _stored(place: Path, roots: dict[Path, int]) -> int:
    return sum(number for root, number in roots.items() if root.is_relative_to(place))


def default_index() -> Path:
    """The folder of the index that serves where none is named."""
    import platformdirs

    return platformdirs.user_data_path("user-itr", appauthor=False) / "index"


def find_model(given: str | None, index: Place) -> str:
    """The checkpoint to load: that given, the index's own, the environment's, or the shipped one.

    Raises:
        IndexStoreError: if the index's own is gone, or the index's manifest cannot be read.
    """
    from user_itr.runtime.dual_encoders.names import is_composed
    from user_itr.search.manifest import Manifest

    if given is not None:
        return given
    if Manifest.exists(index):
        recorded = Manifest.read(index).model
        gone = Path(recorded).is_absolute() and not Path(recorded).exists()
        if gone and not is_composed(recorded):
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
    from user_itr.runtime.loading import as_runtime, load

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
