"""Starting a run's processes on this machine, one a device, and watching them to their end.

Fabric's own launcher makes the command itself rank 0 and, when a process dies, kills the others and
itself without a word; torchrun ends in a traceback and gives Ctrl-C half a minute. Here the command
is no rank: it starts all of them with torchrun's environment, so they run as they would under
torchrun, passes Ctrl-C on, ends the rest when one dies, and says in one sentence which did and how
to go on. It needs no torch.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess  # nosec B404 # starts this command again, once a device
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from user_itr.errors import ConfigError, UserItrError
from user_itr.training.interruption import Interrupted

REPORTS = "USER_ITR_REPORTS"
"""Environment variable of a rank that was started here: the folder where it leaves its report."""

POLL_SECONDS = 0.1
SETTLE_SECONDS = 2.0
"""After the first rank has failed, the others may fail by themselves, for a reason of their own."""

SAVING_SECONDS = 60.0
"""The same, where the first one left after Ctrl-C."""

TERM_SECONDS = 5.0
"""From SIGTERM to SIGKILL."""


class RankFailed(UserItrError):
    """A process of a run on several devices died, or lost the others."""

    exit_code = 1


class LostContact(RankFailed):
    """Another process is gone; that one has the reason."""

    exit_code = 75


def is_rank() -> bool:
    """Whether a launcher, this one or torchrun, started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def world() -> tuple[int, int]:
    """Processes on this machine, and machines; (1, 1) in a process that is no rank."""
    if not is_rank():
        return 1, 1
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    return here, int(os.environ["WORLD_SIZE"]) // here


def rank_environments(
    devices: int, nodes: int = 1, environment: Mapping[str, str] = os.environ
) -> list[dict[str, str]]:
    """What torchrun would set for each process of this machine.

    Args:
        devices: processes on each machine.
        nodes: machines. With several, NODE_RANK, MASTER_ADDR and MASTER_PORT say which this is and
            where the first one listens.
        environment: variables of this process.

    Raises:
        ConfigError: if one of the three is missing or no number.
    """
    node, address, port = "0", "127.0.0.1", ""
    if nodes > 1:
        names = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
        missing = [name for name in names if name not in environment]
        if missing:
            raise ConfigError(
                f"training.nodes = {nodes}: {missing[0]} is not set; give each machine NODE_RANK "
                f"(0 to {nodes - 1}), and all of them MASTER_ADDR and MASTER_PORT of the first "
                "one, or start them with torchrun."
            )
        node, address, port = (environment[name] for name in names)
        if not node.isdecimal() or int(node) >= nodes:
            raise ConfigError(
                f"training.nodes = {nodes}: NODE_RANK is {node!r}; give a number from 0 to "
                f"{nodes - 1}."
            )
    threads = max(1, _cores() // devices)
    common = {
        "OMP_NUM_THREADS": str(threads),
        **environment,
        "TORCHELASTIC_RUN_ID": "user-itr",
        "MASTER_ADDR": address,
        "MASTER_PORT": port or str(_free_port()),
        "WORLD_SIZE": str(devices * nodes),
        "LOCAL_WORLD_SIZE": str(devices),
        "GROUP_RANK": node,
        "GROUP_WORLD_SIZE": str(nodes),
    }
    return [
        {**common, "RANK": str(int(node) * devices + local), "LOCAL_RANK": str(local)}
        for local in range(devices)
    ]


def run_ranks(words: Sequence[str], devices: int, nodes: int, run: Path) -> dict[str, Any]:
    """Run `user-itr WORDS` once a device, all as ranks of one run, until the last one ends.

    Args:
        words: of the command line.
        devices: processes on each machine.
        nodes: machines.
        run: the run's folder, for the sentence.

    Returns:
        What this machine's first rank reported.

    Raises:
        RankFailed: if a rank died or failed in a way that is no mistake of the user.
        Interrupted: after Ctrl-C, once the run is saved.
        UserItrError: the error of a rank, with its exit code.
        KeyboardInterrupt: if the ranks stopped at Ctrl-C without having something to save.
    """
    environments = rank_environments(devices, nodes)
    with tempfile.TemporaryDirectory(prefix="user-itr-") as folder:
        ranks: list[subprocess.Popen[bytes]] = []
        try:
            with _PassOn(ranks):
                for environment in environments:
                    ranks.append(
                        subprocess.Popen(  # nosec B603 # our own words, no shell
                            [sys.executable, "-m", "user_itr", *words],
                            env={**environment, REPORTS: folder},
                            stdin=subprocess.PIPE,  # its end tells a rank that this process is gone
                            start_new_session=True,  # Ctrl-C reaches it once, from here
                        )
                    )
                first = _wait(ranks)
        finally:
            _end(ranks)
        numbers = [int(environment["RANK"]) for environment in environments]
        reports = [_read_report(Path(folder), number) for number in numbers]
        if first is not None:
            _raise(numbers[first], devices * nodes, ranks[first].returncode, reports[first], run)
        return reports[0]


def report(**values: Any) -> bool:
    """Leave a report for the process that started this rank; False where nobody asked for one."""
    folder = os.environ.get(REPORTS)
    if folder is None:
        return False
    name = f"rank-{os.environ['RANK']}.json"
    partial = Path(folder) / f".{name}"
    with suppress(OSError):  # whoever asked is gone
        partial.write_text(json.dumps(values), "utf-8")
        partial.replace(Path(folder) / name)
    return True


def follow_parent() -> None:
    """End this rank when the process that started it is gone, however that ended."""
    if REPORTS not in os.environ:
        return

    def wait() -> None:
        with suppress(OSError):
            while os.read(0, 1024):
                pass
        os._exit(LostContact.exit_code)

    threading.Thread(target=wait, name="follow-parent", daemon=True).start()


def _wait(ranks: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """Wait until all ranks end well, or one does not; returns the one to blame, or None."""
    deadline = None
    while True:
        codes = [rank.poll() for rank in ranks]
        failed = [i for i, code in enumerate(codes) if code not in (None, 0)]
        if failed and deadline is None:
            saving = codes[failed[0]] == Interrupted.exit_code
            deadline = time.monotonic() + (SAVING_SECONDS if saving else SETTLE_SECONDS)
        over = all(code is not None for code in codes)
        if over or (deadline is not None and time.monotonic() > deadline):
            return min(failed, key=lambda i: _blame(codes[i] or 0), default=None)
        time.sleep(POLL_SECONDS)


def _blame(code: int) -> int:
    """Order of the reasons: killed, its own error, at a loss because another one is gone."""
    return 0 if code < 0 else 2 if code == LostContact.exit_code else 1


def _end(ranks: Sequence[subprocess.Popen[bytes]]) -> None:
    """End what still runs."""
    for rank in ranks:
        if rank.poll() is None:
            rank.terminate()
    deadline = time.monotonic() + TERM_SECONDS
    for rank in ranks:
        try:
            rank.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            rank.kill()
            rank.wait()
        if rank.stdin is not None:
            rank.stdin.close()


def _raise(rank: int, ranks: int, code: int, found: dict[str, Any], run: Path) -> None:
    if "error" in found and code != LostContact.exit_code:
        error = (Interrupted if code == Interrupted.exit_code else UserItrError)(found["error"])
        error.exit_code = code
        raise error
    if code == Interrupted.exit_code:
        raise KeyboardInterrupt
    if code < 0:
        with suppress(ValueError):
            reason = f"was killed by {signal.Signals(-code).name}"
            if -code == signal.SIGKILL:
                reason += " (by hand, or for want of memory)"
    elif code == LostContact.exit_code:
        reason = "lost contact with a rank on another machine"
    else:
        reason = f"ended with exit code {code}, see above"
    begun = (run / "run.json").exists()
    remedy = f"continue with `user-itr train --resume {run}`" if begun else "start it again"
    raise RankFailed(f"rank {rank} of {ranks} {reason}, so the others were stopped; {remedy}.")


def _read_report(folder: Path, rank: int) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads((folder / f"rank-{rank}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return values


class _PassOn:
    """Passes every SIGINT of a block on to the ranks, which know what the first and second mean."""

    def __init__(self, ranks: Sequence[subprocess.Popen[bytes]]) -> None:
        self.ranks = ranks

    def _handle(self, number: int, frame: FrameType | None) -> None:
        for rank in self.ranks:
            if rank.poll() is None:
                rank.send_signal(signal.SIGINT)

    def __enter__(self) -> None:
        self.previous: Any = None
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so do the ranks
            return
        with suppress(ValueError):  # not in the main thread
            self.previous = signal.signal(signal.SIGINT, self._handle)

    def __exit__(self, *_: object) -> None:
        if self.previous is not None:
            signal.signal(signal.SIGINT, self.previous)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
