"""`user-itr train`: train a model from a preset or a settings file, or continue a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from user_itr.errors import ConfigError

if TYPE_CHECKING:
    from user_itr.cli.progress import TrainingDisplay
    from user_itr.config.settings import Settings
    from user_itr.training.trainer import Trainer


def train_command(
    preset: str | None = typer.Option(
        None,
        "--preset",
        help="flickr8k, flickr8k-vse-infinity, flickr8k-vse++, flickr30k, coco or demo.",
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
        None, "--resume", help="Run to continue; nothing else needed."
    ),
) -> None:
    """Train USER; the best checkpoint by dev rsum is kept in OUT."""
    if resume is not None:
        if preset or config or data or features or overrides:
            raise ConfigError(
                "--resume takes its settings from the run; leave out --preset, --config, --data, "
                "--features and --set."
            )
        continue_run(resume)
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


def start_run(settings: Settings, out: Path) -> Trainer:
    """Train a new run in the folder `out`, with progress on the terminal.

    The folder is made when data, model and device are ready, so a mistake leaves nothing behind.

    Raises:
        ConfigError: if the settings name no data, or the folder is in use.
    """
    from user_itr.cli.progress import TrainingDisplay, progress_of
    from user_itr.config.paths import with_absolute_paths
    from user_itr.training.fabric import default_loggers
    from user_itr.training.preparation import prepare
    from user_itr.training.run_folder import RunFolder
    from user_itr.training.trainer import Trainer

    folder = RunFolder(out)
    folder.require_free()
    settings = with_absolute_paths(settings)
    prepared = prepare(settings, progress_of)
    display = TrainingDisplay(settings.training.epochs)
    trainer = Trainer(settings, prepared, folder, display, default_loggers(out))
    folder.create(settings)
    return _fit(trainer, display)


def continue_run(path: Path) -> Trainer:
    """Continue a run from its last checkpoint, or from its start where it has none."""
    from user_itr.cli.progress import TrainingDisplay, progress_of
    from user_itr.model.checkpoint import load_model
    from user_itr.training.fabric import default_loggers
    from user_itr.training.preparation import prepare
    from user_itr.training.run_folder import RunFolder
    from user_itr.training.trainer import Trainer

    folder = RunFolder(path)
    settings = folder.open()
    last = folder.last_state()
    prepared = prepare(settings, progress_of, None if last is None else load_model(last[0]))
    display = TrainingDisplay(settings.training.epochs)
    trainer = Trainer(settings, prepared, folder, display, default_loggers(path))
    if last is not None:
        trainer.restore(last[1])
    if last is not None and not trainer.is_over():
        display.note(f"resumed at epoch {trainer.place.epoch + 1}, batch {trainer.place.batch}")
    return _fit(trainer, display)


def _fit(trainer: Trainer, display: TrainingDisplay) -> Trainer:
    if not trainer.is_over():
        with display:
            trainer.fit()
    place, folder = trainer.place, trainer.folder
    typer.echo(
        f"trained {place.epoch} epochs in {place.seconds / 60:.1f} min; best dev rsum "
        f"{folder.index.best_rsum:.1f} in {folder.checkpoints / str(folder.index.best)}"
    )
    return trainer
