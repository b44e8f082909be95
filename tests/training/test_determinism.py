"""The same seed gives the same bits, in any process of the same machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from killable_runs import start_run
from test_killed_runs import best
from tiny_runs import assert_same, resume, start, tiny_settings, write_bert

from user_itr.training.trainer import Trainer

KINDS = {
    "BiGRU": ["training.captions_per_image=2", "model.image.region_dropout=0.5"],
    "transformer": ["model.text.encoder={bert}", "model.text.trainable_layers=1"],
}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fork server")
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_the_same_bits(scan_set: Path, tmp_path: Path, kind: str) -> None:
    """Two interpreters: what hangs on the hash of a string or on an address would differ."""
    bert = write_bert(tmp_path / "bert")
    overrides = ["training.epochs=2", *(word.format(bert=bert) for word in KINDS[kind])]
    other = start_run(tmp_path / "other", scan_set, overrides)
    trainer = start(tiny_settings(scan_set, *overrides), tmp_path / "here")
    trainer.fit()
    other.join(120)
    assert other.exitcode == 0
    assert_same(resume(tmp_path / "other").state(), trainer.state())
    assert best(tmp_path / "other") == best(tmp_path / "here")


def test_another_seed_gives_other_bits(scan_set: Path, tmp_path: Path) -> None:
    def train(seed: int) -> Trainer:
        overrides = ["training.epochs=1", f"training.seed={seed}"]
        trainer = start(tiny_settings(scan_set, *overrides), tmp_path / f"seed-{seed}")
        trainer.fit()
        return trainer

    with pytest.raises(AssertionError):
        assert_same(train(0).state()["step"], train(1).state()["step"])
