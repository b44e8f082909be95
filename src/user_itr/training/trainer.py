"""The training loop. Devices, precision and loggers are Lightning Fabric's; the loop is ours.

The whole state of a run is (epoch, batch) and what `Trainer.state` lists. Data order and caption
augmentation follow from the seed and the place, so a run resumed from any checkpoint computes, on
the CPU, the same bits as one that was never interrupted.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from lightning.fabric import Fabric, seed_everything
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from user_itr.config.settings import Settings
from user_itr.errors import UserItrError
from user_itr.evaluation.metrics import CrossModalMetrics
from user_itr.model.token_encoders import BiGRUTokens
from user_itr.objective.momentum import MomentumContrast
from user_itr.objective.uto import UnifiedObjective
from user_itr.training.evaluation import evaluate_split
from user_itr.training.preparation import Preparation
from user_itr.training.run_folder import RunFolder
from user_itr.training.schedule import rate_factor
from user_itr.training.state import random_state, set_random_state
from user_itr.training.step import TrainingStep


class Reporter(Protocol):
    """What a run tells while it goes on."""

    def step(self, epoch: int, batch: int, batches: int, values: dict[str, float]) -> None:
        """A batch is done."""

    def evaluated(self, epoch: int, metrics: CrossModalMetrics, best: bool) -> None:
        """An epoch is done and the dev split was evaluated."""


class Interrupted(UserItrError):
    """Ctrl-C was pressed; the run was saved and can be resumed."""

    exit_code = 130


@dataclass
class Place:
    """Where a run is: the next batch to do, and counts so far."""

    epoch: int = 0
    batch: int = 0
    optimizer_steps: int = 0
    since_best: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """Trains one model from its start, or from a run's last checkpoint, to its end.

    Args:
        settings: of the run.
        prepared: model and data, from `prepare`.
        folder: the run's folder, created or opened.
        reporter: told of every batch and evaluation.
        loggers: Fabric loggers.
    """

    def __init__(
        self,
        settings: Settings,
        prepared: Preparation,
        folder: RunFolder,
        reporter: Reporter,
        loggers: list[Any] | None = None,
    ) -> None:
        training = settings.training
        self.settings = settings
        self.prepared = prepared
        self.folder = folder
        self.reporter = reporter
        self.place = Place()
        self.fabric = Fabric(
            accelerator=training.accelerator,
            devices=1,
            precision=training.precision,
            loggers=loggers or [],
        )
        seed_everything(training.seed, verbose=False)
        encoder = prepared.model.encoder
        contrast = MomentumContrast(
            encoder,
            settings.model.embedding,
            settings.momentum.queue_length,
            settings.momentum.momentum,
        )
        goal = settings.objective
        objective = UnifiedObjective(
            goal.sharpness, goal.threshold, goal.batch_weight, goal.queue_weight
        )
        self.step = TrainingStep(encoder, contrast, objective)
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(self.step, settings), weight_decay=settings.optimizer.weight_decay
        )
        per_epoch = -(-prepared.batches.batches_per_epoch // training.accumulate)
        self.scheduler = LambdaLR(
            self.optimizer, rate_factor(settings.optimizer, per_epoch, training.epochs)
        )
        self._wrapped, self._wrapped_optimizer = self.fabric.setup(self.step, self.optimizer)
        self._stop = False
        self._saved_at = time.monotonic()

    def state(self) -> dict[str, Any]:
        """Everything that resuming needs besides settings and data, as tensors and JSON values."""
        state: dict[str, Any] = {
            "step": {n: t for n, t in self.step.state_dict().items() if n in self._kept_names()},
            "optimizer": self.optimizer.state_dict(),
            "scheduler": {"last_epoch": self.scheduler.last_epoch},
            "random": random_state(),
            "place": dict(vars(self.place)),
        }
        scaler = getattr(self.fabric._precision, "scaler", None)
        if scaler is not None:
            state["scaler"] = scaler.state_dict()
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Put a `state` back."""
        missing, unexpected = self.step.load_state_dict(state["step"], strict=False)
        frozen = set(self.step.state_dict()) - self._kept_names()
        if set(missing) - frozen or unexpected:
            raise UserItrError(
                f"{self.folder.path}: the training state does not fit the model "
                f"({sorted(set(missing) - frozen)[:3]} missing, {unexpected[:3]} unknown)."
            )
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.last_epoch = state["scheduler"]["last_epoch"]
        self.scheduler._last_lr = [group["lr"] for group in self.optimizer.param_groups]
        self.place = Place(**state["place"])
        scaler = getattr(self.fabric._precision, "scaler", None)
        if scaler is not None and "scaler" in state:
            scaler.load_state_dict(state["scaler"])
        set_random_state(state["random"])

    def _kept_names(self) -> set[str]:
        """Names in the step's state that training changes: all but frozen parameters."""
        frozen = {n for n, p in self.step.model.named_parameters() if not p.requires_grad}
        return {
            name
            for name in self.step.state_dict()
            if name.removeprefix("model.").removeprefix("contrast.encoder.") not in frozen
        }

    def fit(self) -> CrossModalMetrics | None:
        """Train to the end, or until patience runs out; returns the last dev metrics.

        Raises:
            Interrupted: after Ctrl-C, once the run is saved. A second Ctrl-C stops at once.
        """
        metrics = None
        with _FirstInterrupt(self._request_stop):
            while not self._is_over():
                self._train_epoch()
                metrics = self._end_epoch()
        return metrics

    def _request_stop(self) -> None:
        self._stop = True

    def _is_over(self) -> bool:
        training = self.settings.training
        return (
            self.place.epoch >= training.epochs
            or (training.patience is not None and self.place.since_best >= training.patience)
            or self._time_is_up()
        )

    def _time_is_up(self) -> bool:
        limit = self.settings.training.max_minutes
        return limit is not None and self.place.seconds >= 60 * limit

    def _train_epoch(self) -> None:
        batches = self.prepared.batches
        accumulate = self.settings.training.accumulate
        count = batches.batches_per_epoch
        self._wrapped.train()
        started = time.monotonic()
        for batch in batches.epoch(self.place.epoch, self.place.batch):
            number = self.place.batch + 1
            last_of_step = number % accumulate == 0 or number == count
            # The last step of an epoch may have fewer batches than the others.
            in_step = min(accumulate, count - (number - 1) // accumulate * accumulate)
            losses, keys = self._wrapped(batch.to(self.fabric.device))
            self.fabric.backward(losses["loss"] / in_step)
            self.step.after_backward(keys)
            if last_of_step:
                self.fabric.clip_gradients(
                    self._wrapped,
                    self._wrapped_optimizer,
                    max_norm=self.settings.optimizer.clip_norm,
                    error_if_nonfinite=False,
                )
                self._wrapped_optimizer.step()
                self._wrapped_optimizer.zero_grad()
                self.scheduler.step()
                self.step.after_update()
                self.place.optimizer_steps += 1
            self.place.batch = number
            now = time.monotonic()
            self.place.seconds += now - started
            started = now
            self._report(number, count, losses)
            if last_of_step and number < count:
                self._save_if_due()
                if self._time_is_up():
                    break

    def _report(self, number: int, count: int, losses: dict[str, Tensor]) -> None:
        values = {name: float(value.detach()) for name, value in losses.items()}
        self.reporter.step(self.place.epoch, number, count, values)
        step = self.place.epoch * count + number
        rate = self.optimizer.param_groups[0]["lr"]
        self.fabric.log_dict(
            {**{f"train/{n}": v for n, v in values.items()}, "train/rate": rate}, step=step
        )

    def _save_if_due(self) -> None:
        minutes = (time.monotonic() - self._saved_at) / 60
        if self._stop or minutes >= self.settings.training.checkpoint_minutes:
            self._save(None)
        if self._stop:
            raise Interrupted(
                f"interrupted in epoch {self.place.epoch + 1}; continue with "
                f"`user-itr train --resume {self.folder.path}`."
            )

    def _end_epoch(self) -> CrossModalMetrics:
        metrics = evaluate_split(
            self.step.model, self.prepared.dev, self.fabric.device, self.fabric.autocast
        )
        epoch = self.place.epoch
        values = metrics.to_dict()
        rsum = float(values["rsum"])
        best = rsum > self.folder.index.best_rsum
        self.place.history.append({"epoch": epoch + 1, "rsum": rsum})
        self.place.since_best = 0 if best else self.place.since_best + 1
        self.place.epoch, self.place.batch = epoch + 1, 0
        self.prepared.model.metrics = {"epoch": epoch + 1, "split": "dev", **values}
        self.fabric.log_dict(
            {"dev/rsum": rsum, "dev/seconds": self.place.seconds},
            step=(epoch + 1) * self.prepared.batches.batches_per_epoch,
        )
        self._save(rsum)
        self.reporter.evaluated(epoch, metrics, best)
        if self._stop and not self._is_over():
            raise Interrupted(
                f"interrupted after epoch {epoch + 1}; continue with "
                f"`user-itr train --resume {self.folder.path}`."
            )
        return metrics

    def _save(self, rsum: float | None) -> None:
        name = f"epoch-{self.place.epoch:03d}-batch-{self.place.batch:06d}"
        self.folder.save(name, self.prepared.model, self.state(), rsum)
        self._saved_at = time.monotonic()


class _FirstInterrupt:
    """Turns the first SIGINT inside the block into a call; the next one is Python's own again."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call

    def _handle(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.call()

    def __enter__(self) -> None:
        try:
            self.previous = signal.signal(signal.SIGINT, self._handle)
        except ValueError:  # not in the main thread: Ctrl-C goes elsewhere
            self.previous = None

    def __exit__(self, *_: object) -> None:
        if self.previous is not None:
            signal.signal(signal.SIGINT, self.previous)


def _parameter_groups(step: TrainingStep, settings: Settings) -> list[dict[str, Any]]:
    """A pretrained text encoder's parameters at their own rate, everything else at the main one."""
    tokens = step.model.text.tokens
    pretrained = (
        set()
        if isinstance(tokens, BiGRUTokens)
        else {id(p) for p in tokens.parameters() if p.requires_grad}
    )
    trained = [p for p in step.model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {
            "params": [p for p in trained if id(p) not in pretrained],
            "lr": settings.optimizer.rate,
        }
    ]
    if pretrained:
        groups.append(
            {
                "params": [p for p in trained if id(p) in pretrained],
                "lr": settings.optimizer.text_rate,
            }
        )
    return groups


def default_loggers(folder: Path) -> list[Any]:
    """TensorBoard and CSV logs below a run's folder."""
    from lightning.fabric.loggers import CSVLogger, TensorBoardLogger

    logs = folder / "logs"
    return [
        TensorBoardLogger(logs, name="tensorboard"),
        CSVLogger(logs, name="csv", flush_logs_every_n_steps=50),
    ]
