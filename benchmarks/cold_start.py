"""Processor seconds and memory of whole commands, started cold, and the size of an installation.

    python benchmarks/cold_start.py ~/Pictures                     # the user-itr on the PATH
    python benchmarks/cold_start.py ~/Pictures --command .venv/bin/user-itr --rounds 10
    python benchmarks/cold_start.py ~/Pictures --versus "rclip --no-indexing 'two dogs'"

Commands take turns, so that what else the machine does falls on all. A row is the best and the
median of user plus system time, children included, and the largest memory that one process held.
`--versus` compares with `search`, and may be given again. The photos are indexed before, which is
not counted, into a folder that goes at the end.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from user_itr.demo.sample_photos import copy_sample_photos

SERVED = "serve, to the end of its first search"


class Cost(NamedTuple):
    """Of one run: processor seconds, megabytes, wall-clock seconds."""

    seconds: float
    megabytes: float
    wall: float


def wait_for(process: subprocess.Popen[str], started: float) -> Cost:
    """Its cost, with those of its children that it has waited for."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = usage.ru_utime + usage.ru_stime
    return Cost(seconds, usage.ru_maxrss / 1024, time.monotonic() - started)


def run(words: list[str]) -> Cost:
    """A command that has to succeed."""
    started = time.monotonic()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    process = subprocess.Popen(words, text=True, **quiet)  # type: ignore[call-overload]
    cost = wait_for(process, started)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{shlex.join(words)} failed: {process.stderr.read()}")
    return cost


def serve(words: list[str]) -> Cost:
    """A server, asked one search as soon as it says where it is, then ended by Ctrl-C."""
    started = time.monotonic()
    process = subprocess.Popen(words, text=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://[\d.:]+/", line)
    if found is None:
        raise SystemExit(f"{shlex.join(words)} did not start: {line}")
    while True:
        try:
            with urllib.request.urlopen(f"{found.group()}api/search?q=two+dogs") as answer:
                answer.read()
            break
        except ConnectionRefusedError:
            time.sleep(0.01)
    wall = time.monotonic() - started
    process.send_signal(signal.SIGINT)
    return wait_for(process, started)._replace(wall=wall)


def sides_of(
    command: str, photos: Path, index: Path, versus: list[str]
) -> dict[str, Callable[[], Cost]]:
    """What is measured, by its name."""
    at = ["--index", str(index)]
    picture = next(path for path in sorted(photos.rglob("*.jpg")))
    python = str(Path(command).with_name("python"))
    lines: dict[str, list[str]] = {
        'search "two dogs"': [command, "search", "two dogs", *at],
        "search --image": [command, "search", "--image", str(picture), *at],
        "index, nothing changed": [command, "index", str(photos), *at],
        "--help": [command, "--help"],
        "import user_itr": [python, "-c", "import user_itr"],
        **{text: shlex.split(text) for text in versus},
    }
    sides: dict[str, Callable[[], Cost]] = {
        name: lambda words=words: run(words)  # type: ignore[misc]
        for name, words in lines.items()
    }
    sides[SERVED] = lambda: serve([command, "serve", "--port", "0", *at])
    return sides


def installed_megabytes(command: str) -> float:
    """Of the packages beside a command."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    python = Path(command).with_name("python")
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    files = (file for file in Path(done.stdout.strip()).rglob("*") if file.is_file())
    return sum(file.stat().st_blocks * 512 for file in files) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path, nargs="?", help="the demo's by default")
    parser.add_argument("--command", default=shutil.which("user-itr"), help="user-itr to measure")
    parser.add_argument("--versus", action="append", default=[], help="another command line")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if asked.command is None:
        raise SystemExit("no user-itr on the PATH; name it with --command")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed: its modules are compiled
    with tempfile.TemporaryDirectory() as made:
        photos, index = asked.photos, Path(made, "index")
        if photos is None:
            photos = Path(made, "photos")
            copy_sample_photos(photos)
        cost = run([asked.command, "index", str(photos), "--index", str(index)])
        print(f"index, first time: {cost.seconds:.1f} s, {cost.megabytes:.0f} MB")
        sides = sides_of(asked.command, photos, index, asked.versus)
        costs: dict[str, list[Cost]] = {name: [] for name in sides}
        for number in range(asked.rounds + 1):
            for name, work in sides.items():
                cost = work()
                if number:  # the first brings files into memory
                    costs[name].append(cost)
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    base = statistics.median(cost.seconds for cost in costs['search "two dogs"'])
    print(f"{'command':<42} {'best':>7} {'median':>7} {'memory':>8} {'wall':>7} {'to search':>9}")
    for name, found in costs.items():
        seconds = [cost.seconds for cost in found]
        median = statistics.median(seconds)
        print(
            f"{name[:42]:<42} {min(seconds):>5.2f} s {median:>5.2f} s "
            f"{max(cost.megabytes for cost in found):>5.0f} MB "
            f"{statistics.median(cost.wall for cost in found):>5.2f} s {median / base:>9.2f}"
        )
    print(f"installed: {installed_megabytes(asked.command):.0f} MB in site-packages")


if __name__ == "__main__":
    main()
