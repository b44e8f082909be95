"""The training loop. Devices, precision and loggers are Lightning Fabric's; the loop is ours.

The whole state of a run is (epoch, batch) and what `Trainer.state` lists. Data order and caption
augmentation follow from the seed and the place, so a run resumed from any checkpoint computes, on
the CPU, the same bits as one that was never interrupted.

On several devices every rank runs this loop on its share of each batch. The state belongs to no
rank, so a run goes on with any number of them.
"""

from __future__ import annotations

import copy
import math
import time
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from lightning.fabric import seed_everything
from lightning.fabric.loggers.logger import Logger
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from user_itr.config.settings import Settings
from user_itr.errors import CheckpointError, ConfigError, DataError
from user_itr.evaluation.metrics import CrossModalMetrics
from user_itr.model.dual_encoder import DualEncoder
from user_itr.objective.building import build_objective
from user_itr.objective.momentum import MomentumContrast
from user_itr.training.batches import Batch
from user_itr.training.evaluation import evaluate_split
from user_itr.training.fabric import create_fabric
from user_itr.training.interruption import FirstInterrupt, Interrupted
from user_itr.training.parameter_groups import parameter_groups
from user_itr.training.prefetch import batches_for
from user_itr.training.preparation import Preparation
from user_itr.training.ranks import Ranks
from user_itr.training.run_folder import RunFolder
from user_itr.training.schedule import rate_factor
from user_itr.training.spread_step import SpreadStep
from user_itr.training.state import random_state, set_random_state
from user_itr.training.step import TrainingStep

STILL_STEPS = 20
"""A run ends after this many steps in a row without any gradient."""

FUSED_DEVICES = ("cpu", "cuda")
"""Where AdamW has one kernel for a step."""


class Reporter(Protocol):
    """Receives the progress of a run."""

    def step(self, epoch: int, batch: int, batches: int, values: dict[str, float]) -> None:
        """A batch is done."""

    def evaluated(self, epoch: int, metrics: CrossModalMetrics, best: bool) -> None:
        """An epoch is done and the dev split was evaluated."""


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
        loggers: Fabric loggers; of no use where `ranks` are given.
        ranks: this process among those of the run, with its device; by default those that a
            launcher started, or this one alone.

    Raises:
        ConfigError: if the accelerator cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        prepared: Preparation,
        folder: RunFolder,
        reporter: Reporter,
        loggers: list[Logger] | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        training = settings.training
        self.settings = settings
        self.prepared = prepared
        self.folder = folder
        self.reporter = reporter
        self.place = Place()
        self.ranks = ranks or Ranks(create_fabric(training, loggers or []))
        self.fabric = self.ranks.fabric
        seed_everything(training.seed, verbose=False)
        encoder = prepared.model.encoder
        contrast = MomentumContrast(
            encoder,
            settings.model.embedding,
            settings.momentum.queue_length,
            settings.momentum.momentum,
            settings.momentum.policy,
            settings.momentum.queue_begins == "random",
            prepared.batches.sentences_of_image,
        )
        objective = build_objective(settings.objective)
        if self.ranks.count == 1:
            self.step = TrainingStep(encoder, contrast, objective)
        else:
            self.step = SpreadStep(
                encoder, contrast, objective, self.ranks.group, training.gather_negatives
            )
        self.optimizer = torch.optim.AdamW(
            parameter_groups(encoder, objective, settings.optimizer),
            weight_decay=settings.optimizer.weight_decay,
            # One pass over the weights; its own way of skipping steps is not the scaler's.
            fused=training.precision != "16-mixed" and self.fabric.device.type in FUSED_DEVICES,
        )
        per_epoch = -(-prepared.batches.batches_per_epoch // training.accumulate)
        self.scheduler = LambdaLR(
            self.optimizer, rate_factor(settings.optimizer, per_epoch, training.epochs)
        )
        self._wrapped, self._wrapped_optimizer = self.fabric.setup(self.step, self.optimizer)
        self._share_draws()
        self._stop = False
        self._still_steps = 0
        self._saved_at = time.monotonic()

    def state(self) -> dict[str, Any]:
        """Everything that resuming needs besides settings and data, as tensors and JSON values."""
        kept = self._kept_names()
        return {
            "data": self.prepared.data_key,
            "dev": self.prepared.dev_key,
            "step": {n: t for n, t in self.step.state_dict().items() if n in kept},
            "optimizer": self.optimizer.state_dict(),
            "scheduler": {"last_epoch": self.scheduler.last_epoch},
            "random": self._random_state(),
            "place": copy.deepcopy(vars(self.place)),
            "precision": self.fabric.strategy.precision.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put a `state` back.

        Raises:
            DataError: if the train or the dev split is not the one that the run began with.
            CheckpointError: if the state is of another model.
        """
        data = self.settings.data
        for split, found, wanted in (
            (data.train_split, state.get("data"), self.prepared.data_key),
            (data.dev_split, state.get("dev", self.prepared.dev_key), self.prepared.dev_key),
        ):
            if found != wanted:
                raise DataError(
                    f"{data.path}: the images or captions of the {split} split are not those that "
                    f"{self.folder.path} began with; put them back, or start a new run."
                )
        try:
            missing, unknown = self.step.load_state_dict(state["step"], strict=False)
            lost = set(missing) & self._kept_names()
            if lost or unknown:
                raise ValueError(f"{len(lost)} tensors are missing, {len(unknown)} unknown")
            self.optimizer.load_state_dict(state["optimizer"])
            self.scheduler.last_epoch = state["scheduler"]["last_epoch"]
            self.place = Place(**state["place"])
            self.fabric.strategy.precision.load_state_dict(state["precision"])
            set_random_state(state["random"])
            self._share_draws()
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise CheckpointError(
                f"{self.folder.path}: the training state does not fit the settings ({reason}); "
                "put back the config.yaml that the run began with."
            ) from error

    def _random_state(self) -> dict[str, Any]:
        draws = self.ranks.draws
        return random_state() | ({} if draws is None else {"torch": draws.get_state()})

    def _share_draws(self) -> None:
        """Share torch's current generator state among ranks; each then continues with its own."""
        draws = self.ranks.draws
        if draws is not None:
            draws.set_state(torch.get_rng_state())
            self.step.model.image.draws = self.step.contrast.encoder.image.draws = draws

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
            ConfigError: if the loss or the gradient is NaN or infinite, or another process is
                training the run.
            CheckpointError: if a checkpoint or a log cannot be written.
        """
        metrics = None
        try:
            # One rank writes, so one rank holds the lock.
            lock = self.folder.locked() if self.fabric.is_global_zero else nullcontext()
            with lock, FirstInterrupt(self._request_stop):
                while not self.is_over():
                    self._train_epoch()
                    metrics = self._end_epoch()
        except OSError as error:
            raise CheckpointError(
                f"{self.folder.path}: training stopped ({error.strerror or error}); continue with "
                f"`user-itr train --resume {self.folder.path}`."
            ) from error
        finally:
            for logger in self.fabric.loggers:
                with suppress(OSError):
                    logger.finalize("finished")
        return metrics

    @property
    def judged(self) -> DualEncoder:
        """The encoders that are evaluated and kept for use."""
        return self.step.contrast.encoder if self.settings.momentum.evaluate else self.step.model

    def _request_stop(self) -> None:
        self._stop = True

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C was pressed; in the last epoch, `fit` ends all the same."""
        return self._stop

    def is_over(self) -> bool:
        """Whether there is nothing left to train: all epochs, patience or time are used up."""
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
        count = self.prepared.batches.batches_per_epoch
        self._wrapped.train()
        self.step.objective.begin_epoch(self.place.epoch)
        started = time.monotonic()
        share = self.ranks.index, self.ranks.count
        batches = self.prepared.batches.epoch(self.place.epoch, self.place.batch, share)
        with closing(batches_for(self.fabric.device, batches)) as ready:
            for batch in ready:
                losses, last_of_step = self.train_batch(batch)
                now = time.monotonic()
                self.place.seconds += now - started
                started = now
                number = self.place.batch
                self._report(number, count, losses)
                if last_of_step and number < count:
                    self._save_if_due()
                    if self._time_is_up():
                        break

    def train_batch(self, batch: Batch) -> tuple[dict[str, Tensor], bool]:
        """Run the next batch; returns its losses, and whether an optimizer step was done."""
        accumulate = self.settings.training.accumulate
        count = self.prepared.batches.batches_per_epoch
        number = self.place.batch + 1
        last_of_step = number % accumulate == 0 or number == count
        # The last step of an epoch may have fewer batches than the others.
        in_step = min(accumulate, count - (number - 1) // accumulate * accumulate)
        self.ranks.begin_batch(self.settings.training.seed, self.place.epoch, self.place.batch)
        with self.fabric.no_backward_sync(self._wrapped, enabled=not last_of_step):
            losses, keys = self._wrapped(batch.to(self.fabric.device))
            self._require_finite("loss", losses["loss"])
            self.fabric.backward(losses["loss"] / in_step)
        self.step.after_backward(keys)
        if last_of_step:
            norm = self.fabric.clip_gradients(
                self._wrapped,
                self._wrapped_optimizer,
                max_norm=self.settings.optimizer.clip_norm,
                error_if_nonfinite=False,
            )
            if norm is not None and self.settings.training.precision != "16-mixed":
                self._require_finite("gradient", norm)  # float16's scaler skips such a step
                self._require_movement(norm)
            self._wrapped_optimizer.step()
            self._wrapped_optimizer.zero_grad()
            self.scheduler.step()
            self.step.after_update()
            self.place.optimizer_steps += 1
        self.place.batch = number
        return losses, last_of_step

    def _require_finite(self, name: str, value: Tensor) -> None:
        """Stop before NaN or infinity reaches weights, queues or a checkpoint."""
        number = float(value.detach())
        if not math.isfinite(number):
            raise ConfigError(
                f"the {name} is {number} in epoch {self.place.epoch + 1}, batch "
                f"{self.place.batch + 1}: training diverged; start a new run with an "
                f"optimizer.rate below {self.settings.optimizer.rate}."
            )

    def _require_movement(self, norm: Tensor) -> None:
        """Stop a run that stands still, as UTO does while no positive pair scores above 0."""
        self._still_steps = 0 if float(norm) else self._still_steps + 1
        if self._still_steps == STILL_STEPS:
            raise ConfigError(
                f"the gradient has been exactly 0 for {STILL_STEPS} steps, so training stands "
                "still (no pair scores above 0); start a new run with another training.seed."
            )

    def _report(self, number: int, count: int, losses: dict[str, Tensor]) -> None:
        values = {name: float(value.detach()) for name, value in losses.items()}
        self.reporter.step(self.place.epoch, number, count, values)
        step = self.place.epoch * count + number
        rate = self.optimizer.param_groups[0]["lr"]
        self.fabric.log_dict(
            {**{f"train/{n}": v for n, v in values.items()}, "train/rate": rate}, step=step
        )

    def _save_if_due(self) -> None:
        # A Ctrl-C from here on is for the next call, or nothing would be saved.
        stop, due = self._agree()
        if stop or due:
            self._save(None)
        if stop:
            self.ranks.wait()
            raise Interrupted(
                f"interrupted in epoch {self.place.epoch + 1}; continue with "
                f"`user-itr train --resume {self.folder.path}`."
            )

    def _agree(self) -> tuple[bool, bool]:
        """Whether to stop and whether to save, the same on all ranks; and their clock."""
        minutes = (time.monotonic() - self._saved_at) / 60
        due = minutes >= self.settings.training.checkpoint_minutes
        stop, due, self.place.seconds = self.ranks.agree(self._stop, due, self.place.seconds)
        self._stop = self._stop or stop
        return stop, due

    def _end_epoch(self) -> CrossModalMetrics:
        metrics = evaluate_split(
            self.judged, self.prepared.dev, self.fabric.device, self.fabric.autocast, self.ranks
        )
        epoch = self.place.epoch
        values = metrics.to_dict()
        rsum = float(values["rsum"])
        best = self.ranks.broadcast(rsum > self.folder.index.best_rsum)
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
        stop, _ = self._agree()
        if stop and not self.is_over():
            self.ranks.wait()
            raise Interrupted(
                f"interrupted after epoch {epoch + 1}; continue with "
                f"`user-itr train --resume {self.folder.path}`."
            )
        return metrics

    def _save(self, rsum: float | None) -> None:
        if self.ranks.first:
            name = f"epoch-{self.place.epoch:03d}-batch-{self.place.batch:06d}"
            model = replace(self.prepared.model, encoder=self.judged)
            if rsum is None:  # the last metrics are of other weights
                model = replace(model, metrics={})
            self.folder.save(name, model, self.state(), rsum)
        self._saved_at = time.monotonic()
