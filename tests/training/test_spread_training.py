"""Training on two and three real processes over gloo against training in one process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rank_runs import (
    COMMON,
    GATHERED,
    LOCAL,
    SHORT_FLOATS,
    STEPS,
    Plan,
    freeze_noise,
    result_of,
    write_plan,
)
from safetensors.torch import load_file
from tiny_runs import Recorder, resume, silent, tiny_settings, write_bert, write_scan_set
from torch import Tensor

from user_itr.errors import ConfigError
from user_itr.objective.contrastive import Keys, Pairs
from user_itr.training.batches import Batch
from user_itr.training.interruption import Interrupted
from user_itr.training.preparation import prepare
from user_itr.training.run_folder import RunFolder
from user_itr.training.step import NewKeys, TrainingStep
from user_itr.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scan_set(tmp_path_factory.mktemp("scan") / "things")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("bert") / "bert")


@pytest.fixture(scope="module")
def cases(bert: Path) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Name of a run to its number of ranks and its settings."""
    whole = {
        **GATHERED,
        "bert": (
            f"model.text.encoder={bert}",
            "model.text.trainable_layers=all",
            "model.text.layer_dropout=0",
        ),
    }
    everything = {**whole, **LOCAL, **SHORT_FLOATS}
    found = {f"{name} on 2": (2, more) for name, more in everything.items()}
    return found | {f"{name} on 3": (3, everything[name]) for name in ("uto", "local")}


MOVING = ("model.image.region_dropout=0.5", "training.checkpoint_minutes=1e-9")
BEFORE = 4
"""Batches that a run does in one process before it goes on in two."""


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    data: Path,
    cases: dict[str, tuple[int, tuple[str, ...]]],
) -> Path:
    """Where all runs on several ranks have left their results."""
    folder = tmp_path_factory.mktemp("ranks")
    plan: dict[str, Plan] = {
        name: (count, str(data), [*COMMON, *more], None) for name, (count, more) in cases.items()
    }
    begun, _ = one_process(data, folder / "moving", MOVING, BEFORE)
    with pytest.raises(Interrupted):
        begun.fit()
    plan["moving"] = (2, str(data), [], str(folder / "moving"))
    write_plan(folder, plan)
    script = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("rank_runs.py")), str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert script.returncode == 0, script.stderr
    return folder


def one_process(
    data: Path, out: Path, more: tuple[str, ...], press: int | None = STEPS
) -> tuple[Trainer, Recorder]:
    """A trainer in this process of what ranks train, stopped after some batches."""
    settings = tiny_settings(data, *COMMON, *more)
    folder, recorder = RunFolder(out), Recorder(press)
    folder.create(settings)
    prepared = prepare(settings, silent)
    freeze_noise(prepared)
    return Trainer(settings, prepared, folder, recorder), recorder


def assert_close(found: dict[str, Tensor], wanted: dict[str, Tensor], atol: float) -> None:
    for name, tensor in wanted.items():
        torch.testing.assert_close(
            found[name], tensor, atol=atol, rtol=0, msg=lambda text, name=name: f"{name}: {text}"
        )


GATHERED_NAMES = ["uto on 2", "uto on 3", "temperature on 2", "triplet on 2", "bert on 2"]
LOCAL_NAMES = ["local on 2", "local on 3", "local temperature on 2"]
SHORT_NAMES = ["bfloat16 on 2", "float16 on 2"]


@pytest.mark.parametrize("name", [*GATHERED_NAMES, *LOCAL_NAMES, *SHORT_NAMES])
def test_ranks_agree_to_the_bit(
    folder: Path, cases: dict[str, tuple[int, tuple[str, ...]]], name: str
) -> None:
    """Queues, parameters, statistics, losses, metrics, and where they stopped."""
    first = load_file(result_of(folder, name, 0))
    for rank in range(1, cases[name][0]):
        other = load_file(result_of(folder, name, rank))
        assert first.keys() == other.keys()
        for key, tensor in first.items():
            assert torch.equal(tensor, other[key]), (rank, key)


@pytest.mark.parametrize("name", GATHERED_NAMES)
def test_gathered_negatives_equal_one_process(
    data: Path,
    tmp_path: Path,
    folder: Path,
    cases: dict[str, tuple[int, tuple[str, ...]]],
    name: str,
) -> None:
    """Losses, parameters, momentum encoders, statistics and queues after more than ten steps.

    Shares are uneven, an epoch's last batch has fewer images than three ranks, and only the last
    rank was told to stop.
    """
    trainer, recorder = one_process(data, tmp_path / "run", cases[name][1])
    before = {n: p.detach().clone() for n, p in trainer.step.model.named_parameters()}
    with pytest.raises(Interrupted):
        trainer.fit()
    found = load_file(result_of(folder, name, 0))
    assert len(recorder.losses) >= STEPS > trainer.prepared.batches.batches_per_epoch
    assert found["losses"].tolist() == pytest.approx(recorder.losses, abs=1e-5)
    assert found["rsums"].tolist() == [one.rsum for one in recorder.metrics]
    place = trainer.place
    assert found["place"].tolist()[:4] == [
        place.epoch,
        place.batch,
        place.optimizer_steps,
        place.since_best,
    ]
    assert_close(found, trainer.step.state_dict(), atol=1e-5)
    moved = [
        n
        for n, p in trainer.step.model.named_parameters()
        if p.requires_grad and float((p - before[n]).abs().max().detach()) > 1e-4
    ]
    assert len(moved) > 20  # so it is no trivial equality
    if trainer.step.objective.uses_momentum:
        queue = trainer.step.contrast.image_queue
        assert int(queue.filled) == queue.length  # went round


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_short_floats_are_near_one_process(
    data: Path,
    tmp_path: Path,
    folder: Path,
    cases: dict[str, tuple[int, tuple[str, ...]]],
    name: str,
) -> None:
    trainer, recorder = one_process(data, tmp_path / "run", cases[name][1])
    with pytest.raises(Interrupted):
        trainer.fit()
    found = load_file(result_of(folder, name, 0))
    assert found["losses"].tolist() == pytest.approx(recorder.losses, abs=0.05)
    assert abs(recorder.losses[0] - recorder.losses[-1]) > 0.1


def of_shares(ranks: int) -> Callable[[TrainingStep, Batch], tuple[dict[str, Tensor], NewKeys]]:
    """The loss without gathered negatives, written for one process: shares one by one."""

    def forward(step: TrainingStep, batch: Batch) -> tuple[dict[str, Tensor], NewKeys]:
        images, captions = step._encode(step.model, batch)
        with torch.no_grad():
            image_keys, caption_keys = step._encode(step.contrast.encoder, batch)
        queues = step.contrast.image_queue.contents(), step.contrast.caption_queue.contents()
        total: dict[str, Tensor] = {}
        for rows in torch.arange(len(images)).tensor_split(ranks):
            if len(rows) == 0:
                continue
            own = torch.isin(batch.caption_image, rows)
            of_caption = batch.caption_image[own] - rows[0]
            pairs = Pairs(images[rows], captions[own], of_caption, batch.image_owner[rows])
            keys = Keys(image_keys[rows], caption_keys[own], *queues)
            for key, value in step.objective(pairs, keys).items():
                total[key] = total.get(key, 0) + value * len(rows) / len(images)
        owners = batch.image_owner
        return total, NewKeys(image_keys, owners, caption_keys, owners[batch.caption_image])

    return forward


@pytest.mark.parametrize("name", LOCAL_NAMES)
def test_local_negatives_equal_the_mean_of_the_shares_losses(
    data: Path,
    tmp_path: Path,
    folder: Path,
    cases: dict[str, tuple[int, tuple[str, ...]]],
    name: str,
) -> None:
    count, more = cases[name]
    trainer, recorder = one_process(data, tmp_path / "run", more)
    trainer.step.forward = types.MethodType(of_shares(count), trainer.step)
    with pytest.raises(Interrupted):
        trainer.fit()
    found = load_file(result_of(folder, name, 0))
    assert found["losses"].tolist() == pytest.approx(recorder.losses, abs=1e-5)
    assert_close(found, trainer.step.state_dict(), atol=1e-5)


def test_a_run_goes_on_with_another_number_of_ranks(
    data: Path, tmp_path: Path, folder: Path
) -> None:
    """One process, then two, then one again, against one throughout; random regions are dropped."""
    whole, recorder = one_process(data, tmp_path / "whole", MOVING, None)
    whole.fit()
    found = load_file(result_of(folder, "moving", 0))
    both = found["losses"].tolist()
    assert both == pytest.approx(recorder.losses[BEFORE : BEFORE + STEPS], abs=1e-5)
    moved = tmp_path / "moving"
    shutil.copytree(folder / "moving", moved)
    rest = Recorder()
    last = resume(moved, rest, freeze_noise)
    assert_close(found, last.step.state_dict(), atol=0)
    last.fit()
    assert rest.losses == pytest.approx(recorder.losses[BEFORE + STEPS :], abs=1e-4)
    assert_close(last.step.state_dict(), whole.step.state_dict(), atol=1e-4)
    assert [e["epoch"] for e in last.place.history] == [1, 2, 3]
    checkpoints = sorted(path.name for path in (folder / "moving" / "checkpoints").iterdir())
    assert len(checkpoints) <= 2  # rank 0 alone writes


def test_directly_in_a_process_that_is_no_rank(data: Path, tmp_path: Path) -> None:
    settings = tiny_settings(data, "training.devices=2")
    with pytest.raises(ConfigError, match=r"training.devices = 2: .*`user-itr train` or torchrun"):
        Trainer(settings, prepare(settings, silent), RunFolder(tmp_path), Recorder())
