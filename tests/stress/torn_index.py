"""Copies of an index in the middle of the carrying over of SQLite's log: each holds one state.

    python tests/stress/torn_index.py --copies 60

A process writes and carries over all the time. It is stopped while `photos.db-undo` is there, and
`photos.db` copied without its log: with that file, and, to see what it is for, without.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "search"))
import numpy as np
from damage import faults
from killable_index import stop
from made_rows import put, unit

from user_itr.search.location import Folder
from user_itr.search.store.log import is_torn, put_back
from user_itr.search.store.sqlite import SqliteStore

DIM = 1_024
PHOTOS = 3_000
CHANGED = 200


def write(place: Path) -> None:
    """Change an index and carry its log over, for ever."""
    store = SqliteStore(Folder(place), 1, DIM, create=True)
    step = 0
    while True:
        step += 1
        numbers = np.random.default_rng(step).permutation(PHOTOS)[:CHANGED]
        put(store, [f"/p/{number}" for number in numbers], unit(CHANGED, DIM, step))
        if step % 6 == 0:
            store._drop_orphans()
            store._database.carry_over()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--copies", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write(options.write)
    dice = random.Random(options.seed)
    torn, damaged = 0, 0
    with tempfile.TemporaryDirectory() as temporary:
        place, copy, bare = (Path(temporary) / name for name in ("index", "copy", "bare"))
        undo = place / "photos.db-undo"
        command = [sys.executable, __file__, "--write", str(place)]
        with subprocess.Popen(command, text=True) as process:
            try:
                for _ in range(options.copies):
                    while not undo.exists():
                        assert process.poll() is None, "the writer ended"
                    time.sleep(dice.uniform(0, 0.02))
                    stop(process)
                    for folder in (copy, bare):
                        shutil.rmtree(folder, ignore_errors=True)
                        folder.mkdir()
                        shutil.copy(place / "photos.db", folder)
                    if undo.exists():
                        shutil.copy(undo, copy)
                    process.send_signal(signal.SIGCONT)
                    if is_torn(copy / "photos.db"):
                        torn += 1
                        put_back(copy / "photos.db")
                    assert faults(copy / "photos.db") == [], "the copy holds no one state"
                    damaged += bool(faults(bare / "photos.db"))
            finally:
                process.kill()
    print(
        f"{options.copies} copies without the log, {torn} in the middle of carrying it over: all "
        f"hold one state; without photos.db-undo {damaged} would be damaged"
    )


if __name__ == "__main__":
    main()
