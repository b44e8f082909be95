"""A run's folder: `config.yaml`, `run.json`, `checkpoints/epoch-E-batch-B`, `logs`.

Checkpoints are written under a temporary name and renamed whole; `run.json`, replaced in one step,
says which is the last and which the best. A kill or a power cut at any moment leaves the previous
ones in force. One process at a time trains a run: it holds `run.lock`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import filelock
from safetensors import SafetensorError

from user_itr.config.loading import dump_settings, load_settings
from user_itr.config.settings import Settings
from user_itr.errors import CheckpointError, ConfigError
from user_itr.files import parse_json, replace_file, sync_files, sync_names
from user_itr.model.checkpoint import TrainedModel, is_checkpoint_name, write_model
from user_itr.training.state import TENSORS_FILE, VALUES_FILE, read_state, write_state

FORMAT_VERSION = 1
INDEX_FILE = "run.json"
SETTINGS_FILE = "config.yaml"
CHECKPOINTS = "checkpoints"
LOCK = "run.lock"


@dataclass
class RunIndex:
    """The contents of `run.json`: names of checkpoints, None before there is one."""

    last: str | None = None
    best: str | None = None
    best_rsum: float = -1.0
    format_version: int = FORMAT_VERSION


class RunFolder:
    """Reads and writes one run's folder.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index = RunIndex()
        self._lock = filelock.FileLock(path / LOCK)

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / CHECKPOINTS

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for training; the lock goes with the process, however it ends.

        Raises:
            ConfigError: if another process holds it, or has trained it on since it was opened.
            CheckpointError: if the folder cannot be written.
        """
        with self._held(0):
            if self._read_index() != self.index:
                raise ConfigError(
                    f"{self.path}: another process has trained this run meanwhile; go on from "
                    f"where it is now with --resume {self.path}."
                )
            yield

    @contextmanager
    def _held(self, seconds: float) -> Iterator[None]:
        try:
            self._lock.acquire(timeout=seconds)
        except filelock.Timeout:
            raise ConfigError(
                f"{self.path}: another process is training this run; wait until it is done, or "
                "stop it with Ctrl-C."
            ) from None
        except OSError as error:
            raise CheckpointError(
                f"{self.path}: cannot be written ({error.strerror}); check its disk and "
                "permissions."
            ) from error
        try:
            yield
        finally:
            self._lock.release()

    def require_free(self) -> None:
        """Make sure that a new run can start here: a folder to be made, or an empty one.

        Raises:
            ConfigError: if it cannot.
        """
        if (self.path / INDEX_FILE).exists():
            raise ConfigError(
                f"{self.path}: holds a run; continue it with --resume {self.path}, or give --out "
                "another folder."
            )
        if self.path.exists() and not (self.path.is_dir() and self._is_barely_begun()):
            raise ConfigError(f"{self.path}: is not empty; give --out another folder.")

    def _is_barely_begun(self) -> bool:
        """Whether the folder holds nothing but what `create`, killed before its end, leaves."""
        ours = (CHECKPOINTS, SETTINGS_FILE, LOCK)
        return all(
            entry.name in ours or re.fullmatch(r"\.(config\.yaml|run\.json)\..*", entry.name)
            for entry in self.path.iterdir()
        ) and not (self.checkpoints.is_dir() and any(self.checkpoints.iterdir()))

    def create(self, settings: Settings) -> None:
        """Start a new run here.

        Raises:
            ConfigError: if the folder holds something, or cannot be written.
        """
        self.require_free()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with self._held(0):
                self.require_free()  # of two that start here at once, one comes second
                self.checkpoints.mkdir(exist_ok=True)
                self._prune()
                replace_file(self.path / SETTINGS_FILE, dump_settings(settings).encode())
                self._write_index(self.index)
                sync_names(self.path.parent)
        except OSError as error:
            raise ConfigError(
                f"{self.path}: cannot be written ({error.strerror}); give --out another folder."
            ) from error

    def open(self) -> Settings:
        """Open an existing run and return its settings.

        Raises:
            CheckpointError: if there is none, or `run.json` cannot be read.
        """
        self.index = self._read_index()
        if not (self.path / SETTINGS_FILE).is_file():
            raise CheckpointError(f"{self.path}: {SETTINGS_FILE} is missing; copy the run whole.")
        return load_settings(self.path / SETTINGS_FILE)

    def _read_index(self) -> RunIndex:
        file = self.path / INDEX_FILE
        try:
            values = parse_json(file.read_text("utf-8"))
            found = values.get("format_version")
            if isinstance(found, int) and found > FORMAT_VERSION:
                raise CheckpointError(
                    f"{file}: has format version {found}, this release reads up to "
                    f"{FORMAT_VERSION}; upgrade user-itr."
                )
            index = RunIndex(**values)
            _check(index)
            return index
        except OSError as error:
            raise CheckpointError(
                f"{self.path}: is no run ({INDEX_FILE}: {error.strerror}); check the path."
            ) from None
        except (AttributeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{file}: is damaged ({error}); evaluation and search still take a folder in "
                f"{self.checkpoints}."
            ) from None

    def last_state(self) -> tuple[Path, dict[str, Any]] | None:
        """The last checkpoint's folder and training state; None where none was written yet.

        What a killed process left half written or half removed goes.

        Raises:
            ConfigError: if another process is training the run, so that it will be another soon.
            CheckpointError: if it cannot be read.
        """
        with self._held(5.0):  # so that several that only look do not refuse one another
            self.index = self._read_index()
            self._prune()
        if self.index.last is None:
            return None
        folder = self.checkpoints / self.index.last
        return folder, read_state(folder)

    def save(
        self, name: str, model: TrainedModel, state: dict[str, Any], rsum: float | None
    ) -> bool:
        """Write a checkpoint, make it the last, and the best where `rsum` is above the best so far.

        Args:
            name: of the new checkpoint's folder; one left there by a killed write is replaced.
            model: what evaluation and search load.
            state: what resuming needs.
            rsum: on the dev split, where it was evaluated.

        Returns:
            Whether it is the best.

        Raises:
            CheckpointError: if it cannot be written; the previous checkpoint stays in force.
        """
        best = rsum is not None and rsum > self.index.best_rsum
        index = replace(self.index, last=name)
        if best and rsum is not None:
            index = replace(index, best=name, best_rsum=rsum)
        target = self.checkpoints / name
        partial = self.checkpoints / f".writing-{name}"
        try:
            # Only a kill leaves one, or a target that the index does not name.
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            write_model(partial, model)
            write_state(partial, state)
            sync_files(partial)
            if target.exists():
                shutil.rmtree(target)
            partial.replace(target)
            sync_names(self.checkpoints)
            self._write_index(index)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise CheckpointError(
                f"{target}: cannot be written ({_reason(error)}); the previous checkpoint is "
                f"untouched. Free some space and continue with --resume {self.path}."
            ) from error
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        self.index = index
        self._prune()
        return best

    def _write_index(self, index: RunIndex) -> None:
        text = json.dumps(asdict(index), indent=1) + "\n"
        replace_file(self.path / INDEX_FILE, text.encode())

    def _prune(self) -> None:
        """Keep the last checkpoint whole and the best one's model; remove everything else."""
        for name in (INDEX_FILE, SETTINGS_FILE):
            for partial in self.path.glob(f".{name}.*.partial"):
                partial.unlink(missing_ok=True)
        for folder in self.checkpoints.iterdir():
            if folder.name == self.index.last:
                continue
            if folder.name == self.index.best:
                for file in (TENSORS_FILE, VALUES_FILE):
                    (folder / file).unlink(missing_ok=True)
            else:
                shutil.rmtree(folder, ignore_errors=True)


def _check(index: RunIndex) -> None:
    """Raise a ValueError if a field is of another kind, or a name leads out of the run."""
    for name in (index.last, index.best):
        if name is not None and not is_checkpoint_name(name):
            raise ValueError(f"{name!r} is no checkpoint's name")
    if not isinstance(index.best_rsum, int | float):
        raise ValueError(f"best_rsum is {index.best_rsum!r}")


def _reason(error: OSError | SafetensorError) -> str:
    """What the system said, out of what safetensors makes of it."""
    said = re.search(r'message: "([^"]*)"', str(error))
    return getattr(error, "strerror", None) or (said.group(1) if said else str(error))
