"""Ctrl-C in a training run: the first one asks for a checkpoint, the second one stops at once."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from user_itr.errors import UserItrError


class Interrupted(UserItrError):
    """Ctrl-C was pressed; the run was saved and can be resumed."""

    exit_code = 130


class FirstInterrupt:
    """Turns the first SIGINT inside the block into a call; the next one is Python's own again.

    Args:
        call: what the first one does.
    """

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call

    def _handle(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.call()

    def __enter__(self) -> None:
        self.previous = None
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job keeps ignoring it
            return
        with suppress(ValueError):  # not in the main thread: Ctrl-C goes elsewhere
            self.previous = signal.signal(signal.SIGINT, self._handle)

    def __exit__(self, *_: object) -> None:
        if self.previous is not None:
            signal.signal(signal.SIGINT, self.previous)
