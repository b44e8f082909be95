"""SIGTERM as Ctrl-C: what a command has done is saved, and its processes end with it."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

import typer

Command = TypeVar("Command", bound=Callable[..., Any])

EXIT_CODE = 128 + signal.SIGTERM
"""Of a command that SIGTERM ended, as shells tell it: 143."""


def saves_on_sigterm(command: Command) -> Command:
    """Have SIGTERM end a command as Ctrl-C does, with exit code 143 in the place of 130."""

    @functools.wraps(command)
    def saving(*arguments: Any, **options: Any) -> Any:
        with _sigterm_as_ctrl_c() as came:
            try:
                return command(*arguments, **options)
            except KeyboardInterrupt:
                if not came:
                    raise
                typer.echo("ended by SIGTERM; run the command again to go on.", err=True)
                raise typer.Exit(EXIT_CODE) from None

    return saving  # type: ignore[return-value]


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[list[int]]:
    """Yields a list that is empty until SIGTERM comes; further ones change nothing."""
    came: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) == 1:
            raise KeyboardInterrupt

    try:
        before = signal.getsignal(signal.SIGTERM)
        if before is signal.SIG_DFL:  # who ignores it, or has a use for it, goes on so
            signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread: the signal goes elsewhere
        before = None
    try:
        yield came
    finally:
        if before is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, before)
