"""Pictures decoded in processes of their own: few at once, in bounded time and memory."""

from __future__ import annotations

import subprocess  # nosec B404 # this Python, with a program that is written below
import sys
import threading
from contextlib import suppress
from typing import Any

from user_itr.errors import DataError
from user_itr.server.decoder import receive, send

PROGRAM = (
    "import sys; sys.path[:] = {path!r}; from user_itr.server.decoder import main; sys.exit(main())"
)
"""Imports from where this process does, and not from the folder that it was started in."""

_Answer = tuple[dict[str, Any], bytes]


class Decoders:
    """Processes that decode, started when they are needed; several threads may ask at once.

    A decoder that crashes, hangs or takes too much memory costs the picture and not the server. A
    process that holds much memory afterwards is replaced.

    Args:
        count: how many decode at once; others wait.
        seconds: that a picture may take.
        most_bytes: of address space that a process may have.
    """

    def __init__(self, count: int, seconds: float, most_bytes: int) -> None:
        self.seconds = seconds
        self.most_bytes = most_bytes
        self._free = threading.BoundedSemaphore(count)
        self._changing = threading.Lock()
        self._idle: list[subprocess.Popen[bytes]] = []
        self._all: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def ask(self, label: str, content: bytes, **fields: Any) -> _Answer:
        """What `decoder.answer` says about a picture.

        Args:
            label: of the picture in messages.
            content: its file.
            fields: what is wanted of it; see `decoder.answer`.

        Raises:
            DataError: if it cannot be decoded, or not within the limits.
        """
        with self._free:
            process = self._take()
            if process is not None:
                with suppress(OSError):  # it ended, perhaps while it had nothing to do
                    return self._ask(process, label, content, fields)
            try:
                return self._ask(self._start(), label, content, fields)
            except OSError:
                raise _lost(label, "its decoder crashed") from None

    def prepare(self) -> None:
        """Start a process where there is none, so that the first picture does not wait for it."""
        if self._all or self._closed:
            return
        with suppress(OSError, DataError):  # asking for a picture says what is wrong
            process = self._start()
            with self._changing:
                self._idle.append(process)

    def close(self) -> None:
        """End the processes; what they decode is dropped."""
        with self._changing:
            self._closed = True
            ended = [*self._all]
            self._idle.clear()
        for process in ended:
            self._discard(process)

    def pids(self) -> list[int]:
        """The processes that there are."""
        self._reap()
        with self._changing:
            return [process.pid for process in self._all]

    def _ask(
        self, process: subprocess.Popen[bytes], label: str, content: bytes, fields: dict[str, Any]
    ) -> _Answer:
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self.seconds, end)
        timer.daemon = True
        timer.start()
        found = None
        try:
            send(process.stdin, fields, content)  # type: ignore[arg-type]
            found = receive(process.stdout)  # type: ignore[arg-type]
        except OSError:
            if not late.is_set():
                raise
        finally:
            timer.cancel()
            if found is None or found[0]["ends"] or late.is_set():
                self._discard(process)
            else:
                with self._changing:
                    self._idle.append(process)
        if found is None:
            if late.is_set():
                raise _lost(label, "it takes too long")
            raise ConnectionResetError("the process ended")
        if "error" in found[0]:
            raise DataError(found[0]["error"])
        return found

    def _take(self) -> subprocess.Popen[bytes] | None:
        while True:
            with self._changing:
                if not self._idle:
                    return None
                process = self._idle.pop()
            if process.poll() is None:
                return process
            self._discard(process)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._changing:
            if self._closed:
                raise DataError("the server ends; start it again.")
            process = subprocess.Popen(  # nosec B603
                [sys.executable, "-c", PROGRAM.format(path=sys.path), str(self.most_bytes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # a terminal's Ctrl-C is for the server
            )
            self._all.add(process)
        return process

    def _discard(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        process.wait()
        with self._changing:
            self._all.discard(process)

    def _reap(self) -> None:
        with self._changing:
            gone = [process for process in self._all if process.poll() is not None]
        for process in gone:
            if process in self._idle:
                self._idle.remove(process)
            self._discard(process)


def _lost(label: str, reason: str) -> DataError:
    return DataError(f"{label}: cannot be decoded ({reason}); use a smaller or another copy.")
