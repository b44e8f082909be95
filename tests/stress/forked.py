"""Processes that may die: at a named function of ours, by a signal, or in their own time.

They are forked from a server that has imported PyTorch and our modules once, so that each costs a
second. LanceDB has threads from its import on, which a fork would lose, so the server has none.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
MODULES = (
    "lightning.fabric.loggers.csv_logs",
    "tiny_runs",
    "torch.utils.tensorboard",
    "user_itr.cli.features",
    "user_itr.cli.progress",
    "user_itr.cli.train",
    "user_itr.features.backbones.efficientnet_lite",
    "user_itr.features.extraction",
    "user_itr.features.sources",
    "user_itr.training.trainer",
)


def start(function: Callable[..., None], *arguments: Any, cache: Path) -> BaseProcess:
    """Call a function in a new process, which does not outlive this one.

    Args:
        function: of a module that can be imported.
        arguments: of it.
        cache: the process' cache folder.
    """
    context = _context()
    process: BaseProcess = context.Process(target=_call, args=(function, arguments, str(cache)))
    process.start()
    atexit.register(process.kill)  # a daemon would, but may have no workers
    return process


def _context() -> BaseContext:
    for folder in ("training", "features", "stress"):
        if str(TESTS / folder) not in sys.path:
            sys.path.append(str(TESTS / folder))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(MODULES))
    return context


def _call(function: Callable[..., None], arguments: tuple[Any, ...], cache: str) -> None:
    import torch

    torch.set_num_threads(1)
    os.environ["XDG_CACHE_HOME"] = cache
    function(*arguments)


def command(words: list[str], printed: Path, dies: tuple[str, int] | None = None) -> None:
    """`user-itr` with these words, for `start`; what it prints goes to a file.

    Args:
        words: of the command line.
        printed: the file.
        dies: a function's dotted name, and at which call of it to be killed.
    """
    from user_itr.cli import main

    handle = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)
    if dies is not None:
        die_at(*dies)
    main(words)


def die_at(name: str, call: int) -> None:
    """Let this process be killed when it calls a function for the n-th time, counted from 1."""
    holder, attribute = _holder(name)
    whole: Callable[..., Any] = getattr(holder, attribute)
    calls = 0

    @functools.wraps(whole)
    def counting(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(*arguments, **options)

    setattr(holder, attribute, counting)


def _holder(name: str) -> tuple[Any, str]:
    """The module or class that a dotted name's last part is in."""
    parts = name.split(".")
    for split in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for part in parts[split:-1]:
            found = getattr(found, part)
        return found, parts[-1]
    raise ModuleNotFoundError(name)
