"""The processes (ranks) of a run, and what they exchange besides gradients.

With one process, everything here returns its input. What only one rank sees (Ctrl-C, the clock, the
result of an epoch) must be agreed on before any rank acts on it, or the others would wait for
ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from lightning.fabric import Fabric

from user_itr.training.launching import LostContact

T = TypeVar("T")

NO_LIMIT = timedelta(days=365)
"""Limit for waiting on another rank's work, such as extracting features. A rank that dies closes
its connections, which ends the wait at once."""

_BROKEN = ("gloo", "nccl", "connection closed by peer", "connection reset", "broken pipe", "socket")


class Ranks:
    """This process among all of a run's.

    Args:
        fabric: from `create_fabric`; launched here.

    Attributes:
        index: this process' rank.
        count: number of ranks.
        group: of all ranks, for what travels within a step; None with one process.
        draws: with several ranks, the CPU generator of the draws that all of them share; torch's
            own generator is then each rank's own (`begin_batch`). None with one process.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.index, self.count = fabric.global_rank, fabric.world_size
        self.group: Any = None
        self.draws: torch.Generator | None = None
        if self.count == 1:
            return
        fabric.launch()
        # Groups of their own: DDP's gradients may travel between two collectives of a step.
        self.group = dist.new_group()
        self._patient = dist.new_group(backend="gloo", timeout=NO_LIMIT)
        self.draws = torch.Generator()

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which writes checkpoints and logs and shows progress."""
        return self.index == 0

    @property
    def first_here(self) -> bool:
        """Whether this is the first rank of its machine."""
        return self.fabric.local_rank == 0

    def broadcast(self, value: T) -> T:
        """Rank 0's value, on every rank, however long it takes there; pickled on its way."""
        if self.count == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, group=self._patient)
        return values[0]

    def wait(self) -> None:
        """Wait until all ranks are here."""
        if self.count > 1:
            dist.barrier(group=self._patient)

    def add_up(self, array: np.ndarray) -> None:
        """Replace a float32 array by its sum over ranks, in place."""
        if self.count > 1:
            dist.all_reduce(torch.from_numpy(array), group=self._patient)

    def agree(self, stop: bool, due: bool, seconds: float) -> tuple[bool, bool, float]:
        """Decide together: stop if any rank was asked to.

        Rank 0 decides when to save and supplies the elapsed time.

        Args:
            stop: whether this process was asked to stop.
            due: whether a checkpoint is due by its clock.
            seconds: of training, by its clock.
        """
        if self.count == 1:
            return stop, due, seconds
        own = [float(stop), float(due), seconds] if self.first else [float(stop), 0.0, 0.0]
        values = torch.tensor(own, dtype=torch.float64)
        dist.all_reduce(values, dist.ReduceOp.MAX, group=self._patient)
        stopped, is_due, time = values.tolist()
        return bool(stopped), bool(is_due), time

    def begin_batch(self, seed: int, epoch: int, batch: int) -> None:
        """With several ranks, start torch's generator anew: dropout differs from rank to rank."""
        if self.count > 1:
            place = np.random.SeedSequence([seed, epoch, batch + 1, self.index])
            torch.manual_seed(int(place.generate_state(1, np.uint32)[0]))

    def leave(self) -> None:
        """Close the connections to the other ranks."""
        if self.count > 1:
            self.wait()
            dist.destroy_process_group()

    @contextmanager
    def contact(self, run: Path) -> Iterator[None]:
        """Turn the errors of a broken connection into one that names the remedy.

        Raises:
            LostContact: if another rank is gone.
        """
        try:
            yield
        except RuntimeError as error:
            text = str(error).lower()
            if self.count == 1 or not any(word in text for word in _BROKEN):
                raise
            raise LostContact(
                f"rank {self.index} of {self.count} lost contact with another rank; when that one "
                f"is well again, continue with `user-itr train --resume {run}`."
            ) from error
