"""Ctrl-C in real processes: the exit code, nothing left behind, and the same command goes on."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

sys.path.extend(str(Path(__file__).parents[1] / name) for name in ("search", "stress", "training"))
import forked
from colour_encoder import ColourEncoder
from killable_index import make_photos, running
from processes import descendants, still_there
from tiny_runs import tiny_settings, write_scan_set

from user_itr.search.index import ImageIndex
from user_itr.search.manifest import Manifest
from user_itr.training.run_folder import RunFolder

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads /proc")


def wait_for(process: BaseProcess, printed: Path, true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert process.is_alive(), printed.read_text()
        assert time.monotonic() < deadline, printed.read_text()
        time.sleep(0.005)


def interrupted(process: BaseProcess, printed: Path, code: int = 130) -> str:
    """Press Ctrl-C; returns what the process printed."""
    assert process.pid is not None
    children = descendants(process.pid)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    said = printed.read_text()
    assert process.exitcode == code, said
    assert not still_there(children)
    assert "Traceback" not in said
    return said


def leftovers(folder: Path) -> list[str]:
    parts = (".partial", ".tmp", ".writing-")
    return [str(path) for path in folder.rglob("*") if any(part in path.name for part in parts)]


def test_train(tmp_path: Path) -> None:
    out, printed = tmp_path / "run", tmp_path / "printed"
    data = write_scan_set(tmp_path / "set")
    RunFolder(out).create(
        tiny_settings(data, "training.epochs=3", "training.checkpoint_minutes=1e-9")
    )
    words = ["train", "--resume", str(out)]
    process = forked.start(forked.command, words, printed, cache=tmp_path / "cache")
    wait_for(process, printed, lambda: list((out / "checkpoints").glob("epoch*")))
    assert "continue with `user-itr train --resume" in interrupted(process, printed)
    assert not leftovers(out)
    process = forked.start(forked.command, words, printed, cache=tmp_path / "cache")
    process.join(120)
    assert process.exitcode == 0
    assert "trained 3 epochs" in printed.read_text()


def test_extracting_features(tmp_path: Path) -> None:
    photos, out, printed = (tmp_path / name for name in ("photos", "store", "printed"))
    make_photos(photos, range(40))
    words = ["features", "extract", str(photos), str(out), "--format", "folder"]
    words += ["--batch-size", "2"]
    process = forked.start(forked.command, words, printed, cache=tmp_path / "cache")
    progress = out / "progress.json"
    wait_for(
        process, printed, lambda: progress.exists() and '"rows": 0' not in progress.read_text()
    )
    interrupted(process, printed)
    left = {path.name for path in out.iterdir()}
    assert left == {"features.npy.partial", "progress.json", ".lock"}
    process = forked.start(forked.command, words, printed, cache=tmp_path / "cache")
    process.join(120)
    assert process.exitcode == 0, printed.read_text()
    assert "of them earlier" in printed.read_text()
    assert {path.name for path in out.iterdir()} == {"features.npy", "manifest.json"}


def test_indexing_and_serving(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="the extra `app` is not installed")
    photos, where, printed = (tmp_path / name for name in ("photos", "index", "printed"))
    make_photos(photos, range(48))
    words = ["index", str(photos), "--index", str(where), "--batch-size", "4"]
    process = forked.start(forked.command, words, printed, cache=tmp_path / "cache")
    assert process.pid is not None
    wait_for(process, printed, lambda: len(descendants(process.pid or 0)) >= 2)
    interrupted(process, printed)
    assert not leftovers(where)
    process = forked.start(forked.command, words, printed, cache=tmp_path / "cache")
    process.join(120)
    assert process.exitcode == 0, printed.read_text()
    assert "48 photos in" in printed.read_text()
    serve = ["serve", "--index", str(where), "--port", "0"]
    process = forked.start(forked.command, serve, printed, cache=tmp_path / "cache")
    wait_for(process, printed, lambda: "Ctrl-C ends it" in printed.read_text())
    interrupted(process, printed, code=0)


def test_workers_do_not_hear_the_terminal(tmp_path: Path) -> None:
    """A terminal interrupts all processes of a command, workers that have just begun too."""
    photos, where = tmp_path / "photos", tmp_path / "index"
    make_photos(photos, range(40))
    with running(where, photos, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "opened\n"
        while not (workers := descendants(process.pid)):
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate()[1]
    assert process.returncode == 130
    assert said == ""
    assert not still_there(workers)
    assert Manifest.exists(where)
    assert len(ImageIndex.create_or_open(where, ColourEncoder(), "model")) < 40
