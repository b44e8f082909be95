"""Feed every parser with broken input, for as long as one likes.

    python benchmarks/fuzz.py --seconds 20                 # a target, all targets
    python benchmarks/fuzz.py --seconds 600 --target yaml

Guided by coverage where atheris is installed (`pip install atheris`), by chance otherwise. What a
parser does with an input that it does not take must be an error of ours; anything else is written
to tests/fuzz/crashes/TARGET/, where the suite finds it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

FUZZ = Path(__file__).parents[1] / "tests" / "fuzz"
CRASHES = FUZZ / "crashes"
sys.path.append(str(FUZZ))

NAMES = (
    "csv",
    "jsonl",
    "flickr8k",
    "karpathy",
    "coco",
    "scan",
    "cxc",
    "query",
    "filters",
    "yaml",
    "set",
    "grid",
    "index",
    "store",
    "document",
    "scores",
    "run",
    "state",
    "measurement",
    "sentences",
    "image",
    "config",
    "weights",
    "hash",
    "tokenizer",
    "published",
)


def fuzz(name: str, seconds: float) -> None:
    """Fuzz one target in this process, which ends with 1 at the first crash."""
    guided = importlib.util.find_spec("atheris") is not None
    if guided:
        import atheris

        with atheris.instrument_imports(include=["user_itr"]):
            target, attempt, tokens = load(name)
    else:
        target, attempt, tokens = load(name)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    counts = [0, 0]

    def once(data: bytes) -> None:
        counts[0] += 1
        try:
            counts[1] += attempt(target, folder, data)
        except BaseException:
            file = CRASHES / name / hashlib.sha256(data).hexdigest()[:16]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            traceback.print_exc()
            print(f"written to {file}", flush=True)
            os._exit(1)

    import atexit

    def tell() -> None:
        print(f"{name}: {counts[0]:,} inputs, {counts[1]:,} of them taken", flush=True)
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(tell)
    if not guided:
        by_chance(once, target.seeds, tokens, seconds)
        return
    corpus = folder / "corpus"
    corpus.mkdir()
    (CRASHES / name).mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / str(number)).write_bytes(seed)
    dictionary = folder / "dictionary"
    words = ("".join(f"\\x{byte:02x}" for byte in token) for token in tokens if 0 < len(token) < 60)
    dictionary.write_text("".join(f'"{word}"\n' for word in words))
    options = {
        "max_total_time": int(seconds),
        "dict": dictionary,
        "max_len": 4 * max(map(len, target.seeds)) + 200,
        "rss_limit_mb": 6_000,
        "timeout": 30,
        "print_final_stats": 0,
        "verbosity": 0,
        "report_slow_units": 999,
        "artifact_prefix": f"{CRASHES / name}/",  # of hangs and of what kills the process
    }
    words_of = [f"-{key}={value}" for key, value in options.items()]
    atheris.Setup([sys.argv[0], *words_of, str(corpus)], once)
    tell_at_the_end(tell, seconds)
    atheris.Fuzz()


def tell_at_the_end(tell: Any, seconds: float) -> None:
    """Print the counts just before the time is over: libFuzzer ends the process without a word."""
    import threading

    timer = threading.Timer(max(0.0, seconds - 1), tell)
    timer.daemon = True
    timer.start()


def load(name: str) -> tuple[Any, Any, list[bytes]]:
    from targets import all_targets, attempt
    from test_fuzz import TOKENS

    target = all_targets()[name]
    attempt(target, Path(tempfile.mkdtemp(prefix="fuzz-")), target.seeds[0])  # imports
    return target, attempt, TOKENS


def by_chance(once: Any, seeds: tuple[bytes, ...], tokens: list[bytes], seconds: float) -> None:
    dice = random.Random(time.time_ns())
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = dice.choice(seeds)
        for _ in range(dice.randint(1, 8)):
            start = dice.randint(0, len(data))
            stop = start + dice.randint(0, 16)
            piece = (
                dice.choice(tokens) if dice.random() < 0.4 else dice.randbytes(dice.randint(0, 4))
            )
            data = data[:start] + data[start:stop] * dice.randint(0, 2) + piece + data[stop:]
        once(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=20, help="a target")
    parser.add_argument(
        "--target", action="append", choices=NAMES, help="repeatable; all by default"
    )
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        fuzz(given.target[0], given.seconds)
        return
    crashed = []
    for name in given.target or NAMES:
        words = [sys.executable, __file__, "--here", "--target", name]
        run = subprocess.run([*words, "--seconds", str(given.seconds)], stderr=subprocess.PIPE)
        if run.returncode:
            crashed.append(name)
            print(run.stderr.decode(errors="replace")[-3_000:])
    print(f"crashed: {', '.join(crashed) or 'none'}")
    sys.exit(bool(crashed))


if __name__ == "__main__":
    main()
