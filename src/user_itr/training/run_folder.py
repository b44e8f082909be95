"""A run's folder: `config.yaml`, `run.json`, `checkpoints/step-N`, `logs`.

Checkpoints are written under a temporary name and renamed whole; `run.json`, replaced in one step,
says which is the last and which the best. A kill at any moment leaves the previous ones in force.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from user_itr.config.loading import dump_settings, load_settings
from user_itr.config.settings import Settings
from user_itr.errors import CheckpointError, ConfigError
from user_itr.model.checkpoint import TrainedModel, write_model
from user_itr.training.state import TENSORS_FILE, VALUES_FILE, read_state, write_state


@dataclass
class RunIndex:
    """The contents of `run.json`: names of checkpoints, None before there is one."""

    last: str | None = None
    best: str | None = None
    best_rsum: float = -1.0
    format_version: int = 1


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

    def create(self, settings: Settings) -> None:
        """Start a new run here.

        Raises:
            ConfigError: if the folder holds something.
        """
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise ConfigError(
                f"{self.path}: is not empty; give --out another folder, or continue the run that is "
                f"there with --resume {self.path}."
            )
        self.checkpoints.mkdir(parents=True)
        _replace_text(self.path / "config.yaml", dump_settings(settings))
        self._write_index()

    def open(self) -> Settings:
        """Open an existing run and return its settings.

        Raises:
            CheckpointError: if there is none, or `run.json` cannot be read.
        """
        file = self.path / "run.json"
        try:
            self.index = RunIndex(**json.loads(file.read_text("utf-8")))
        except FileNotFoundError:
            raise CheckpointError(f"{self.path}: is no run (no run.json); check the path.") from None
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{file}: is damaged ({error}).") from None
        return load_settings(self.path / "config.yaml")

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
        """
        best = rsum is not None and rsum > self.index.best_rsum
        target = self.checkpoints / name
        partial = Path(tempfile.mkdtemp(prefix=".writing-", dir=self.checkpoints))
        try:
            write_model(partial, model)
            write_state(partial, state)
            partial.chmod(0o755)
            if target.exists():
                # Only a kill between this rename and the index's leaves it; nothing refers to it.
                shutil.rmtree(target)
            os.replace(partial, target)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise CheckpointError(
                f"{target}: cannot be written ({error.strerror or error}); the previous checkpoint "
                "is untouched. Free some space and resume."
            ) from error
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        self.index.last = name
        if best and rsum is not None:
            self.index.best, self.index.best_rsum = name, rsum
        self._write_index()
        self._prune()
        return best

    def _write_index(self) -> None:
        _replace_text(self.path / "run.json", json.dumps(asdict(self.index), indent=1) + "\n")

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


def _replace_text(file: Path, text: str) -> None:
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text, "utf-8")
    os.replace(partial, file)
