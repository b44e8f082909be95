from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from feature_helpers import QuadrantMeans, broken, contents

from user_itr.errors import FeatureError
from user_itr.features.backbones.efficientnet_lite import EfficientNetLite
from user_itr.features.extraction import extract_features
from user_itr.features.store import FeatureStore

Photos = Callable[..., list[tuple[str, Path]]]


@pytest.mark.parametrize("stops", [[1], [1, 1, 1], [2, 1], [4], [0, 3]])
def test_a_stopped_run_continues_to_the_same_bytes(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans, stops: list[int]
) -> None:
    images = photos(9)
    images.insert(2, broken(tmp_path, "a.jpg"))
    images.insert(7, broken(tmp_path, "b.jpg"))
    extract_features(images, quadrants, tmp_path / "whole", batch_size=3)
    for limit in stops:
        out = tmp_path / "parts"
        report = extract_features(images, quadrants, out, batch_size=3, limit_batches=limit)
        assert report.complete == (limit == 4)
    report = extract_features(images, quadrants, tmp_path / "parts", batch_size=3)
    assert report.resumed == min(3 * sum(stops), len(images))
    assert [image.image_id for image in report.skipped] == ["a.jpg", "b.jpg"]
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


KILLED = """
import os, signal, sys, torch
from pathlib import Path
from user_itr.features import writer
from user_itr.features.backbones.efficientnet_lite import EfficientNetLite
from user_itr.features.extraction import extract_features

torch.set_num_threads(int(sys.argv[3]))
images = [(path.name, path) for path in sorted(Path(sys.argv[1]).iterdir())]
record, calls = writer.write_json, []
def kill_instead_of_recording_the_third_batch(*arguments):
    calls.append(arguments)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    record(*arguments)
writer.write_json = kill_instead_of_recording_the_third_batch
extract_features(images, EfficientNetLite(), Path(sys.argv[2]), batch_size=2)
"""


def test_a_run_goes_on_with_the_threads_it_began_with(
    tmp_path: Path, photos: Photos, lite0: EfficientNetLite
) -> None:
    images = photos(5)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        extract_features(images, lite0, tmp_path / "whole", batch_size=2)
        extract_features(images, lite0, tmp_path / "resumed", batch_size=2, limit_batches=1)
        torch.set_num_threads(1)
        extract_features(images, lite0, tmp_path / "resumed", batch_size=2)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    whole, resumed = ((tmp_path / n / "features.npy").read_bytes() for n in ("whole", "resumed"))
    assert whole == resumed


def test_sigkill_costs_one_batch_and_no_byte(
    tmp_path: Path, photos: Photos, lite0: EfficientNetLite
) -> None:
    images = photos(9)
    out = tmp_path / "killed"
    threads = str(torch.get_num_threads())
    command = [sys.executable, "-c", KILLED, str(tmp_path / "photos"), str(out), threads]
    process = subprocess.run(command, timeout=300, capture_output=True)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    row = 49 * 1280 * 2
    assert (out / "features.npy.partial").stat().st_size == 128 + 6 * row
    assert json.loads((out / "progress.json").read_text())["rows"] == 4
    with pytest.raises(FeatureError, match="not finished"):
        FeatureStore.open(out)

    report = extract_features(images, lite0, out, batch_size=2)
    extract_features(images, lite0, tmp_path / "whole", batch_size=2)

    assert report.resumed == 4
    assert contents(out) == contents(tmp_path / "whole")
    assert np.abs(FeatureStore.open(out).array).max(axis=(1, 2)).min() > 0


def stop_early(images: list[tuple[str, Path]], backbone: QuadrantMeans, out: Path) -> None:
    extract_features(images, backbone, out, batch_size=2, limit_batches=2)


@pytest.mark.parametrize(
    "damage", ["torn rows", "lost rows", "no progress", "bad progress", "killed while finishing"]
)
def test_odd_leftovers_of_a_kill(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans, damage: str
) -> None:
    images = photos(7)
    out = tmp_path / "store"
    partial, state = out / "features.npy.partial", out / "progress.json"
    extract_features(images, quadrants, tmp_path / "whole", batch_size=2)
    stop_early(images, quadrants, out)
    resumed = 0
    if damage == "torn rows":
        partial.write_bytes(partial.read_bytes() + b"half a row")
        resumed = 4
    elif damage == "lost rows":
        partial.write_bytes(partial.read_bytes()[:-1])
    elif damage == "no progress":
        state.unlink()
    elif damage == "bad progress":
        state.write_text("{")
    else:
        done = json.loads(state.read_text()) | {"batches": 4, "rows": 7}
        state.write_text(json.dumps(done))
        partial.unlink()
        (out / "features.npy").write_bytes((tmp_path / "whole" / "features.npy").read_bytes())
        resumed = 7
    report = extract_features(images, quadrants, out, batch_size=2)
    assert report.resumed == resumed
    assert contents(out) == contents(tmp_path / "whole")


def test_a_finished_store_is_left_alone(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans
) -> None:
    images = [*photos(4), broken(tmp_path)]
    out = tmp_path / "store"
    extract_features(images, quadrants, out)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    report = extract_features(images, quadrants, out)
    assert (report.resumed, report.complete, len(report.skipped)) == (5, True, 1)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_an_interrupted_overwrite_keeps_the_old_store_and_continues(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans
) -> None:
    images, other = photos(5), QuadrantMeans(scale=3.0)
    out = tmp_path / "store"
    extract_features(images, quadrants, out, batch_size=2)
    extract_features(images, other, out, batch_size=2, overwrite=True, limit_batches=1)
    store = FeatureStore.open(out)
    assert store.matches(quadrants)
    store.verify()
    report = extract_features(images, other, out, batch_size=2, overwrite=True)
    assert report.resumed == 2
    extract_features(images, other, tmp_path / "fresh", batch_size=2)
    assert contents(out) == contents(tmp_path / "fresh")


def test_other_program_versions_do_not_continue(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans
) -> None:
    images = photos(5)
    stop_early(images, quadrants, tmp_path / "s")
    file = tmp_path / "s" / "progress.json"
    state = json.loads(file.read_text())
    state["created_with"]["torch"] = "1.0"
    file.write_text(json.dumps(state))
    with pytest.raises(FeatureError, match=r"begun with .*torch 1\.0"):
        extract_features(images, quadrants, tmp_path / "s", batch_size=2)


def test_an_unfinished_store_of_a_later_release_is_left_alone(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans
) -> None:
    images = photos(5)
    stop_early(images, quadrants, tmp_path / "s")
    file = tmp_path / "s" / "progress.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format_version": 2, "new": 1}))
    before = contents(tmp_path / "s")
    with pytest.raises(FeatureError, match=r"progress\.json: has format version 2, .*upgrade"):
        extract_features(images, quadrants, tmp_path / "s", batch_size=2)
    assert contents(tmp_path / "s") == before


def test_two_runs_into_one_folder(tmp_path: Path, photos: Photos, quadrants: QuadrantMeans) -> None:
    images = photos(4)
    inside, go_on, errors = threading.Event(), threading.Event(), []

    def wait_in_the_middle(done: int, total: int) -> None:
        inside.set()
        go_on.wait(20)

    def first() -> None:
        extract_features(images, quadrants, tmp_path / "s", progress=wait_in_the_middle)

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(20)
    try:
        extract_features(images, quadrants, tmp_path / "s")
    except FeatureError as error:
        errors.append(str(error))
    go_on.set()
    thread.join()
    assert len(errors) == 1
    assert "another process is extracting" in errors[0]
    assert len(FeatureStore.open(tmp_path / "s")) == 4


def test_a_full_disk_is_a_sentence_and_the_run_continues(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans
) -> None:
    images = photos(200)
    extract_features(images, quadrants, tmp_path / "whole", batch_size=50)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        with pytest.raises(FeatureError, match=r"cannot be written .*; make room"):
            extract_features(images, quadrants, tmp_path / "s", batch_size=50)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    report = extract_features(images, quadrants, tmp_path / "s", batch_size=50)
    assert report.resumed == 100
    assert contents(tmp_path / "s") == contents(tmp_path / "whole")


def test_ctrl_c_keeps_the_complete_batches(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans
) -> None:
    images = photos(8)

    def interrupt(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_features(images, quadrants, tmp_path / "s", batch_size=2, progress=interrupt)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
    assert extract_features(images, quadrants, tmp_path / "s", batch_size=2).resumed == 4


def test_a_moved_data_set_has_the_same_store(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans
) -> None:
    extract_features(photos(3, "here"), quadrants, tmp_path / "s")
    before = contents(tmp_path / "s")
    assert extract_features(photos(3, "there"), quadrants, tmp_path / "s").resumed == 3
    assert contents(tmp_path / "s") == before
