"""The standard streams of a command: closed, full or with nobody at their other end."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from user_itr.errors import UserItrError


class OutputError(UserItrError):
    """Standard output takes no more."""


class ReaderGone(OutputError):
    """What read standard output has ended, as `head` does; nothing is to be said about it."""

    exit_code = 141  # as of a process that SIGPIPE ended, which is what others do here


@contextmanager
def standard_streams() -> Iterator[None]:
    """Have standard output raise an OutputError where it takes no more, and standard error nothing.

    A stream that is closed gets the null device, so that no file is opened under its number, which
    libraries and other processes would write to.
    """
    for number in (0, 1, 2):
        _occupy(number)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Output(sys.stdout), _Errors(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _occupy(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)


class _Stream:
    """A text stream, or None where there is none; what is not here is the stream's own."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._error: Exception | None = None
        """The first one; a library that tries what a stream takes may have swallowed it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """See `io.TextIOBase`."""
        if self._stream is None and self._error is None:
            self._error = OSError(errno.EBADF, "it is closed")
        self._try(lambda: self._stream.write(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """See `io.TextIOBase`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """See `io.TextIOBase`."""
        if self._stream is not None:
            self._try(self._stream.flush)

    def isatty(self) -> bool:
        """See `io.TextIOBase`."""
        return self._stream is not None and bool(self._stream.isatty())

    def _try(self, call: Callable[[], object]) -> None:
        if self._error is None:
            try:
                call()
            except (OSError, ValueError) as error:
                self._error = error
                self._discard()
        if self._error is not None:
            self._fail(self._error)

    def _fail(self, error: Exception) -> None:
        """What a stream that takes no more does."""

    def _discard(self) -> None:
        """Let what is in the buffer, and what comes, go nowhere: the end would fail by it again."""
        with suppress(OSError, ValueError, AttributeError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
            self._stream.flush()


class _Output(_Stream):
    """What cannot be written is a mistake."""

    def _fail(self, error: Exception) -> NoReturn:
        if isinstance(error, BrokenPipeError):
            raise ReaderGone("standard output: its reader has ended.") from None
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(
            f"standard output: cannot be written ({reason}); send it to a terminal or a disk with "
            "room."
        ) from None


class _Errors(_Stream):
    """What cannot be said is not; the exit code tells."""
