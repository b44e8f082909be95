"""`user-itr ablate`: a grid of named settings over seeds, with one table that grows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from user_itr.errors import ConfigError

if TYPE_CHECKING:
    from user_itr.ablation.grid import Grid
    from user_itr.ablation.runner import Run


def ablate_command(
    config: str = typer.Argument(
        ..., metavar="GRID", help="Name of a shipped grid (user-flickr8k), or its YAML file."
    ),
    data: Path | None = typer.Option(None, "--data", help="Captioned set (data.path)."),
    features: Path | None = typer.Option(
        None, "--features", help="Feature store; extracted into the cache folder by default."
    ),
    out: Path = typer.Option(Path("runs/ablation"), "--out", help="Folder of runs and tables."),
    seeds: str | None = typer.Option(
        None, "--seeds", help="Seeds with commas, like 0,1; the grid's by default."
    ),
    rows: str | None = typer.Option(
        None, "--rows", help="Rows to run, with commas; all by default."
    ),
    against: str | None = typer.Option(
        None, "--against", help="Row to test the others against; the grid's reference by default."
    ),
    overrides: list[str] = typer.Option(
        [], "--set", help="Override a setting of all rows: --set training.epochs=2. Repeatable."
    ),
) -> None:
    """Train every row of a grid with every seed, and compare the rows on the dev split.

    Run again, it goes on: what is done stays, what was interrupted is resumed. Started twice, it
    shares the work. OUT gets table.csv, summary.csv, summary.md, plot.png, plot.svg and the runs.
    """
    from rich.console import Console

    from user_itr.ablation.grid import load_grid
    from user_itr.ablation.plot import require_matplotlib
    from user_itr.ablation.report import write_report
    from user_itr.ablation.runner import GridRunner
    from user_itr.cli.progress import progress_of

    require_matplotlib()
    grid = load_grid(config)
    chosen = list(grid.rows)
    if rows is not None:
        chosen = [_row(grid, name, "--rows") for name in rows.split(",")]
    if against is not None:
        grid = grid.model_copy(update={"reference": _row(grid, against, "--against")})
    chosen_seeds = grid.seeds if seeds is None else _seeds(seeds)
    runner = GridRunner(grid, out, chosen_seeds, overrides, data, features)
    runs = runner.select(chosen, chosen_seeds)
    screen, output = Console(stderr=True, highlight=False), Console(highlight=False)

    def starting(run: Run) -> None:
        number = runs.index(run) + 1
        verb = "going on with" if run.has_begun() else "starting"
        screen.rule(f"run {number} of {len(runs)}: {verb} {run}", style="dim")

    def ended() -> None:
        output.print(write_report(out, grid, runner.results()))

    done = sum(run.is_done() for run in runs)
    screen.print(f"{done} of {len(runs)} runs are done")
    if done == len(runs):
        ended()
    runner.do(runs, _train, progress_of, starting, ended)
    elsewhere = sum(not run.is_done() for run in runs) - len(runner.failures)
    if elsewhere:
        screen.print(f"{elsewhere} more are being done by another process")
    typer.echo(f"tables and plots are in {out}")
    if runner.failures:
        raise typer.Exit(1)


def _train(run: Run) -> float:
    from user_itr.cli.train import continue_run, start_run
    from user_itr.training.interruption import Interrupted

    ended = continue_run(run.folder) if run.has_begun() else start_run(run.settings, run.folder)
    if ended.interrupted:  # in its last epoch
        raise Interrupted("interrupted")
    return ended.seconds / 60


def _row(grid: Grid, name: str, option: str) -> str:
    try:
        grid.require_row(name.strip(), option)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return name.strip()


def _seeds(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 20 for part in parts):
        raise ConfigError(f"--seeds {text!r}: give whole numbers from 0 on with commas, like 0,1.")
    return tuple(dict.fromkeys(int(part) for part in parts))
