"""A run whose process is killed outright, wherever that hits, ends as one that was left alone."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest
from killable_runs import start_run
from tiny_runs import assert_same, resume, start, tiny_settings

from user_itr.errors import ConfigError
from user_itr.model.checkpoint import load_model
from user_itr.training.run_folder import RunFolder
from user_itr.training.trainer import Trainer

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no fork server")

EVERY_STEP = "training.checkpoint_minutes=1e-9"
FOLDER = "user_itr.training.run_folder"
KILLS = {
    "while the folder is made": (f"{FOLDER}.RunFolder._write_index", 1),
    "in a step": ("user_itr.training.step.TrainingStep.after_backward", 3),
    "weights written, configuration not": ("user_itr.model.checkpoint.hash_files", 2),
    "checkpoint written, not renamed": (f"{FOLDER}.sync_files", 3),
    "checkpoint renamed, not named": (f"{FOLDER}.RunFolder._write_index", 4),
    "checkpoint named, the one before not removed": (f"{FOLDER}.RunFolder._prune", 3),
    "while an epoch is evaluated": ("user_itr.training.trainer.evaluate_split", 1),
}


def best(run: Path) -> tuple[dict[str, object], bytes]:
    """Settings, metrics and weights of the best checkpoint; `seconds` are those of the clock."""
    folder = RunFolder(run)
    folder.open()
    checkpoint = folder.checkpoints / str(folder.index.best)
    config = json.loads((checkpoint / "config.json").read_text("utf-8"))
    return config, (checkpoint / "model.safetensors").read_bytes()


def files(run: Path) -> set[str]:
    names = {path.relative_to(run) for path in run.rglob("*")}
    return {str(name) for name in names if name.parts[0] != "logs"}


def test_killed_at_seven_places_it_ends_equal_to_the_bit(scan_set: Path, tmp_path: Path) -> None:
    overrides = ["training.epochs=2", "optimizer.warmup_steps=4", EVERY_STEP]
    whole = start(tiny_settings(scan_set, *overrides), tmp_path / "whole")
    whole.fit()
    out = tmp_path / "killed"
    for where, place in KILLS.items():
        process = start_run(out, scan_set, overrides, place)
        process.join(120)
        assert process.exitcode == -signal.SIGKILL, where
    process = start_run(out, scan_set, overrides)
    process.join(120)
    assert process.exitcode == 0
    assert_same(resume(out).state(), whole.state())
    assert RunFolder(out).open() == RunFolder(tmp_path / "whole").open()
    assert best(out) == best(tmp_path / "whole")
    assert files(out) == files(tmp_path / "whole")


def test_two_processes_do_not_train_one_run(scan_set: Path, tmp_path: Path) -> None:
    class Slow(Trainer):
        def _train_epoch(self) -> None:
            inside.set()
            assert go_on.wait(60)
            super()._train_epoch()

    inside, go_on = threading.Event(), threading.Event()
    settings = tiny_settings(scan_set, "training.epochs=1", "training.max_minutes=1e-9", EVERY_STEP)
    first = start(settings, tmp_path / "run")
    first.__class__ = Slow
    thread = threading.Thread(target=first.fit)
    thread.start()
    try:
        assert inside.wait(60)
        second = RunFolder(tmp_path / "run")
        second.open()
        for refused in (second.last_state, lambda: second.locked().__enter__()):
            with pytest.raises(ConfigError, match="another process is training this run; wait"):
                refused()
        with pytest.raises(ConfigError, match="holds a run"):
            RunFolder(tmp_path / "run").create(settings)
    finally:
        go_on.set()
        thread.join()
    with pytest.raises(ConfigError, match="has trained this run meanwhile"), second.locked():
        pass
    assert second.last_state() is not None
    with second.locked():
        pass
    load_model(tmp_path / "run")


def test_a_start_that_was_killed_can_be_started_again(scan_set: Path, tmp_path: Path) -> None:
    settings = tiny_settings(scan_set)
    whole = RunFolder(tmp_path / "whole")
    whole.create(settings)
    for kept in ([], ["checkpoints"], ["checkpoints", "config.yaml"], ["run.lock"]):
        out = tmp_path / f"killed-{len(kept)}-{len(str(kept))}"
        out.mkdir()
        for name in kept:
            if name == "checkpoints":
                (out / name).mkdir()
            else:
                (out / name).write_bytes((whole.path / name).read_bytes())
        (out / ".run.json.123.partial").write_text("{")
        RunFolder(out).create(settings)
        assert files(out) == files(whole.path)
        assert RunFolder(out).open() == settings
    (out / "run.json").unlink()
    (out / "checkpoints" / "epoch-001").mkdir()
    with pytest.raises(ConfigError, match="is not empty"):
        RunFolder(out).create(settings)
