"""`user-itr train`: train a model from a preset or a settings file, or continue a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from user_itr.errors import ConfigError

if TYPE_CHECKING:
    from user_itr.config.settings import Settings


def train_command(
    preset: str | None = typer.Option(
        None, "--preset", help="Name of a preset: flickr8k, flickr30k, coco, demo."
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
    resume: Path | None = typer.Option(None, "--resume", help="Run to continue; nothing else needed."),
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
        fixed["data"] = {"path": str(data.resolve())}
    if features is not None:
        fixed["features"] = {"store": str(features.resolve())}
    start_run(load_settings(source, overrides, **fixed), out)


def start_run(settings: Settings, out: Path) -> None:
    """Create a run's folder and train it, with progress on the terminal.

    Raises:
        ConfigError: if the settings name no data, or the folder is in use.
    """
    if settings.data.path is None:
        raise ConfigError("data.path is not set; give the captioned set with --data PATH.")
    from user_itr.training.run_folder import RunFolder

    folder = RunFolder(out)
    folder.create(settings)
    _train(settings, folder)


def continue_run(path: Path) -> None:
    """Continue a run from its last checkpoint."""
    from user_itr.training.run_folder import RunFolder

    folder = RunFolder(path)
    _train(folder.open(), folder)


def _train(settings: Settings, folder: object) -> None:
    from user_itr.cli.progress import TrainingDisplay, progress_of
    from user_itr.training.preparation import prepare
    from user_itr.training.run_folder import RunFolder
    from user_itr.training.trainer import Trainer, default_loggers

    assert isinstance(folder, RunFolder)
    prepared = prepare(settings, progress_of)
    with TrainingDisplay(settings.training.epochs) as display:
        trainer = Trainer(settings, prepared, folder, display, default_loggers(folder.path))
        last = folder.last_state()
        if last is not None:
            trainer.restore(last[1])
            display.note(f"resumed at epoch {trainer.place.epoch + 1}, batch {trainer.place.batch}")
        trainer.fit()
    index = folder.index
    typer.echo(
        f"trained {trainer.place.epoch} epochs in {trainer.place.seconds / 60:.1f} min; best dev rsum "
        f"{index.best_rsum:.1f} in {folder.checkpoints / str(index.best)}"
    )
