"""`user-itr train`: train a model from a preset or a settings file, or continue a run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from user_itr.errors import ConfigError, DataError
from user_itr.training.launching import follow_parent, is_rank, report, run_ranks

if TYPE_CHECKING:
    from user_itr.config.settings import Settings, TrainingSettings
    from user_itr.training.ranks import Ranks
    from user_itr.training.run_folder import RunFolder

CHANGEABLE = ("training.devices", "training.nodes", "training.accelerator")
"""Settings that a run may be continued with in place of its own."""


def train_command(
    preset: str | None = typer.Option(
        None,
        "--preset",
        help="flickr8k, flickr8k-gpu, flickr8k-vse-infinity, flickr8k-vse++, flickr30k, coco or "
        "demo.",
    ),
    config: Path | None = typer.Option(None, "--config", help="YAML file with settings."),
    data: Path | None = typer.Option(None, "--data", help="Captioned set (data.path)."),
    features: Path | None = typer.Option(
        None, "--features", help="Feature store; extracted into the cache folder by default."
    ),
    out: Path = typer.Option(Path("runs/latest"), "--out", help="Folder of the new run."),
    overrides: list[str] = typer.Option(
        [], "--set", help="Override a setting: --set optimizer.rate=1e-3. Repeatable."
    ),
    resume: Path | None = typer.Option(
        None, "--resume", help="Run to continue; --data where its set has moved."
    ),
) -> None:
    """Train USER; the best checkpoint by dev rsum is kept in OUT."""
    if resume is not None:
        if preset or config or features or not all(map(_may_change, overrides)):
            raise ConfigError(
                "--resume takes its settings from the run; leave out --preset, --config, "
                f"--features, and --set of anything but {', '.join(CHANGEABLE)}."
            )
        continue_run(resume, overrides, data)
        return
    if preset and config:
        raise ConfigError("--preset and --config exclude each other; give one and use --set.")
    from user_itr.config.loading import load_settings

    source = preset or config
    if source is None:
        raise ConfigError("give --preset NAME or --config FILE (or --resume RUN).")
    fixed: dict[str, dict[str, str]] = {}
    if data is not None:
        fixed["data"] = {"path": str(data)}
    if features is not None:
        fixed["features"] = {"store": str(features)}
    start_run(load_settings(source, overrides, **fixed), out)


def _may_change(override: str) -> bool:
    return override.partition("=")[0].strip() in CHANGEABLE


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Args:
        seconds: of training; 0 where the ranks could not leave word of it.
        interrupted: whether Ctrl-C was pressed in its last epoch.
    """

    seconds: float = 0.0
    interrupted: bool = False


def start_run(settings: Settings, out: Path) -> Ended:
    """Train a new run in the folder `out`, with progress on the terminal.

    The folder is made when data, model and device are ready, so a mistake leaves nothing behind.

    Raises:
        ConfigError: if the settings name no data, or the folder is in use.
        RankFailed: if a process of a run on several devices died.
    """
    from user_itr.config.loading import dump_settings
    from user_itr.config.paths import with_absolute_paths

    settings = with_absolute_paths(settings)
    devices = _ranks_to_start(settings.training)
    if devices:
        with tempfile.TemporaryDirectory(prefix="user-itr-") as temporary:
            config = Path(temporary) / "config.yaml"
            config.write_text(dump_settings(settings), "utf-8")
            words = ["train", "--config", str(config), "--out", str(out)]
            return Ended(**run_ranks(words, devices, settings.training.nodes, out))
    from user_itr.training.run_folder import RunFolder

    folder = RunFolder(out)
    with _joined(settings, folder) as ranks:
        if ranks.first:
            folder.require_free()
        return _train(ranks, settings, folder, None)


def continue_run(path: Path, overrides: Sequence[str] = (), data: Path | None = None) -> Ended:
    """Continue a run from its last checkpoint, or from its start where it has none.

    Args:
        path: the run's folder.
        overrides: "section.key=value" texts of settings in `CHANGEABLE`, for now.
        data: where the captioned set is now; where it was by default.

    Raises:
        ConfigError: if an override's value is not valid.
        DataError: if the set is not there, or `data` is another set.
        CheckpointError: if there is no run.
        RankFailed: if a process of a run on several devices died.
    """
    from user_itr.config.loading import load_settings

    file = path / "config.yaml"
    if file.is_file():
        training = load_settings(file, overrides).training
        devices = _ranks_to_start(training)
        if devices:
            words = ["train", "--resume", str(path)]
            words += [word for override in overrides for word in ("--set", override)]
            words += [] if data is None else ["--data", str(data.resolve())]
            return Ended(**run_ranks(words, devices, training.nodes, path))
    from user_itr.training.run_folder import RunFolder

    folder = RunFolder(path)
    settings = folder.open()
    if overrides:
        settings = load_settings(file, overrides)
    last = folder.last_state()
    settings = _found_set(settings, data, None if last is None else last[1], path)
    with _joined(settings, folder) as ranks:
        return _train(ranks, settings, folder, last)


def _found_set(
    settings: Settings, moved: Path | None, state: dict[str, Any] | None, run: Path
) -> Settings:
    """The settings with the place where the captioned set is now, once it is known to be the same.

    Raises:
        DataError: if there is nothing, or its train split is not the one that the run began with.
    """
    from user_itr.data.identity import split_key
    from user_itr.data.readers import load_captions

    data = settings.data
    if moved is None:
        if data.path is not None and not data.path.exists():
            raise DataError(
                f"{data.path}: the run's captioned set is not there; if it has moved, add --data "
                f"PATH to --resume {run}."
            )
        return settings
    moved, images = moved.resolve(), data.images
    if images is not None and not images.is_dir():
        inside = data.path is not None and images.is_relative_to(data.path)
        images = moved / images.relative_to(data.path) if inside and data.path else None
    if state is not None:
        split = load_captions(
            moved, data.train_split, format=data.format, images=images, pictures=False
        )
        if split_key(split) != state.get("data"):
            raise DataError(
                f"{moved}: the images or captions of the {data.train_split} split are not those "
                f"that {run} began with; give the set that it was, or start a new run."
            )
    return settings.model_copy(
        update={"data": data.model_copy(update={"path": moved, "images": images})}
    )


def _ranks_to_start(training: TrainingSettings) -> int:
    """How many processes to start on this machine; 0 where this one does the work itself."""
    if is_rank():
        return 0
    if training.devices != "auto":
        devices = training.devices
    elif training.accelerator in ("auto", "gpu", "cuda"):
        import torch

        devices = max(1, torch.cuda.device_count())
    else:
        devices = 1
    return devices if devices * training.nodes > 1 else 0


@contextmanager
def _joined(settings: Settings, folder: RunFolder) -> Iterator[Ranks]:
    """This process with its device, and with the others of the run where there are any."""
    from user_itr.training.fabric import create_fabric, default_loggers
    from user_itr.training.ranks import Ranks

    follow_parent()
    trains_all = settings.model.text.trainable_layers == "all"
    fabric = create_fabric(settings.training, default_loggers(folder.path), find_unused=trains_all)
    ranks = Ranks(fabric)
    with ranks.contact(folder.path):
        yield ranks
        ranks.leave()


def _train(
    ranks: Ranks, settings: Settings, folder: RunFolder, last: tuple[Path, dict[str, Any]] | None
) -> Ended:
    """Train to the end, from the start or from the last checkpoint; rank 0 shows it."""
    from user_itr.cli.progress import TrainingDisplay, no_progress, progress_of
    from user_itr.model.checkpoint import load_model
    from user_itr.model.pretrained_text import folder_notice
    from user_itr.training.preparation import prepare_in_turn
    from user_itr.training.run_folder import INDEX_FILE
    from user_itr.training.trainer import Trainer

    resumed = None if last is None else load_model(last[0])
    progress = progress_of if ranks.first else no_progress
    display = TrainingDisplay(settings.training.epochs, quiet=not ranks.first)
    folder_taken = folder_notice(settings.model.text.encoder) if resumed is None else None
    for notice in (*settings.notices, *filter(None, [folder_taken])):
        display.note(notice)
    prepared = prepare_in_turn(ranks, settings, progress, resumed)
    trainer = Trainer(settings, prepared, folder, display, ranks=ranks)
    if ranks.first and not (folder.path / INDEX_FILE).exists():
        folder.create(settings)
    if last is not None:
        trainer.restore(last[1])
        if not trainer.is_over():
            place = trainer.place
            display.note(f"resumed at epoch {place.epoch + 1}, batch {place.batch}")
    if not trainer.is_over():
        with display:
            trainer.fit()
    if ranks.first:
        typer.echo(
            f"trained {trainer.place.epoch} epochs in {trainer.place.seconds / 60:.1f} min; best "
            f"dev rsum {folder.index.best_rsum:.1f} in "
            f"{folder.checkpoints / str(folder.index.best)}"
        )
    ended = Ended(trainer.place.seconds, trainer.interrupted)
    report(**asdict(ended))
    return ended
