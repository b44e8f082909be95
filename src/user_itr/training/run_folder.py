"""A run's folder: `config.yaml`, `run.json`, `checkpoints/epoch-E-batch-B`, `logs`.

Checkpoints are written under a temporary name and renamed whole; `run.json`, replaced in one step,
says which is the last and which the best. A kill at any moment leaves the previous ones in force.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from user_itr.config.loading import dump_settings, load_settings
from user_itr.config.settings import Settings
from user_itr.errors import CheckpointError, ConfigError
from user_itr.files import parse_json
from user_itr.model.checkpoint import TrainedModel, is_checkpoint_name, write_model
from user_itr.training.state import TENSORS_FILE, VALUES_FILE, read_state, write_state

FORMAT_VERSION = 1
INDEX_FILE = "run.json"
SETTINGS_FILE = "config.yaml"


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

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

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
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise ConfigError(f"{self.path}: is not empty; give --out another folder.")

    def create(self, settings: Settings) -> None:
        """Start a new run here.

        Raises:
            ConfigError: if the folder holds something, or cannot be written.
        """
        self.require_free()
        try:
            self.checkpoints.mkdir(parents=True)
            _replace_text(self.path / SETTINGS_FILE, dump_settings(settings))
            self._write_index(self.index)
        except OSError as error:
            raise ConfigError(
                f"{self.path}: cannot be written ({error.strerror}); give --out another folder."
            ) from error

    def open(self) -> Settings:
        """Open an existing run and return its settings.

        Raises:
            CheckpointError: if there is none, or `run.json` cannot be read.
        """
        file = self.path / INDEX_FILE
        try:
            values = parse_json(file.read_text("utf-8"))
            found = values.get("format_version")
            if isinstance(found, int) and found > FORMAT_VERSION:
                raise CheckpointError(
                    f"{file}: has format version {found}, this release reads up to "
                    f"{FORMAT_VERSION}; upgrade user-itr."
                )
            self.index = RunIndex(**values)
            _check(self.index)
        except OSError as error:
            raise CheckpointError(
                f"{self.path}: is no run ({INDEX_FILE}: {error.strerror}); check the path."
            ) from None
        except (AttributeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{file}: is damaged ({error}); evaluation and search still take a folder in "
                f"{self.checkpoints}."
            ) from None
        if not (self.path / SETTINGS_FILE).is_file():
            raise CheckpointError(f"{self.path}: {SETTINGS_FILE} is missing; copy the run whole.")
        return load_settings(self.path / SETTINGS_FILE)

    def last_state(self) -> tuple[Path, dict[str, Any]] | None:
        """The last checkpoint's folder and training state; None where none was written yet."""
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
            if target.exists():
                shutil.rmtree(target)
            partial.replace(target)
            self._write_index(index)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            reason = getattr(error, "strerror", None) or error
            raise CheckpointError(
                f"{target}: cannot be written ({reason}); the previous checkpoint is untouched. "
                f"Free some space and continue with --resume {self.path}."
            ) from error
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        self.index = index
        self._prune()
        return best

    def _write_index(self, index: RunIndex) -> None:
        _replace_text(self.path / INDEX_FILE, json.dumps(asdict(index), indent=1) + "\n")

    def _prune(self) -> None:
        """Keep the last checkpoint whole and the best one's model; remove everything else."""
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


def _replace_text(file: Path, text: str) -> None:
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text, "utf-8")
    partial.replace(file)
