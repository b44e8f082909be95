"""Indexing, killed at random: every index is valid and ends equal to one that was left alone.

    python tests/stress/kill_index.py --kills 50 --photos 2000

Each run is first stopped for a copy of the index's files, as a power cut leaves them, one with
SQLite's log and one without; every copy is valid, and one of them is brought up to date as well.

Real processes with real decode workers. Between kills some photos are moved, changed, removed and
added, and with --restless a thread goes on changing photos while they are read.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "search"))
from colour_encoder import ColourEncoder
from damage import faults
from inspect_index import stored
from killable_index import (
    BATCH,
    check_left,
    copy,
    make_photos,
    running,
    stop,
    wait_for_lines,
)
from processes import descendants, still_there

from user_itr.search.index import ImageIndex

MOST_BATCHES = 30
"""A run is killed after so many batches of 16 at the latest: it takes several to get to its end."""


def change(photos: Path, dice: random.Random, share: float = 0.05) -> None:
    """Move, change, remove and add some photos."""
    files = sorted(photos.rglob("*.jpg"))
    for path in dice.sample(files, int(share * len(files))):
        what = dice.randrange(4)
        if what == 0:
            path.rename(path.with_name(f"{path.stem}-{dice.randrange(10**6)}.jpg"))
        elif what == 1:
            repaint(path, dice)
        elif what == 2:
            path.unlink()
        else:
            make_photos(photos, range(number := dice.randrange(10**4, 10**5), number + 1))


def repaint(path: Path, dice: random.Random) -> None:
    colour = tuple(dice.randrange(256) for _ in range(3))
    Image.new("RGB", (dice.randrange(8, 200), 24), colour).save(path)


def disturb(photos: Path, seed: int, stop: threading.Event) -> None:
    dice = random.Random(seed)
    files = sorted(photos.rglob("*.jpg"))
    while not stop.wait(0.002):
        path = dice.choice(files)
        if dice.randrange(3):
            repaint(path, dice)
        elif path.exists():
            with path.open("rb+") as file:
                file.truncate(dice.randrange(300))


def copy_of(where: Path, log: bool) -> Path:
    """A copy beside the index, in the place of the one before."""
    place = where.with_name(f"copy-{'with' if log else 'without'}")
    shutil.rmtree(place, ignore_errors=True)
    if not where.exists():  # the run had not come so far
        place.mkdir()
        return place
    return copy(where, place, log=log)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--restless", action="store_true")
    options = parser.parse_args()
    dice = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        photos, where = Path(temporary) / "photos", Path(temporary) / "index"
        make_photos(photos, range(options.photos))
        begun = time.monotonic()
        with running(Path(temporary) / "first", photos) as process:
            process.communicate()
            assert process.returncode == 0
        seconds = time.monotonic() - begun
        batch_seconds = seconds * BATCH / options.photos
        print(f"{options.photos:,} photos, {seconds:.1f} s undisturbed", flush=True)
        kills, rounds, at, cut = 0, 0, [], []
        copies: list[Path] = []
        while kills < options.kills:
            rounds += 1
            while kills < options.kills:
                ended_by = threading.Event()
                thread = threading.Thread(target=disturb, args=(photos, kills, ended_by))
                if options.restless:
                    thread.start()
                with running(where, photos) as process:
                    if dice.random() < 0.9:  # else while it is still importing
                        wait_for_lines(process, dice.randrange(1, MOST_BATCHES))
                    time.sleep(dice.uniform(0, 2 * batch_seconds))
                    workers = descendants(process.pid)
                    ended = process.poll() is not None
                    if not ended:
                        stop(process)
                        copies = [copy_of(where, log) for log in (True, False)]
                    process.kill()
                    process.wait()
                ended_by.set()
                if options.restless:
                    thread.join()
                if ended:
                    break
                kills += 1
                assert not (left := still_there(workers)), f"workers {left} live on"
                at.append(check_left(where, photos))
                cut.append([check_left(place, photos) for place in copies])
            with running(where, photos) as process:
                printed = process.communicate()
                assert process.returncode == 0, printed[1]
            fresh = ImageIndex.create_or_open(
                Path(temporary) / f"fresh-{rounds}", ColourEncoder(), "model"
            )
            fresh.update(photos, ColourEncoder())
            whole = stored(fresh)
            assert stored(ImageIndex.open(where)) == whole, "not as if left alone"
            for place in copies:
                later = ImageIndex.create_or_open(place, ColourEncoder(), "model")
                later.update(photos, ColourEncoder())
                assert stored(later) == whole, "a copy is not as if left alone"
                assert faults(place / "photos.db") == []
            shutil.rmtree(fresh.path)
            print(f"round {rounds}: {kills} kills, photos in: {' '.join(map(str, at))}", flush=True)
            print(f"    in copies with the log and without: {cut}", flush=True)
            at, cut = [], []
            if rounds % 3:
                change(photos, dice)
            else:
                shutil.rmtree(where)
                copies = []
        print(f"{kills} kills in {rounds} rounds, {2 * kills} copies: each as if left alone")


if __name__ == "__main__":
    main()
