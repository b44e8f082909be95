from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from tiny_runs import Recorder, assert_same, resume, silent, start, tiny_settings

from user_itr.errors import CheckpointError, ConfigError
from user_itr.model.checkpoint import TrainedModel, load_model
from user_itr.training import run_folder
from user_itr.training.preparation import prepare
from user_itr.training.run_folder import RunFolder, RunIndex

resource = pytest.importorskip("resource", reason="needs a limit on the size of files")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, scan_set: Path) -> TrainedModel:
    return prepare(tiny_settings(scan_set), silent).model


@pytest.fixture
def folder(tmp_path: Path, scan_set: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.create(tiny_settings(scan_set))
    return folder


@contextmanager
def full_disk(largest: int) -> Iterator[None]:
    """The kernel refuses to let any file grow beyond that many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def content(folder: RunFolder) -> dict[str, set[str]]:
    return {c.name: {file.name for file in c.iterdir()} for c in folder.checkpoints.iterdir()}


MODEL = {"config.json", "model.safetensors", "tokenizer.json"}
WHOLE = MODEL | {"training.json", "training.safetensors"}


def test_the_last_is_kept_whole_the_best_as_a_model_and_the_rest_goes(
    folder: RunFolder, model: TrainedModel
) -> None:
    for name, rsum, best in (
        ("a", None, None),
        ("b", 10.0, "b"),
        ("c", None, "b"),
        ("d", 9.5, "b"),
        ("e", 10.0, "b"),
        ("f", 20.0, "f"),
        ("g", None, "f"),
    ):
        assert folder.save(name, model, {"step": torch.ones(1)}, rsum) == (name == best)
        assert content(folder) == {**({best: MODEL} if best else {}), name: WHOLE}
        opened = RunFolder(folder.path)
        opened.open()
        assert opened.index == folder.index
        last = opened.last_state()
        assert last is not None
        assert last[0] == folder.checkpoints / name
    assert folder.index == RunIndex("g", "f", 20.0)
    assert load_model(folder.path).fingerprint == load_model(folder.checkpoints / "f").fingerprint


def test_a_new_run_needs_a_folder_of_its_own(
    folder: RunFolder, scan_set: Path, tmp_path: Path
) -> None:
    settings = tiny_settings(scan_set)
    assert folder.open() == settings
    assert RunFolder(folder.path).last_state() is None
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    with pytest.raises(ConfigError, match=rf"holds a run; continue it with --resume {folder.path}"):
        RunFolder(folder.path).create(settings)
    assert before == {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"")
    (tmp_path / "file").write_text("")
    for name in ("photos", "file"):
        with pytest.raises(ConfigError, match=f"{name}: is not empty; give --out another"):
            RunFolder(tmp_path / name).require_free()
    with pytest.raises(ConfigError, match="cannot be written"):
        RunFolder(tmp_path / "file" / "run").create(settings)
    (tmp_path / "empty").mkdir()
    RunFolder(tmp_path / "empty").create(settings)
    assert RunFolder(tmp_path / "empty").open() == settings


@pytest.mark.parametrize("moment", ["writing", "renaming", "telling"])
def test_a_crash_at_any_moment_leaves_the_previous_checkpoint_in_force(
    folder: RunFolder, model: TrainedModel, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    def die_renaming(source: Path, target: Path) -> Path:
        return die() if target.name == "b" else rename(source, target)

    rename = Path.replace
    folder.save("a", model, {"number": 1}, 10.0)
    with monkeypatch.context() as patch:
        if moment == "writing":
            patch.setattr(run_folder, "write_state", die)
        elif moment == "renaming":
            patch.setattr(Path, "replace", die_renaming)
        else:
            patch.setattr(RunFolder, "_write_index", die)
        with pytest.raises(Killed):
            folder.save("b", model, {"number": 2}, 20.0)
    (folder.checkpoints / ".writing-b").mkdir()  # what a kill inside the writing leaves
    (folder.checkpoints / ".writing-b" / "model.safetensors").write_bytes(b"half")

    again = RunFolder(folder.path)
    again.open()
    assert again.index == RunIndex("a", "a", 10.0)
    last = again.last_state()
    assert last is not None
    assert last[1] == {"number": 1}
    load_model(folder.path)

    again.save("b", model, {"number": 3}, 20.0)
    assert content(again) == {"b": WHOLE}
    last = again.last_state()
    assert last is not None
    assert last[1] == {"number": 3}


@pytest.mark.parametrize("largest", [0, 3000, 40_000, 300_000])
def test_a_full_disk_keeps_the_previous_checkpoint(
    folder: RunFolder, model: TrainedModel, largest: int
) -> None:
    """The limits let no file be written, then the small ones, the model, and all but the state."""
    folder.save("a", model, {"numbers": torch.zeros(100)}, 10.0)
    before, index = content(folder), folder.path.joinpath("run.json").read_bytes()
    with full_disk(largest), pytest.raises(CheckpointError) as refused:
        folder.save("b", model, {"numbers": torch.zeros(100_000)}, 20.0)
    sentence = str(refused.value)
    assert re.fullmatch(
        r".*checkpoints/b: cannot be written \(.*too large.*\); the previous checkpoint is "
        r"untouched\. Free some space and continue with --resume .*run\.",
        sentence,
    ), sentence
    assert content(folder) == before == {"a": WHOLE}
    assert folder.path.joinpath("run.json").read_bytes() == index
    assert folder.index == RunIndex("a", "a", 10.0)
    assert folder.save("b", model, {"numbers": torch.zeros(100_000)}, 20.0)


def test_training_onto_a_full_disk_can_be_resumed(scan_set: Path, tmp_path: Path) -> None:
    class Filling(Recorder):
        def evaluated(self, *arguments: object) -> None:  # type: ignore[override]
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    settings = tiny_settings(scan_set, "training.epochs=2")
    try:
        with pytest.raises(CheckpointError, match="cannot be written"):
            start(settings, tmp_path / "run", Filling()).fit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    resumed = resume(tmp_path / "run")
    assert (resumed.place.epoch, resumed.place.batch) == (1, 0)
    resumed.fit()
    whole = start(settings, tmp_path / "whole")
    whole.fit()
    assert_same(resumed.state(), whole.state())


def test_folders_that_are_no_run(folder: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere: is no run \(run\.json: No such file"):
        RunFolder(tmp_path / "nowhere").open()
    file = folder.path / "run.json"
    good = file.read_text()
    for bad in ("{", "[]", '{"lost": 1}', b"\xff".decode("latin1")):
        file.write_text(bad, "latin1")
        with pytest.raises(CheckpointError, match=r"run\.json: is damaged"):
            RunFolder(folder.path).open()
    file.write_text(json.dumps({**json.loads(good), "format_version": 2, "new": 1}))
    with pytest.raises(CheckpointError, match="format version 2, this release reads up to 1; upg"):
        RunFolder(folder.path).open()
    file.write_text(good)
    settings = folder.path / "config.yaml"
    settings.write_text(settings.read_text().replace("epochs:", "epoch:"))
    with pytest.raises(ConfigError, match=r"config\.yaml: unknown key .*training\.epoch"):
        RunFolder(folder.path).open()
    settings.unlink()
    with pytest.raises(CheckpointError, match=r"config\.yaml is missing"):
        RunFolder(folder.path).open()
