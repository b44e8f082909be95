"""`user-itr index` as a service: real processes, changes while they run, and SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

pytest.importorskip("watchfiles", reason="the extra `app` is not installed")

sys.path.extend(str(Path(__file__).parents[1] / name) for name in ("search", "stress"))
import forked
from killable_index import make_photos
from processes import descendants, still_there

from user_itr.search.index import ImageIndex
from user_itr.search.service import when_free
from user_itr.search.table import write_lock

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads /proc")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    make_photos(tmp_path / "photos", range(12))
    return tmp_path


def start(place: Path, *words: str) -> BaseProcess:
    command = ["index", str(place / "photos"), "--index", str(place / "index"), *words]
    return forked.start(forked.command, command, place / "printed", cache=place / "cache")


def wait_for(place: Path, process: BaseProcess, true: Callable[[str], object]) -> None:
    deadline = time.monotonic() + 240
    printed = place / "printed"
    while not true(said := printed.read_text() if printed.exists() else ""):
        assert process.is_alive(), said
        assert time.monotonic() < deadline, said
        time.sleep(0.02)


def photos_in(place: Path) -> int:
    return len(ImageIndex.open(place / "index"))


def terminated(place: Path, process: BaseProcess) -> str:
    """Send SIGTERM; returns what the process printed."""
    assert process.pid is not None
    children = descendants(process.pid)
    os.kill(process.pid, signal.SIGTERM)
    process.join(60)
    said = (place / "printed").read_text()
    assert process.exitcode == 143, said
    assert not still_there(children)
    assert "Traceback" not in said
    assert "ended by SIGTERM; run the command again to go on." in said
    return said


def test_nothing_is_missed_and_only_a_signal_ends_it(place: Path) -> None:
    process = start(place, "--watch", "--batch-size", "2")
    wait_for(place, process, lambda _: descendants(process.pid or 0))  # its first run decodes
    make_photos(place / "photos" / "late.2021", range(20, 22))
    wait_for(place, process, lambda said: "watching; Ctrl-C or SIGTERM ends it" in said)
    wait_for(place, process, lambda _: photos_in(place) == 14)

    with ExitStack() as writing:  # another command writes
        when_free(lambda: writing.enter_context(write_lock(place / "index")), lambda text: None)
        make_photos(place / "photos" / "more", range(30, 31))
        wait_for(place, process, lambda said: "another process is writing" in said)
    wait_for(place, process, lambda _: photos_in(place) == 15)

    (place / "photos").rename(place / "away")
    wait_for(place, process, lambda said: f"{place / 'photos'}: " in said)
    (place / "away").rename(place / "photos")
    make_photos(place / "photos" / "back", range(40, 41))
    wait_for(place, process, lambda _: photos_in(place) == 16)
    terminated(place, process)


def test_sigterm_keeps_what_is_encoded(place: Path) -> None:
    make_photos(place / "photos", range(100, 160))
    process = start(place, "--batch-size", "4")
    wait_for(place, process, lambda _: len(descendants(process.pid or 0)) >= 2)
    terminated(place, process)
    kept = photos_in(place)
    assert kept < 72
    process = start(place)
    process.join(240)
    said = (place / "printed").read_text()
    assert process.exitcode == 0, said
    assert "72 photos in" in said
    unchanged = next(line for line in said.splitlines() if line.split()[:1] == ["unchanged"])
    assert int(unchanged.split()[-1]) == kept
