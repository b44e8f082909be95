"""A long run adds nothing to memory, threads and open files; `tests/stress` has longer ones."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import numpy as np
import pytest

sys.path.extend(str(Path(__file__).parent / name) for name in ("search", "stress", "training"))
from colour_encoder import ColourEncoder
from kill_index import change
from killable_index import make_photos
from long_training import train
from processes import descendants, open_files, still_there

from user_itr.search.index import ImageIndex

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads /proc")

KIB = 64
"""What our allocations may grow by; a leaked batch, row or embedding would be more."""


class Growth:
    """What our allocations, threads and open files have grown by since `begin`."""

    def begin(self) -> None:
        self.before = self._now()
        self.files, self.threads = len(open_files(os.getpid())), threading.active_count()

    def check(self) -> None:
        differences = self._now().compare_to(self.before, "lineno")
        grown = sum(difference.size_diff for difference in differences)
        assert grown < KIB * 1024, [str(difference) for difference in differences[:5]]
        assert len(open_files(os.getpid())) <= self.files
        assert threading.active_count() <= self.threads  # LanceDB's own come and go

    def _now(self) -> tracemalloc.Snapshot:
        gc.collect()
        ours = tracemalloc.Filter(True, "*/user_itr/*")
        return tracemalloc.take_snapshot().filter_traces([ours])


@pytest.fixture
def growth() -> Iterator[Growth]:
    tracemalloc.start()
    try:
        yield Growth()
    finally:
        tracemalloc.stop()


def test_training(tmp_path: Path, growth: Growth) -> None:
    def look(step: int) -> None:
        looked.append(step)
        if step == 20:
            growth.begin()
        else:
            growth.check()

    looked: list[int] = []
    train(tmp_path, steps=54, every=20, call=look)
    assert looked == [20, 40]


def test_indexing_and_searching(tmp_path: Path, growth: Growth) -> None:
    photos, encoder, dice = tmp_path / "photos", ColourEncoder(), random.Random(0)
    make_photos(photos, range(60))
    index = ImageIndex.create_or_open(tmp_path / "index", encoder, "model")
    for turn in range(10):
        change(photos, dice, share=0.1)
        index.update(photos, encoder)
        for _ in range(5):
            index.search(np.ones(encoder.dim), 10)
            index.newest(10)
        if turn == 4:
            growth.begin()
    growth.check()


def test_workers_and_their_pipes_go_with_each_update(tmp_path: Path) -> None:
    """In a process of its own: what other tests left behind comes and goes in this one."""
    context = multiprocessing.get_context("spawn")
    counts = context.SimpleQueue()
    child = context.Process(target=three_updates, args=(tmp_path, counts))
    child.start()
    child.join()
    assert child.exitcode == 0
    seen = counts.get()
    assert seen[1] == seen[2]


def three_updates(folder: Path, counts: SimpleQueue) -> None:
    photos, encoder = folder / "photos", ColourEncoder()
    index = ImageIndex.create_or_open(folder / "index", encoder, "model")
    seen = []
    for turn in range(3):
        make_photos(photos, range(10 * turn, 10 * turn + 10))
        before = descendants(os.getpid())
        index.update(photos, encoder, processes=True, workers=1)
        tracker = 1  # of multiprocessing's own, which stays
        assert len(still_there(descendants(os.getpid()) - before, 1.0)) <= tracker
        seen.append((len(open_files(os.getpid())), threading.active_count()))
    counts.put(seen)
