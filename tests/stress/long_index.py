"""An index under load for minutes: searches over HTTP, photos that come and go; memory over time.

    python tests/stress/long_index.py --minutes 10
    python tests/stress/long_index.py --minutes 10 --trace

A real `user-itr serve` answers clients, while this process takes changes of the photos into the
same index, again and again, with the model that ships. Both processes' resident memory is printed;
with --trace also what Python's allocations in this one grew by; threads and open files.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "search"))
from kill_index import change
from killable_index import make_photos
from processes import descendants, field, open_files, resident, still_there

WORDS = ("two dogs", "a man", "snow", "a red ball", "the beach", "people", "a street", "grass")


def client(base: str, stop: threading.Event, seed: int, answered: Counter[int]) -> None:
    dice = random.Random(seed)
    for number in itertools.count():
        if stop.is_set():
            return
        query = f"{dice.choice(WORDS)} and {dice.choice(WORDS)} {seed} {number}"
        address = f"{base}/api/search?{urllib.parse.urlencode({'q': query, 'limit': 20})}"
        try:
            with urllib.request.urlopen(address, timeout=120) as answer:
                json.load(answer)
                answered[answer.status] += 1
        except urllib.error.HTTPError as error:
            answered[error.code] += 1
            print(error.code, error.read().decode())


def snapshot() -> tracemalloc.Snapshot:
    gc.collect()
    own = tracemalloc.Filter(False, tracemalloc.__file__)
    return tracemalloc.take_snapshot().filter_traces([own])


def python_growth(before: tracemalloc.Snapshot) -> tuple[float, list[str]]:
    """KiB that Python's allocations grew by, and the places that grew most."""
    differences = snapshot().compare_to(before, "lineno")
    return sum(d.size_diff for d in differences) / 1024, [str(d) for d in differences[:5]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument(
        "--trace", action="store_true", help="Python's allocations, which swells it"
    )
    options = parser.parse_args()
    import torch

    from user_itr import ImageIndex, load

    torch.set_num_threads(1)
    dice = random.Random(0)
    encoder = load()
    with tempfile.TemporaryDirectory() as temporary:
        photos = Path(temporary) / "photos"
        make_photos(photos, range(options.photos))
        index = ImageIndex.create_or_open(Path(temporary) / "index", encoder, "shipped:flickr8k")
        index.update(photos, encoder)
        command = [sys.executable, "-c", "from user_itr.cli import main; main()", "serve"]
        server = subprocess.Popen(
            [*command, "--index", index.path, "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        stop, answered = threading.Event(), Counter[int]()
        try:
            line = server.stdout.readline()
            base = re.search(r"http://127\.0\.0\.1:\d+", line)[0]
            clients = [
                threading.Thread(target=client, args=(base, stop, seed, answered))
                for seed in range(options.clients)
            ]
            for thread in clients:
                thread.start()
            if options.trace:
                tracemalloc.start()
            before: tracemalloc.Snapshot | None = None
            updates, shown = 0, 0
            print(
                f"{'minute':>6} {'updates':>8} {'searches':>9} {'server MiB':>11} {'files':>6} "
                f"{'threads':>8} {'indexer MiB':>12} {'files':>6} {'threads':>8} {'Python KiB':>11}"
            )
            begun = time.monotonic()
            rows = 20
            while (gone := time.monotonic() - begun) < 60 * options.minutes:
                change(photos, dice, share=0.02)
                index.update(photos, encoder, processes=False)
                updates += 1
                if gone < shown * 60 * options.minutes / rows:
                    continue
                shown += 1
                if (
                    options.trace and before is None and gone > 6 * options.minutes
                ):  # a tenth, to warm up in
                    before = snapshot()
                growth = 0.0 if before is None else python_growth(before)[0]
                print(
                    f"{gone / 60:6.1f} {updates:8,} {sum(answered.values()):9,} "
                    f"{resident(server.pid):11.0f} {len(open_files(server.pid)):6} "
                    f"{field(server.pid, 'Threads'):8} {resident(os.getpid()):12.0f} "
                    f"{len(open_files(os.getpid())):6} {field(os.getpid(), 'Threads'):8} "
                    f"{growth:11.0f}",
                    flush=True,
                )
            for place in python_growth(before)[1] if before else []:
                print(" ", place)
        finally:
            stop.set()
            for thread in clients:
                thread.join()
            started = descendants(os.getpid())
            server.terminate()
            server.wait()
        print(f"answers by status: {dict(answered)}; left over: {still_there(started) or 'none'}")
        disk = sum(file.stat().st_size for file in index.path.rglob("*") if file.is_file())
        print(f"{len(index)} photos, the index takes {disk / 1e6:.1f} MB on the disk")


if __name__ == "__main__":
    main()
