"""The same training on a GPU: losses, queues and checkpoints are those of the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_runs import Recorder, assert_same, resume, start, tiny_settings, write_bert

from user_itr import load
from user_itr.training.interruption import Interrupted

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

NO_CHANCE = ("model.image.guide_dropout=0", "model.text.layer_dropout=0", "training.epochs=2")


@pytest.mark.parametrize("encoder", ["bigru", "bert"])
def test_losses_and_weights_are_those_of_the_cpu(
    scan_set: Path, tmp_path: Path, encoder: str
) -> None:
    text = ["model.text.encoder=bigru"]
    if encoder == "bert":
        bert = write_bert(tmp_path / "bert")
        text = [f"model.text.encoder={bert}", "model.text.trainable_layers=all"]
    losses = {}
    for device in ("cpu", "cuda"):
        recorder = Recorder()
        settings = tiny_settings(
            scan_set,
            *NO_CHANCE,
            *text,
            f"training.accelerator={device}",
            "optimizer.rate=1e-3",
        )
        trainer = start(settings, tmp_path / device, recorder)
        trainer.fit()
        assert trainer.fabric.device.type == device
        losses[device] = torch.tensor(recorder.losses)
    torch.testing.assert_close(losses["cuda"], losses["cpu"], rtol=1e-3, atol=1e-4)
    captions = ["a dog and a ball", "some old tree and the boat"]
    left, right = (load(tmp_path / device).encode_text(captions) for device in ("cpu", "cuda"))
    assert (left * right).sum(axis=1).min() > 0.999


def test_a_run_that_was_stopped_on_a_gpu_goes_on_there(scan_set: Path, tmp_path: Path) -> None:
    settings = tiny_settings(scan_set, "training.accelerator=cuda", "training.epochs=2")
    whole = start(settings, tmp_path / "whole")
    whole.fit()
    stopped = start(settings, tmp_path / "stopped", Recorder(press_after=4))
    with pytest.raises(Interrupted):
        stopped.fit()
    again = resume(tmp_path / "stopped")
    assert_same(again.state(), stopped.state())
    again.fit()
    torch.testing.assert_close(
        torch.tensor([one["rsum"] for one in again.place.history]),
        torch.tensor([one["rsum"] for one in whole.place.history]),
        rtol=0.05,
        atol=5,
    )
