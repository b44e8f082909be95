"""`ImageIndex.update` as a program that is killed: python killable_index.py INDEX PHOTOS.

It tells how far it is, a line a batch, and writes in small chunks, so that a kill hits all of it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from colour_encoder import ColourEncoder
from PIL import Image

from user_itr.errors import UserItrError
from user_itr.search import update as update_module
from user_itr.search.index import ImageIndex

CHUNK_ROWS = 64
BATCH = 16


def make_photos(folder: Path, numbers: Iterator[int] | range) -> None:
    """Small JPEGs of two random colours, 100 a folder, all different."""
    for number in numbers:
        dice = np.random.default_rng(number)
        pixels = np.empty((24, 32, 3), np.uint8)
        pixels[:, :16], pixels[:, 16:] = dice.integers(0, 256, (2, 3))
        path = folder / f"{number // 100:03}" / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((32 + number % 7, 24)).save(path, quality=90)


@contextmanager
def running(index: Path, photos: Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """An update in a process of its own, with workers that decode; it ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__, str(index), str(photos)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        text=True,
        **options,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def kill_after_lines(process: subprocess.Popen[str], lines: int) -> None:
    """SIGKILL when the process has told so many lines, or at its end."""
    assert process.stdout is not None
    for _ in range(lines):
        if not process.stdout.readline():
            break
    process.send_signal(signal.SIGKILL)
    process.wait()


def main() -> None:
    update_module.CHUNK_ROWS = CHUNK_ROWS
    encoder = ColourEncoder()
    try:
        index = ImageIndex.create_or_open(sys.argv[1], encoder, "model")
        print("opened")
        report = index.update(
            sys.argv[2],
            encoder,
            batch_size=BATCH,
            processes=True,
            progress=lambda done, total: print(f"{done} of {total}"),
        )
        print(f"ended with {report.encoded} encoded, {len(report.skipped)} skipped")
    except UserItrError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
