"""Keeping an index up to date for as long as a process runs: `user-itr index --watch`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TypeVar

from user_itr.errors import IndexBusyError, UserItrError
from user_itr.search.watching import FolderWatcher

T = TypeVar("T")

BUSY_SECONDS = 1.0
"""How often an index is asked for that another process writes to."""

RETRY_SECONDS = (10.0, 600.0)
"""After how long an update that failed is tried again: at first, and at most."""


def when_free(call: Callable[[], T], say: Callable[[str], None], stop: Event | None = None) -> T:
    """What a call gives that writes to an index, once no other process does.

    Args:
        call: raises IndexBusyError while another process writes.
        say: takes a sentence that a person should know; it is told once that this waits.
        stop: ends the waiting when set: the IndexBusyError is raised then.
    """
    stop = stop or Event()
    waits = False
    while True:
        try:
            return call()
        except IndexBusyError as error:
            if not waits:
                say(f"{_without_remedy(error)}; waiting until it is done.")
            waits = True
            if stop.wait(BUSY_SECONDS):
                raise


def keep_current(
    watcher: FolderWatcher,
    update: Callable[[list[Path]], object],
    say: Callable[[str], None],
    *,
    due: Iterable[Path] = (),
    caught_up: Callable[[], None] = lambda: None,
    stop: Event | None = None,
) -> None:
    """Update each folder that changed, until `stop` is set or a signal raises an exception.

    What changes during an update is taken in by the next one. An update that fails is told, once,
    and tried again with the next change of its folder, or after a while.

    Args:
        watcher: that watches already: what changes from now on, or has since, is not missed.
        update: brings the index up to date with folders; it is given one at a time.
        say: takes a sentence that a person should know.
        due: folders to update at first.
        caught_up: called once, when these have been.
        stop: ends the loop when set; an update under way is finished.
    """
    stop = stop or Event()
    waiting = {folder: _Attempt() for folder in due}
    said: dict[Path, str] = {}
    first = True
    while not stop.is_set():
        for folder in [folder for folder, one in waiting.items() if one.after <= time.monotonic()]:
            try:
                _update(update, folder, say, stop)
            except Exception as error:  # a service outlives whatever one update meets
                reason = _reason(folder, error)
                if said.get(folder) != reason:
                    say(f"{reason} The watch goes on.")
                said[folder] = reason
                waiting[folder].failed()
            else:
                said.pop(folder, None)
                del waiting[folder]
            if stop.is_set():
                return
        if first:
            caught_up()
        first = False
        pause = min((one.after for one in waiting.values()), default=float("inf"))
        changed = watcher.wait(stop, min(60.0, max(0.0, pause - time.monotonic())))
        waiting |= {folder: _Attempt() for folder in changed}


def _update(
    update: Callable[[list[Path]], object], folder: Path, say: Callable[[str], None], stop: Event
) -> None:
    when_free(lambda: update([folder]), say, stop)


@dataclass
class _Attempt:
    """An update that is due.

    Attributes:
        after: the time, of `time.monotonic`, from which it is.
        pause: seconds that the last one which failed put it off; 0 if none did.
    """

    after: float = 0.0
    pause: float = 0.0

    def failed(self) -> None:
        """Put it off, for longer each time."""
        first, most = RETRY_SECONDS
        self.pause = min(2 * self.pause or first, most)
        self.after = time.monotonic() + self.pause


def _reason(folder: Path, error: Exception) -> str:
    if isinstance(error, UserItrError):
        return str(error)
    return f"{folder}: the update failed ({type(error).__name__}: {error})."


def _without_remedy(error: Exception) -> str:
    return str(error).split(";")[0].rstrip(".")
