"""Training runs for processes that die; see `forked`."""

from __future__ import annotations

import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "stress"))
import forked


def start_run(
    out: Path, data: Path, overrides: list[str], dies: tuple[str, int] | None = None
) -> BaseProcess:
    """A process that starts the run, or goes on with it, as `user-itr train` does.

    Args:
        out: the run.
        data: a set of `write_scan_set`.
        overrides: of `tiny_settings`.
        dies: a function's dotted name, and at which call of it to be killed.
    """
    return forked.start(_train, out, data, overrides, dies, cache=out.parent / "cache")


def _train(out: Path, data: Path, overrides: list[str], dies: tuple[str, int] | None) -> None:
    from tiny_runs import tiny_settings

    from user_itr.cli import train

    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(quiet, stream)
    if dies is not None:
        forked.die_at(*dies)
    if (out / "run.json").exists():
        train.continue_run(out)
    else:
        train.start_run(tiny_settings(data, *overrides), out)
