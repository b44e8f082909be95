"""`ImageIndex.update` as a program that is killed: python killable_index.py INDEX PHOTOS.

It tells how far it is, a line a batch, and writes in small chunks, so that a kill hits all of it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from colour_encoder import ColourEncoder
from damage import faults
from made_rows import kept
from PIL import Image

from user_itr.errors import UserItrError
from user_itr.search.found import photo_id
from user_itr.search.index import ImageIndex
from user_itr.search.manifest import Manifest
from user_itr.search.photos import content_hash
from user_itr.search.update import encoding as update_module

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


def wait_for_lines(process: subprocess.Popen[str], lines: int) -> None:
    """Wait until the update has told of so many batches, or has ended."""
    assert process.stdout is not None
    for _ in range(lines):
        if not process.stdout.readline():
            return


def stop(process: subprocess.Popen[str]) -> None:
    """Stop a process in its tracks, as a copy of all files at one moment needs; Linux only."""
    process.send_signal(signal.SIGSTOP)
    state = Path(f"/proc/{process.pid}/task")
    while process.poll() is None:
        states = [
            (task / "stat").read_text().rpartition(")")[2].split()[0] for task in state.iterdir()
        ]
        if all(one in "TtZX" for one in states):
            return


def copy(where: Path, to: Path, *, log: bool) -> Path:
    """A copy of an index as it is at this moment; without SQLite's log, as a backup may have it."""
    left_out = () if log else ("photos.db-wal", "photos.db-shm")
    shutil.copytree(where, to, ignore=shutil.ignore_patterns(*left_out))
    return to


def check_left(where: Path, photos: Path) -> int:
    """What a kill or a copy left contradicts itself nowhere; returns how many photos it has.

    Each row's size, hash and embedding are those of its file, which was not changed since.
    """
    if not Manifest.exists(where) or not (where / "photos.db").exists():
        return 0
    encoder = ColourEncoder()
    index = ImageIndex.create_or_open(where, encoder, "model")
    assert faults(where / "photos.db") == []
    rows = index.ask(lambda store: sorted(store.files()))
    assert len(rows) == len(index) == len({row.path for row in rows})
    for row in rows:
        path = Path(row.path)
        assert path.is_relative_to(photos)
        if not path.exists():
            continue
        content = path.read_bytes()
        if row.state.size == len(content) and row.state.mtime_ns == path.stat().st_mtime_ns:
            assert row.hash == content_hash(content)
            embedding = index.embedding_of(photo_id(row.path))
            expected = kept(encoder.encode_images([path])[0], half=True)
            np.testing.assert_allclose(embedding, expected, atol=2e-3)
    return len(rows)


def fresh(place: Path, photos: Path) -> ImageIndex:
    """An index of these photos that nothing ever disturbed."""
    index = ImageIndex.create_or_open(place, ColourEncoder(), "model")
    index.update(photos, ColourEncoder())
    return index


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
