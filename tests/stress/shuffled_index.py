"""An index stays right whatever happened to its files: renames, swaps, overwrites, copies, touches.

    python tests/stress/shuffled_index.py --examples 2000

Every example indexes up to `--photos` photos of one size and one time, then does some of the steps
of `tests/search/shuffled_photos.py` and updates the index, a few times over. After each update
every row is compared with its file: hash, size, date, embedding; and no contents are encoded that
the index had. An example that fails is named by its seed: `--first SEED --examples 1`
repeats it.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "search"))
from shuffled_photos import STEPS, NoiseEncoder, Shuffle, check

from user_itr.search import file_state
from user_itr.search.index import ImageIndex
from user_itr.search.update import encoding, leaving, placing


def one(seed: int, most: int) -> tuple[int, int, int]:
    """One example; returns its photos, updates and encoded photos."""
    choose = random.Random(seed)
    photos = int(4 * (most / 4) ** (choose.random() ** 2))
    chunk = choose.choice([1, 7, 64, 512] if photos < 100 else [64, 200, 512])
    for module in (placing, encoding, leaving):
        module.CHUNK_ROWS = chunk  # type: ignore[attr-defined]
    file_state.RACY_NS = choose.choice([0, 2_000_000_000])
    updates = encoded = 0
    with tempfile.TemporaryDirectory() as place:
        shuffle = Shuffle(Path(place, "photos"), choose, photos)
        encoder = NoiseEncoder()
        index = ImageIndex.create_or_open(Path(place, "index"), encoder, "model")
        known: set[str] = set()
        for _ in range(choose.randint(2, 5)):
            report = index.update(shuffle.root, encoder)
            check(index, shuffle, report, known)
            updates += 1
            encoded += report.encoded
            known = set(shuffle.hashes().values())
            shuffle.tick()
            for _ in range(choose.randint(1, 8)):
                shuffle.step(choose.choice(STEPS))
    return photos, updates, encoded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--photos", type=int, default=1500, help="at most, of an example")
    parser.add_argument("--first", type=int, default=0, help="seed of the first example")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long")
    options = parser.parse_args()
    start = time.monotonic()
    totals = [0, 0, 0]
    done = 0
    for seed in range(options.first, options.first + options.examples):
        if time.monotonic() - start > 60 * options.minutes:
            break
        try:
            totals = [sum(pair) for pair in zip(totals, one(seed, options.photos), strict=True)]
        except BaseException:
            print(f"failed: --first {seed} --examples 1 --photos {options.photos}")
            raise
        done += 1
    photos, updates, encoded = totals
    print(
        f"{done} examples, {photos:,} photos, {updates:,} updates, {encoded:,} encoded: every row "
        f"is its file's ({time.monotonic() - start:.0f} s)"
    )


if __name__ == "__main__":
    main()
