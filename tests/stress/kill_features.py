"""`user-itr features extract`, killed at random: each store is the same to the byte.

python tests/stress/kill_features.py --kills 50 --photos 60
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import forked

sys.path.append(str(Path(__file__).parents[1] / "search"))
from killable_index import make_photos

from user_itr.errors import FeatureError
from user_itr.features.store import FeatureStore


def contents(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.iterdir()}


def check_valid(store: Path) -> None:
    """What a kill left is a whole store, or says that it is not finished."""
    try:
        FeatureStore.open(store).verify()
    except FeatureError as error:
        if not any(words in str(error) for words in ("is not finished", "no feature store")):
            raise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        photos, printed = root / "photos", root / "printed"
        make_photos(photos, range(options.photos))

        def extract(store: Path) -> forked.BaseProcess:
            words = ["features", "extract", str(photos), str(store), "--format", "folder"]
            return forked.start(
                forked.command, [*words, "--batch-size", "4"], printed, cache=root / "cache"
            )

        for name in ("imports", "whole"):  # the first one waits for the fork server's imports
            begun = time.monotonic()
            process = extract(root / name)
            process.join()
            assert process.exitcode == 0, printed.read_text()
        seconds = time.monotonic() - begun
        print(f"{options.photos} photos, {seconds:.1f} s undisturbed", flush=True)
        kills, stores = 0, 0
        while kills < options.kills:
            stores += 1
            store = root / "store"
            while True:
                process = extract(store)
                process.join(dice.uniform(0, seconds) if kills < options.kills else None)
                if process.exitcode is not None:
                    break
                process.kill()
                process.join()
                kills += 1
                check_valid(store)
            assert process.exitcode == 0, printed.read_text()
            assert contents(store) == contents(root / "whole")
            shutil.rmtree(store)
            print(f"store {stores}: {kills} kills so far, equal to the byte", flush=True)
        print(f"{kills} kills of {stores} stores: each as if left alone")


if __name__ == "__main__":
    main()
