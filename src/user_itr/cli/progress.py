"""Progress on the terminal, by rich: bars on a screen, plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from user_itr.evaluation.metrics import CrossModalMetrics


SECONDS_A_LINE = 10.0
"""Seconds between two lines of progress in a pipe or a log."""


class RateColumn(ProgressColumn):
    """Items a second."""

    def render(self, task: Task) -> Text:
        """The rate as text, empty before it is known."""
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else f"{rate:.1f}/s", style="progress.data.speed")


def bars(console: Console | None = None) -> Progress:
    """The progress display that every long command shows: bar, count, rate, time gone and left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console or Console(stderr=True),
    )


@contextmanager
def progress_of(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar from the first call of the yielded function, which takes (done, total).

    The total is None where nobody knows it yet. Where stderr is no terminal there are plain lines:
    one every `SECONDS_A_LINE` seconds, and one at the end.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        lines = _Lines(title, console)
        try:
            yield lines.advance
        finally:
            lines.end()
        return
    progress = bars(console)

    def advance(done: int, total: int | None) -> None:
        if not progress.tasks:
            progress.start()
            progress.add_task(title, completed=done, total=total)  # no rate of what was resumed
        progress.update(progress.tasks[0].id, completed=done, total=total)

    try:
        yield advance
    finally:
        if progress.tasks:  # stopping what never started prints an empty line
            progress.stop()


class _Lines:
    """Progress in a log or a pipe."""

    def __init__(self, title: str, console: Console) -> None:
        self.title, self.console = title, console
        self.count: tuple[int, int | None] | None = None
        self.printed: tuple[int, int | None] | None = None
        self.begun = 0
        self.started = self.last = time.monotonic()

    def advance(self, done: int, total: int | None) -> None:
        if self.count is None:
            self.begun = done  # no rate of what was resumed
            self.started = self.last = time.monotonic()
        self.count = done, total
        if time.monotonic() - self.last >= SECONDS_A_LINE:
            self._print()

    def end(self) -> None:
        if self.count is not None and self.count != self.printed:
            self._print()

    def _print(self) -> None:
        assert self.count is not None
        self.printed, self.last = self.count, time.monotonic()
        done, total = self.count
        seconds = self.last - self.started
        counted = done > self.begun and seconds > 0
        rate = f", {(done - self.begun) / seconds:.1f}/s" if counted else ""
        of = "" if total is None else f" of {total:,}"
        text = f"{self.title}: {done:,}{of}{rate}"
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def no_progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """`progress_of` without a bar, for a process that works beside one that shows it."""
    yield lambda done, total: None


class TrainingDisplay:
    """Bar of the running epoch, and a line an evaluation.

    Args:
        epochs: of the run.
        quiet: show nothing, in a process beside the one that shows it.
    """

    def __init__(self, epochs: int, quiet: bool = False) -> None:
        self.epochs = epochs
        self.console = Console(stderr=True, quiet=quiet)
        self.progress = bars(self.console)
        self.task = self.progress.add_task("training", total=None, visible=False)

    def __enter__(self) -> TrainingDisplay:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, highlight=False, soft_wrap=True)

    def step(self, epoch: int, batch: int, batches: int, values: dict[str, float]) -> None:
        """See `Reporter.step`."""
        self.progress.update(
            self.task,
            completed=batch,
            total=batches,
            visible=True,
            description=f"epoch {epoch + 1}/{self.epochs} loss {values['loss']:.3f}",
        )

    def evaluated(self, epoch: int, metrics: CrossModalMetrics, best: bool) -> None:
        """See `Reporter.evaluated`."""
        recalls = [
            " ".join(f"{value:.1f}" for value in direction.recall.values())
            for direction in (metrics.i2t, metrics.t2i)
        ]
        self.note(
            f"epoch {epoch + 1}/{self.epochs}: dev R@1/5/10 image-to-text {recalls[0]}, "
            f"text-to-image {recalls[1]}, rsum {metrics.rsum:.1f}{' (best)' if best else ''}"
        )
