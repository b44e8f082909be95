"""The runs of a grid: which there are, which are done, and doing the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import filelock

from user_itr.ablation.files import make_folder
from user_itr.ablation.grid import Grid, first_difference, row_settings
from user_itr.ablation.measurement import (
    FILE,
    Measurement,
    measure_ensemble,
    measure_run,
    read_measurement,
)
from user_itr.config.settings import Settings
from user_itr.data.identity import split_key
from user_itr.data.readers import load_captions
from user_itr.errors import ConfigError, DataError, UserItrError
from user_itr.training.interruption import Interrupted
from user_itr.training.preparation import Progress
from user_itr.training.run_folder import INDEX_FILE, RunFolder


@dataclass(frozen=True)
class Run:
    """One row with one seed, in a run's folder of its own.

    Args:
        row: name of the row.
        seed: of the training.
        settings: what the grid says.
        folder: where the run is, or will be.
    """

    row: str
    seed: int
    settings: Settings
    folder: Path

    def __str__(self) -> str:
        return f"row {self.row}, seed {self.seed}"

    def has_begun(self) -> bool:
        """Whether there is a run to continue."""
        return (self.folder / INDEX_FILE).is_file()

    def is_done(self) -> bool:
        """Whether it was trained to its end and measured."""
        return (self.folder / FILE).is_file()

    @property
    def lock(self) -> filelock.FileLock:
        """Held by the process that is doing this run."""
        return filelock.FileLock(self.folder.with_name(f"{self.folder.name}.lock"))

    @cached_property
    def measurement(self) -> Measurement:
        """Of a run that is done."""
        return read_measurement(self.folder)


@dataclass(frozen=True)
class Result:
    """What came of one row with one seed.

    Args:
        row: name of the row.
        seed: of the training.
        measurement: on the dev split; None where the run failed.
        failure: why it failed, in a sentence.
    """

    row: str
    seed: int
    measurement: Measurement | None
    failure: str = ""


class GridRunner:
    """Does the runs of a grid in one folder. Several processes may share the folder.

    Args:
        grid: the grid.
        out: the folder; runs are in `runs/ROW/seed-S`.
        seeds: to run; results of other seeds that are in the folder already count as well.
        overrides: "section.key=value" texts, for every row.
        data: captioned set; data.path of the grid by default.
        features: feature store; features.store of the grid by default.

    Raises:
        ConfigError: if a row's settings are not valid, or not those that its run began with.
        DataError: if the dev split cannot be read, or is not the one that was measured on.
    """

    def __init__(
        self,
        grid: Grid,
        out: Path,
        seeds: Sequence[int],
        overrides: Sequence[str] = (),
        data: Path | None = None,
        features: Path | None = None,
    ) -> None:
        self.grid = grid
        self.out = out
        trained = [name for name, row in grid.rows.items() if not row.members]
        self.seeds = tuple(dict.fromkeys([*seeds, *_stored_seeds(out, trained)]))
        # All rows with one seed before the next: the whole comparison is there early.
        self.runs = [
            Run(
                name,
                seed,
                row_settings(grid, name, seed, overrides, data, features),
                out / "runs" / name / f"seed-{seed}",
            )
            for seed in self.seeds
            for name in trained
        ]
        self.failures: dict[tuple[str, int], str] = {}
        self._ensembles: dict[tuple[str, int], Measurement] = {}
        for run in self.runs:
            _require_unchanged(run)
        key = _dev_key(self.runs[0].settings)
        for run in self.runs:
            if run.is_done() and run.measurement.split_key != key:
                raise DataError(
                    f"{run}: was measured on other images or captions than those of the dev split "
                    f"of {run.settings.data.path}; put them back, or give --out another folder."
                )

    def select(self, rows: Sequence[str], seeds: Sequence[int]) -> list[Run]:
        """The runs of some rows and seeds; an ensemble stands for its members."""
        wanted = {member for row in rows for member in self.grid.rows[row].members or (row,)}
        return [run for run in self.runs if run.row in wanted and run.seed in seeds]

    def do(
        self,
        runs: Sequence[Run],
        train: Callable[[Run], float],
        progress: Progress,
        starting: Callable[[Run], None],
        ended: Callable[[], None],
    ) -> None:
        """Train and measure the runs that are not done; one that fails does not stop the others.

        A run that another process is doing is passed over.

        Args:
            runs: in this order.
            train: starts a run or continues it, and returns its minutes of training.
            progress: opens a display.
            starting: told before a run.
            ended: told after a run, done or failed.

        Raises:
            Interrupted: after Ctrl-C; the run is saved.
        """
        for run in runs:
            if run.is_done():
                continue
            make_folder(run.folder.parent)
            try:
                with run.lock.acquire(blocking=False):
                    if run.is_done():  # by another process, a moment ago
                        continue
                    starting(run)
                    measure_run(run.folder, train(run), progress)
                    self.failures.pop((run.row, run.seed), None)
            except filelock.Timeout:
                continue
            except Interrupted:
                raise Interrupted(
                    f"interrupted in {run}; it is saved, and the same command goes on with it."
                ) from None
            except UserItrError as error:
                self.failures[run.row, run.seed] = str(error)
            ended()

    def results(self) -> list[Result]:
        """What there is so far, by row in the grid's order, then by seed."""
        found: list[Result] = []
        runs = {(run.row, run.seed): run for run in self.runs}
        for name, row in self.grid.rows.items():
            for seed in sorted(self.seeds):
                if row.members:
                    members = [runs[member, seed] for member in row.members]
                    if all(member.is_done() for member in members):
                        found.append(Result(name, seed, self._ensemble(name, seed, members)))
                elif runs[name, seed].is_done():
                    found.append(Result(name, seed, runs[name, seed].measurement))
                elif failure := self.failures.get((name, seed)):
                    found.append(Result(name, seed, None, failure))
        return found

    def _ensemble(self, name: str, seed: int, members: Sequence[Run]) -> Measurement:
        if (name, seed) not in self._ensembles:
            folders = [member.folder for member in members]
            self._ensembles[name, seed] = measure_ensemble(folders)
        return self._ensembles[name, seed]


def _stored_seeds(out: Path, rows: Sequence[str]) -> list[int]:
    folders = (path for row in rows for path in (out / "runs" / row).glob("seed-*"))
    numbers = (path.name.removeprefix("seed-") for path in folders if path.is_dir())
    return sorted({int(number) for number in numbers if number.isdecimal()})


def _require_unchanged(run: Run) -> None:
    if not run.has_begun():
        return
    difference = first_difference(RunFolder(run.folder).open(), run.settings)
    if difference is not None:
        key, old, new = difference
        raise ConfigError(
            f"{run}: began with {key} = {old!r}, and the grid now says {new!r}; put the old value "
            f"back, remove {run.folder}, or give --out another folder."
        )


def _dev_key(settings: Settings) -> str:
    data = settings.data
    if data.path is None:
        raise ConfigError("data.path is not set; give the captioned set with --data PATH.")
    split = load_captions(data.path, data.dev_split, format=data.format, images=data.images)
    return split_key(split)
