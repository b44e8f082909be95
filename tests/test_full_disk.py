"""A disk that is really full, under everything that writes: a sentence, and nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

sys.path.extend(str(Path(__file__).parent / name) for name in ("features", "search", "training"))
from colour_encoder import ColourEncoder
from damage import faults
from feature_helpers import QuadrantMeans, contents
from inspect_index import stored
from killable_index import fresh, make_photos
from tiny_runs import (
    Recorder,
    assert_same,
    resume,
    silent,
    start,
    tiny_settings,
    write_bert,
    write_scan_set,
)

from user_itr.errors import CheckpointError, FeatureError, IndexStoreError
from user_itr.features.extraction import extract_features
from user_itr.model.checkpoint import load_model
from user_itr.search.index import ImageIndex
from user_itr.search.update import encoding as update_module
from user_itr.training.fabric import default_loggers
from user_itr.training.preparation import prepare
from user_itr.training.run_folder import RunFolder
from user_itr.training.trainer import Trainer

MEGABYTES = 12


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "none", place],
        capture_output=True,
        check=False,
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small disk is not permitted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(disk: Path, left: int) -> Path:
    """Take all of a disk but so many bytes."""
    file = disk / "filler"
    with file.open("wb") as handle:
        os.posix_fallocate(handle.fileno(), 0, shutil.disk_usage(disk).free - left)
    return file


class Filling(Recorder):
    """Fills the disk when the first epoch is done."""

    def __init__(self, disk: Path, left: int) -> None:
        super().__init__()
        self.disk, self.left = disk, left

    def evaluated(self, *arguments: object) -> None:  # type: ignore[override]
        if not self.metrics:
            fill(self.disk, self.left)
        self.metrics.append(arguments[1])  # type: ignore[arg-type]


@pytest.mark.parametrize("left", [0, 20_000, 120_000])
def test_training(disk: Path, tmp_path: Path, left: int) -> None:
    """The disk has no room at all, none for the logs, or none for the whole of a checkpoint."""
    data = write_scan_set(tmp_path / "set")
    settings = tiny_settings(data, "training.epochs=2")
    folder = RunFolder(disk / "run")
    folder.create(settings)
    loggers = default_loggers(folder.path)
    trainer = Trainer(settings, prepare(settings, silent), folder, Filling(disk, left), loggers)
    with pytest.raises(CheckpointError, match=r"No space left on device.*--resume") as refused:
        trainer.fit()
    assert "Os {" not in str(refused.value)
    assert {path.name for path in folder.checkpoints.iterdir()} == {"epoch-001-batch-000000"}
    load_model(disk / "run")
    (disk / "filler").unlink()
    resumed = resume(disk / "run")
    assert (resumed.place.epoch, resumed.place.batch) == (1, 0)
    resumed.fit()
    whole = start(settings, tmp_path / "whole")
    whole.fit()
    assert_same(resumed.state(), whole.state())


def test_token_states(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are written through a map, where a full disk is a signal and not an error."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(disk))
    data = write_scan_set(tmp_path / "set")
    words = [f"model.text.encoder={write_bert(tmp_path / 'bert')}", "model.text.trainable_layers=1"]
    filler = fill(disk, 16_000)
    with pytest.raises(FeatureError, match=r"cannot be written \(No space left on device\); free"):
        start(tiny_settings(data, *words), tmp_path / "run")
    assert not list(disk.rglob("*.npy*"))
    filler.unlink()
    start(tiny_settings(data, *words), tmp_path / "again")


def test_features(disk: Path, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", range(120))
    images = [(path.name, path) for path in sorted((tmp_path / "photos").rglob("*.jpg"))]

    def run_out(done: int, total: int) -> None:
        if done == 40:
            fill(disk, 0)

    with pytest.raises(FeatureError, match=r"No space left on device\); make room and run"):
        extract_features(images, QuadrantMeans(), disk / "store", batch_size=8, progress=run_out)
    (disk / "filler").unlink()
    report = extract_features(images, QuadrantMeans(), disk / "store", batch_size=8)
    assert report.resumed == 40
    extract_features(images, QuadrantMeans(), tmp_path / "whole", batch_size=8)
    assert contents(disk / "store") == contents(tmp_path / "whole")


@pytest.mark.parametrize("left", [0, 30_000])
def test_an_index(disk: Path, tmp_path: Path, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update_module, "CHUNK_ROWS", 32)
    photos, encoder = tmp_path / "photos", ColourEncoder()
    make_photos(photos, range(64))
    index = ImageIndex.create_or_open(disk / "index", encoder, "model")
    index.update(photos, encoder)
    make_photos(photos, range(100, 400))
    before = stored(index)
    filler = fill(disk, left)
    with pytest.raises(IndexStoreError, match="cannot be written"):
        index.update(photos, encoder)
    kept = stored(ImageIndex.open(disk / "index"))
    assert len(kept) >= 64
    assert set(before) <= set(kept)
    assert faults(disk / "index" / "photos.db") == []
    assert len(index.search(np.ones(encoder.dim), 10)) == 10
    filler.unlink()
    index.update(photos, encoder)
    assert stored(index) == stored(fresh(tmp_path / "fresh", photos))
    assert faults(disk / "index" / "photos.db") == []
