"""The presets `flickr30k` and `coco` from end to end, on made-up files of the real shapes.

Two steps of a text encoder of 109 million parameters: most of a minute, 9 GB of memory (mapped
files included), 3 GB of disk at a time, all of it given back.
"""

from __future__ import annotations

import gc
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import safe_open
from tiny_runs import assert_same, resume

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
sys.path.append(str(Path(__file__).parents[1] / "cli"))
from shell import Command

from synthetic_scan import CAPTIONS, write_bert_base, write_scan_folder
from user_itr.config.loading import load_settings
from user_itr.training.run_folder import RunFolder
from user_itr.training.state import read_state

BATCH = 4


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(capfd)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A text encoder of bert-base-uncased's size."""
    folder = write_bert_base(tmp_path_factory.mktemp("text") / "bert-base")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder that is gone after the test, with the model's memory: pytest would keep three."""
    yield tmp_path
    gc.collect()
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize(
    ("preset", "splits", "copies", "tested"),
    [
        ("flickr30k", {"train": 6, "dev": 4, "test": 10}, {"dev": 5, "test": 5}, "test"),
        ("coco", {"train": 6, "dev": 4, "testall": 10, "test": 2}, {}, "testall"),
    ],
)
def test_one_step_one_checkpoint_one_evaluation_in_folds(
    command: Command,
    bert: Path,
    place: Path,
    preset: str,
    splits: dict[str, int],
    copies: dict[str, int],
    tested: str,
) -> None:
    data = write_scan_folder(place / preset, splits, copies)
    checked = command("data", "check", data)
    assert checked.code == 0, checked.out
    assert "no problems" in checked.out

    run = place / "run"
    # The time is up after one step. Until some pair has a cosine above 0, UTO has no gradient:
    # from this seed all have.
    changed = {
        "training.batch_size": BATCH,
        "training.max_minutes": 1e-6,
        "training.seed": 12,
    }
    done = command(
        *("train", "--preset", preset, "--data", data, "--out", run),
        *("--set", f"model.text.encoder={bert}"),
        *(word for key, value in changed.items() for word in ("--set", f"{key}={value}")),
    )
    assert done.code == 0, done.err
    folder = RunFolder(run)
    settings = folder.open()
    assert settings == load_settings(
        preset,
        [f"{key}={value}" for key, value in changed.items()],
        data={"path": str(data)},
        model={"text.encoder": str(bert)},
    )

    last = folder.checkpoints / "epoch-001-batch-000000"
    assert folder.index.last == folder.index.best == last.name
    resumed = resume(run)
    assert_same(resumed.state(), read_state(last))
    assert resumed.place.optimizer_steps == resumed.scheduler.last_epoch == 1

    # Every weight of BERT took part, and none moved by more than its rate.
    model, contrast = resumed.step.model, resumed.step.contrast
    base = model.text.tokens.base
    assert sum(p.numel() for p in base.parameters()) > 108e6
    rate = settings.optimizer.text_rate
    with safe_open(bert / "model.safetensors", "pt") as start:
        names = start.keys()
        layers = [name for name in names if ".layer." in name and name.endswith("weight")]
        assert len(layers) == 12 * 8
        for name in layers:
            before = start.get_tensor(name)
            moved = (base.get_parameter(name) - before).abs().max()
            assert 0 < moved <= 1.01 * rate + settings.optimizer.weight_decay * rate

    # Momentum encoders and queues as published: full from the start, of no image's vectors.
    for queue in (contrast.image_queue, contrast.caption_queue):
        assert queue.embeddings.shape == (settings.momentum.queue_length, 1024)
        assert int(queue.filled) == settings.momentum.queue_length
        assert int(queue.pointer) == int((queue.owners >= 0).sum()) == BATCH
    moved = (model.text.linear.weight - contrast.encoder.text.linear.weight).abs().max()
    assert 0 < moved <= 1.01 * settings.optimizer.rate
    del resumed, model, contrast, base

    result = place / "result.json"
    evaluated = command("evaluate", run, "--split", tested, "--folds", "5", "--json", result)
    assert evaluated.code == 0, evaluated.err
    assert "mean of 5 folds" in evaluated.out
    document = json.loads(result.read_text())
    images = splits[tested]
    assert (document["images"], document["captions"]) == (images, CAPTIONS * images)
    folds = document["folded"]["folds"]
    assert [fold["t2i"]["candidates"] for fold in folds] == [images // 5] * 5
    assert [fold["i2t"]["candidates"] for fold in folds] == [CAPTIONS * images // 5] * 5
    recalls = [fold["i2t"]["R@1"] for fold in folds]
    assert document["folded"]["mean"]["i2t"]["R@1"] == pytest.approx(sum(recalls) / 5)
