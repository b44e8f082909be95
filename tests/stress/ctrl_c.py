"""Ctrl-C at random moments, as a terminal sends it: to the command and all that it started.

    python tests/stress/ctrl_c.py --times 5

Each command is a process of its own, imports included. Afterwards nothing may run on and nothing
half-written may lie about, and the same command must go on to its end.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.extend(str(Path(__file__).parents[1] / name) for name in ("search", "training"))
from killable_index import make_photos
from processes import descendants, still_there
from tiny_runs import tiny_settings, write_scan_set

from user_itr.training.run_folder import RunFolder

PARTS = (".partial", ".tmp", ".writing-")
UNFINISHED = {"features.npy.partial"}  # what an extraction goes on with


def leftovers(root: Path) -> list[str]:
    return [
        path.name
        for path in root.rglob("*")
        if path.name not in UNFINISHED and any(part in path.name for part in PARTS)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        photos = root / "photos"
        make_photos(photos, range(64))
        data = write_scan_set(root / "set")

        def train(where: Path) -> list[str]:
            settings = tiny_settings(data, "training.checkpoint_minutes=1e-9")
            if not (where / "run.json").exists():
                RunFolder(where).create(settings)
            return ["train", "--resume", str(where)]

        commands = {
            "index": lambda where: ["index", str(photos), "--index", str(where)],
            "features": lambda where: [
                *("features", "extract", str(photos), str(where)),
                *("--format", "folder", "--batch-size", "4"),
            ],
            "train": train,
            "serve": lambda where: ["serve", "--index", str(root / "served"), "--port", "0"],
        }
        run(commands["index"](root / "served"))
        for name, words in commands.items():
            where = root / name
            begun = time.monotonic()
            if name == "serve":
                seconds = 15.0
            else:
                run(words(where))
                seconds = time.monotonic() - begun
            codes: Counter[int] = Counter()
            for number in range(options.times):
                where = root / f"{name}-{number}"
                code, said = interrupt(words(where), dice.uniform(0.2, 0.8 * seconds))
                assert code in (0, 130, -signal.SIGINT), (code, said)
                # Before the command begins, Python itself says where it was interrupted.
                assert code == -signal.SIGINT or "Traceback" not in said, said
                assert not leftovers(root), leftovers(root)
                codes[code] += 1
                if name != "serve":
                    run(words(where))
            print(f"{name:9} {seconds:5.1f} s undisturbed; exit codes {dict(codes)}", flush=True)


def command(words: list[str]) -> list[str]:
    return [sys.executable, "-W", "ignore", "-c", "from user_itr.cli import main; main()", *words]


def run(words: list[str]) -> None:
    """Run a command to its end."""
    ended = subprocess.run(command(words), capture_output=True, check=False, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def interrupt(words: list[str], seconds: float) -> tuple[int, str]:
    """Run a command for so long, press Ctrl-C; returns its exit code and what it said."""
    process = subprocess.Popen(
        command(words),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        started = descendants(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[0]
        assert not (left := still_there(started)), f"{left} live on"
    else:
        said = process.communicate()[0]
    return process.returncode, said


if __name__ == "__main__":
    main()
