"""A run that was stopped and resumed from disk ends equal, to the bit, to one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import (
    Recorder,
    assert_same,
    resume,
    start,
    tiny_settings,
    write_bert,
    write_scan_set,
)

from user_itr.cli.train import continue_run
from user_itr.config.settings import Settings
from user_itr.errors import CheckpointError, DataError, FeatureError
from user_itr.model.checkpoint import load_model
from user_itr.training.interruption import FirstInterrupt, Interrupted
from user_itr.training.run_folder import RunFolder
from user_itr.training.trainer import Trainer

MAIN = "from user_itr.cli import main; main()"
STEP_DECAY = ["optimizer.decay_epochs=[2]", "optimizer.warmup_steps=4"]
COSINE = ["optimizer.schedule=cosine", "optimizer.warmup_steps=2"]


def train_in_parts(
    settings: Settings, out: Path, presses: list[int]
) -> tuple[Trainer, list[float], list[str | None]]:
    """Train with Ctrl-C after some batches of each part.

    Returns:
        The last part's trainer, the losses of all parts, and the checkpoints resumed from.
    """
    recorder = Recorder(presses[0])
    trainer = start(settings, out, recorder)
    losses: list[float] = []
    names = []
    for press in [*presses[1:], None]:
        with pytest.raises(Interrupted, match="--resume") as stop:
            trainer.fit()
        assert stop.value.exit_code == 130
        losses += recorder.losses
        names.append(trainer.folder.index.last)
        stopped, recorder = trainer.state(), Recorder(press)
        trainer = resume(out, recorder)
        assert_same(trainer.state(), stopped)
    trainer.fit()
    return trainer, losses + recorder.losses, names


@pytest.mark.parametrize(
    ("overrides", "presses", "saved"),
    [
        pytest.param(STEP_DECAY, [9], "epoch-001-batch-000000", id="epoch boundary, step decay"),
        pytest.param(COSINE, [13], "epoch-001-batch-000004", id="middle of an epoch, cosine"),
        pytest.param(
            [*STEP_DECAY, "training.accumulate=2", "training.captions_per_image=2"],
            [3],
            "epoch-000-batch-000004",
            id="middle of an optimizer step",
        ),
        pytest.param(
            [*COSINE, "training.accumulate=2", "model.image.region_dropout=0.5"],
            [9, 6, 2],
            "epoch-001-batch-000000",
            id="last and uneven optimizer step, four parts",
        ),
        pytest.param(
            ["training.precision=16-mixed", "features.width=8", "model.text.dropout=0.2"],
            [5],
            "epoch-000-batch-000005",
            id="float16 with its scaler, compact features",
        ),
        pytest.param(
            ["training.precision=bf16-mixed", "momentum.queue_length=5"],
            [20],
            "epoch-002-batch-000002",
            id="bfloat16, queue shorter than the batch",
        ),
    ],
)
def test_interrupted_equals_uninterrupted(
    scan_set: Path, tmp_path: Path, overrides: list[str], presses: list[int], saved: str
) -> None:
    settings = tiny_settings(scan_set, *overrides)
    recorder = Recorder()
    whole = start(settings, tmp_path / "whole", recorder)
    whole.fit()

    parts, losses, names = train_in_parts(settings, tmp_path / "parts", presses)
    assert names[0] == saved
    assert losses == recorder.losses
    assert_same(parts.state(), whole.state())
    assert [entry["epoch"] for entry in parts.place.history] == [1, 2, 3]
    assert parts.folder.index == whole.folder.index
    # What is compared is all there is: queues that went round, momentum encoders, statistics.
    names = set(whole.state()["step"])
    assert {"contrast.image_queue.pointer", "contrast.caption_queue.owners"} <= names
    assert {"contrast.updates", "contrast.encoder.image.projection.norm.running_var"} <= names
    assert {f"model.{name}" for name, _ in whole.step.model.named_parameters()} <= names
    assert int(whole.step.contrast.image_queue.filled) == settings.momentum.queue_length


def test_upper_layers_of_a_transformer_on_cached_states(scan_set: Path, tmp_path: Path) -> None:
    bert = write_bert(tmp_path / "bert")
    settings = tiny_settings(
        scan_set,
        f"model.text.encoder={bert}",
        "model.text.trainable_layers=1",
        "training.epochs=2",
    )
    whole = start(settings, tmp_path / "whole")
    whole.fit()
    # The pretrained folder may be gone: the checkpoint holds the frozen weights as well.
    first = start(settings, tmp_path / "parts", Recorder(12))
    with pytest.raises(Interrupted):
        first.fit()
    bert.rename(tmp_path / "elsewhere")
    parts = resume(tmp_path / "parts")
    parts.fit()
    assert_same(parts.state(), whole.state())
    assert not any(".tokens.base." in name for name in whole.state()["step"])


def test_every_generator_is_put_back(scan_set: Path, tmp_path: Path) -> None:
    recorder = Recorder(4)
    trainer = start(tiny_settings(scan_set), tmp_path / "run", recorder)
    with pytest.raises(Interrupted):
        trainer.fit()
    wanted = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    resume(tmp_path / "run")
    assert torch.equal(torch.rand(3), wanted[0])
    assert np.array_equal(np.random.rand(3), wanted[1])  # noqa: NPY002
    checkpoint = tmp_path / "run" / "checkpoints" / "epoch-000-batch-000004"
    assert load_model(checkpoint).metrics == {}  # evaluated were other weights


def test_a_second_ctrl_c_stops_at_once(scan_set: Path, tmp_path: Path) -> None:
    class Impatient(Recorder):
        def step(self, *arguments: object) -> None:  # type: ignore[override]
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    trainer = start(tiny_settings(scan_set), tmp_path / "run", Impatient())
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    assert trainer.folder.index.last is None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_in_the_last_epoch_ends_the_run(scan_set: Path, tmp_path: Path) -> None:
    trainer = start(tiny_settings(scan_set), tmp_path / "run", Recorder(27))
    trainer.fit()
    assert trainer.place.epoch == 3
    again = resume(tmp_path / "run")
    assert again.fit() is None
    assert_same(again.state(), trainer.state())


def test_resuming_with_other_data_or_settings_is_refused(tmp_path: Path) -> None:
    data = write_scan_set(tmp_path / "set")
    trainer = start(tiny_settings(data), tmp_path / "run", Recorder(2))
    with pytest.raises(Interrupted):
        trainer.fit()
    captions = data / "train_caps.txt"
    text = captions.read_text()
    captions.write_text(text.replace("dog", "cat"))
    with pytest.raises(DataError, match=r"not those that .* began with"):
        resume(tmp_path / "run")
    captions.write_text(text)
    dev = data / "dev_caps.txt"
    text = dev.read_text()
    dev.write_text(text.replace("dog", "cat"))
    with pytest.raises(DataError, match=r"captions of the dev split are not those that"):
        resume(tmp_path / "run")
    dev.write_text(text)
    for split in ("train", "dev"):
        narrow = np.load(data / f"{split}_ims.npy")[:, :, :8]
        np.save(data / f"{split}_ims.npy", narrow)
    with pytest.raises(FeatureError, match="began with"):
        resume(tmp_path / "run")
    write_scan_set(data)
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("queue_length: 37", "queue_length: 30"))
    with pytest.raises(CheckpointError, match=r"does not fit the settings \(.*size mismatch"):
        resume(tmp_path / "run")


@pytest.fixture
def process(scan_set: Path, tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for one in started:
        if one.poll() is None:
            one.kill()
            one.communicate()


def test_a_killed_process_is_resumed_to_the_same_end(
    scan_set: Path, tmp_path: Path, process: list[subprocess.Popen[str]]
) -> None:
    out = tmp_path / "run"
    every_step = "training.checkpoint_minutes=1e-9"
    RunFolder(out).create(tiny_settings(scan_set, "training.epochs=4", every_step))

    def run_until(checkpoint: str) -> subprocess.Popen[str]:
        """Continue the run in a process of its own until it wrote that checkpoint."""
        child = subprocess.Popen(
            [sys.executable, "-c", MAIN, "train", "--resume", out],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        process.append(child)
        deadline = time.monotonic() + 120
        folder = RunFolder(out)
        while (folder.index.last or "") < checkpoint:
            assert child.poll() is None, child.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.01)
            folder.open()
        return child

    killed = run_until("epoch-000-batch-000003")
    killed.kill()
    assert killed.wait() == -signal.SIGKILL

    stopped = run_until("epoch-001-batch-000002")
    stopped.send_signal(signal.SIGINT)
    assert stopped.wait() == 130
    printed = stopped.communicate()[1]
    assert "Traceback" not in printed
    assert f"continue with `user-itr train --resume {out}`" in " ".join(printed.split())

    continue_run(out)
    whole = start(tiny_settings(scan_set, "training.epochs=4"), tmp_path / "whole")
    whole.fit()
    assert_same(resume(out).state(), whole.state())


def test_a_run_in_the_background_goes_on_ignoring_ctrl_c() -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    called: list[bool] = []
    try:
        with FirstInterrupt(lambda: called.append(True)):
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, previous)
    assert called == []
