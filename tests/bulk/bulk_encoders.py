"""Encoders for these tests, as functions that a process elsewhere can be sent."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
from collections_of_images import SEARCH_TESTS  # noqa: F401 - puts colour_encoder on the path
from colour_encoder import ColourEncoder


def colours(name: str = "colours") -> ColourEncoder:
    return ColourEncoder(name)


def other_elsewhere(driver: int) -> ColourEncoder:
    """Another model in every process but one."""
    return ColourEncoder("colours" if os.getpid() == driver else "others")


class DeadlyEncoder(ColourEncoder):
    """Kills its process, as SIGKILL from outside does, in the middle of a batch.

    Args:
        marks: folder with a file for each death so far.
        deaths: after so many it behaves.
        after: images that it encodes before.
    """

    def __init__(self, marks: Path, deaths: int, after: int = 8) -> None:
        super().__init__()
        self.marks = marks
        self.deaths = deaths
        self.after = after

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        made = super().encode_pixels(pixels)
        marked = len(list(self.marks.iterdir()))
        if self.encoded > self.after and marked < self.deaths:
            (self.marks / str(marked)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return made


class MarkingEncoder(ColourEncoder):
    """Leaves a file NODE-PROCESS in a folder when it is made in a worker of Ray."""

    def __init__(self, marks: Path) -> None:
        import ray

        super().__init__()
        if ray.is_initialized() and ray.get_runtime_context().worker.mode == ray.WORKER_MODE:
            (marks / f"{ray.get_runtime_context().get_node_id()}-{os.getpid()}").touch()


class SlowEncoder(ColourEncoder):
    """Leaves time to stop it."""

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        time.sleep(1)
        return super().encode_pixels(pixels)
