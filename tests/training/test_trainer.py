from __future__ import annotations

import csv
import math
import platform
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_runs import (
    CAPTIONS,
    Recorder,
    assert_same,
    resume,
    silent,
    start,
    tiny_settings,
    write_bert,
    write_scan_set,
)
from torch import Tensor

from user_itr import load
from user_itr.errors import ConfigError
from user_itr.evaluation.metrics import evaluate_embeddings
from user_itr.training.evaluation import evaluate_split
from user_itr.training.fabric import default_loggers, fast_precision
from user_itr.training.interruption import Interrupted
from user_itr.training.preparation import prepare
from user_itr.training.run_folder import RunFolder
from user_itr.training.trainer import Trainer


def test_it_learns_to_match_images_it_never_saw(tmp_path: Path) -> None:
    data = write_scan_set(tmp_path / "set", train=96, dev=30)
    recorder = Recorder()
    trainer = start(
        tiny_settings(data, "training.captions_per_image=3", "training.epochs=8"),
        tmp_path / "run",
        recorder,
    )
    metrics = trainer.fit()
    assert metrics is not None
    text_to_image = [k / 30 for k in (1, 5, 10)]
    image_to_text = [1 - (1 - k / (30 * CAPTIONS)) ** CAPTIONS for k in (1, 5, 10)]
    assert metrics.rsum > 3 * 100 * sum(text_to_image + image_to_text)
    assert np.mean(recorder.losses[-12:]) < np.mean(recorder.losses[:12]) - 0.3

    best = max(recorder.metrics, key=lambda one: one.rsum)
    assert trainer.folder.index.best_rsum == best.rsum
    model = load(tmp_path / "run")
    assert model.model.metrics["rsum"] == best.rsum
    dev = trainer.prepared.dev
    again = evaluate_embeddings(
        model.encode_regions(dev.regions, dev.rows),
        model.encode_text(dev.images.captions),
        dev.images.caption_image,
    )
    assert again == best


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("32-true", torch.float32),
        ("bf16-mixed", torch.bfloat16),
        ("16-mixed", torch.float16),
    ],
)
def test_precisions(scan_set: Path, tmp_path: Path, precision: str, dtype: torch.dtype) -> None:
    recorder = Recorder()
    settings = tiny_settings(scan_set, f"training.precision={precision}")
    trainer = start(settings, tmp_path / "run", recorder)
    seen: set[torch.dtype] = set()
    for part in (trainer.step.model.text.linear, trainer.step.model.image.projection.linear):
        part.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    trainer.fit()
    assert seen == {dtype}
    assert all(math.isfinite(loss) for loss in recorder.losses)
    assert np.mean(recorder.losses[-9:]) < np.mean(recorder.losses[:9]) - 0.2
    tensors = trainer.step.state_dict().values()
    assert all(t.isfinite().all() for t in tensors if t.is_floating_point())
    assert {p.dtype for p in trainer.step.parameters()} == {torch.float32}
    scale = trainer.state()["precision"].get("scale")
    assert (scale is not None and scale >= 1) == (precision == "16-mixed")


def test_automatic_precision_is_one_that_the_processor_computes(
    scan_set: Path, tmp_path: Path
) -> None:
    settings = tiny_settings(
        scan_set, "training.precision=auto", "training.accelerator=cpu", "training.epochs=1"
    )
    trainer = start(settings, tmp_path / "run")
    flags = Path("/proc/cpuinfo")
    if platform.machine() == "x86_64" and flags.is_file():
        words = flags.read_text().split()
        assert trainer.fabric.strategy.precision.precision == (
            "bf16-mixed" if "avx512bw" in words else "32-true"
        )
    trainer.fit()
    assert resume(tmp_path / "run").settings.training.precision == "auto"
    assert fast_precision("mps") == "32-true"


def test_evaluation_is_that_of_the_embeddings(scan_set: Path, tmp_path: Path) -> None:
    trainer = start(tiny_settings(scan_set, "features.width=8"), tmp_path / "run")
    trainer.step.train()
    random = torch.get_rng_state()
    dev = trainer.prepared.dev
    metrics = evaluate_split(
        trainer.step.model, dev, trainer.fabric.device, trainer.fabric.autocast
    )
    assert torch.equal(torch.get_rng_state(), random)
    assert trainer.step.model.training
    trainer.folder.save("a", trainer.prepared.model, {}, 1.0)
    model = load(trainer.folder.path)
    raw = np.load(scan_set / "dev_ims.npy")
    by_hand = evaluate_embeddings(
        model.encode_regions(raw), model.encode_text(dev.images.captions), dev.images.caption_image
    )
    assert metrics == by_hand


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_a_plain_loop_gives_the_same_weights(
    scan_set: Path, tmp_path: Path, accumulate: int
) -> None:
    """An epoch of nine batches, written out: accumulation, clipping, rates, momentum, queues."""
    settings = tiny_settings(
        scan_set,
        "training.epochs=2",
        f"training.accumulate={accumulate}",
        "optimizer.schedule=cosine",
        "optimizer.warmup_steps=3",
        "optimizer.clip_norm=0.1",
        "model.image.guide_dropout=0",
    )
    recorder = Recorder(9)
    trainer = start(settings, tmp_path / "run", recorder)
    plain = Trainer(settings, prepare(settings, silent), RunFolder(tmp_path), Recorder())
    with pytest.raises(Interrupted):
        trainer.fit()

    step = plain.step.train()
    weights = [p for p in step.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=0.01, weight_decay=1e-4, fused=True)
    batches = list(plain.prepared.batches.epoch(0))
    groups = [batches[i : i + accumulate] for i in range(0, 9, accumulate)]
    losses = []
    for number, group in enumerate(groups):
        rate = 0.01 * min(1, (number + 1) / 3)
        rate *= (1 + math.cos(math.pi * number / (2 * len(groups)))) / 2
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        for batch in group:
            values, keys = step(batch)
            losses.append(float(values["loss"].detach()))
            (values["loss"] / len(group)).backward()
            step.after_backward(keys)
        norm = torch.nn.utils.clip_grad_norm_(weights, 0.1)
        assert norm > 0.1
        optimizer.step()
        step.after_update()
    assert recorder.losses == pytest.approx(losses, abs=1e-5)
    assert trainer.place.optimizer_steps == len(groups)
    trained = trainer.step.state_dict()
    for name, tensor in step.state_dict().items():
        torch.testing.assert_close(trained[name], tensor, atol=1e-5, rtol=1e-4, msg=name)


def changed(trainer: Trainer) -> set[str]:
    """Names of the parameters that training changed."""
    before = {n: p.detach().clone() for n, p in trainer.step.model.named_parameters()}
    trainer.fit()
    return {n for n, p in trainer.step.model.named_parameters() if not torch.equal(p, before[n])}


def test_a_transformer_trains_as_far_as_asked(scan_set: Path, tmp_path: Path) -> None:
    bert = write_bert(tmp_path / "bert")
    for layers, cache, trained in (
        (0, True, ()),
        (1, True, ("text.tokens.layers.0.",)),
        (1, False, ("text.tokens.layers.0.",)),
        (2, True, ("text.tokens.layers.",)),
        ("all", True, ("text.tokens.",)),
    ):
        settings = tiny_settings(
            scan_set,
            f"model.text.encoder={bert}",
            f"model.text.trainable_layers={layers}",
            f"model.text.cache={cache}",
            "training.epochs=1",
            "optimizer.text_rate=1e-3",
        )
        trainer = start(settings, tmp_path / f"run-{layers}-{cache}")
        assert (trainer.prepared.train.states is not None) == (cache and layers != "all")
        rates = [group["lr"] for group in trainer.optimizer.param_groups]
        assert rates == ([0.01, 1e-3] if trained else [0.01])
        inside = [p for n, p in trainer.step.model.named_parameters() if n.startswith(trained)]
        if trained:
            group = trainer.optimizer.param_groups[1]["params"]
            assert {id(p) for p in group} == {id(p) for p in inside}
        wanted = {
            name
            for name, _ in trainer.step.model.named_parameters()
            if not name.startswith("text.tokens.") or (trained and name.startswith(trained))
        }
        assert changed(trainer) == wanted, layers


def test_cached_and_computed_states_give_the_same_loss(scan_set: Path, tmp_path: Path) -> None:
    bert = write_bert(tmp_path / "bert")
    losses = []
    for cache in (True, False):
        recorder = Recorder()
        settings = tiny_settings(
            scan_set,
            f"model.text.encoder={bert}",
            f"model.text.cache={cache}",
            "model.text.mask_probability=0",
            "training.epochs=1",
        )
        start(settings, tmp_path / f"run-{cache}", recorder).fit()
        losses.append(recorder.losses)
    assert losses[0] == pytest.approx(losses[1], abs=5e-3)  # the cache holds float16


def test_patience_ends_a_run_that_gets_no_better(scan_set: Path, tmp_path: Path) -> None:
    settings = tiny_settings(scan_set, "training.epochs=30", "training.patience=1")
    trainer = start(settings, tmp_path / "run")
    trainer.fit()
    rsums = [entry["rsum"] for entry in trainer.place.history]
    best = int(np.argmax(rsums))
    assert len(rsums) == best + 2 < 30
    assert trainer.place.epoch == len(rsums)
    assert resume(tmp_path / "run").fit() is None


def test_a_time_limit_ends_in_an_evaluated_checkpoint(scan_set: Path, tmp_path: Path) -> None:
    settings = tiny_settings(scan_set, "training.max_minutes=1e-9", "training.accumulate=2")
    recorder = Recorder()
    trainer = start(settings, tmp_path / "run", recorder)
    assert trainer.fit() is not None
    assert len(recorder.losses) == 2
    assert len(recorder.metrics) == 1
    assert trainer.folder.index.last == trainer.folder.index.best == "epoch-001-batch-000000"
    again = resume(tmp_path / "run")
    assert again.fit() is None
    assert_same(again.state(), trainer.state())


def test_logs(scan_set: Path, tmp_path: Path) -> None:
    settings = tiny_settings(scan_set, "training.epochs=2")
    folder = RunFolder(tmp_path / "run")
    folder.create(settings)
    recorder = Recorder(13)
    loggers = default_loggers(folder.path)
    trainer = Trainer(settings, prepare(settings, silent), folder, recorder, loggers)
    with pytest.raises(Interrupted):
        trainer.fit()
    rsum = recorder.metrics[0].rsum

    with (folder.path / "logs/csv/version_0/metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    losses = {int(row["step"]): float(row["train/loss"]) for row in rows if row["train/loss"]}
    assert losses == dict(enumerate(recorder.losses, start=1))
    assert [float(row["dev/rsum"]) for row in rows if row["dev/rsum"]] == [rsum]
    assert {"train/batch", "train/queue", "train/rate"} <= set(rows[0])

    events = EventAccumulator(str(folder.path / "logs/tensorboard/version_0")).Reload()
    scalars = events.Scalars("train/loss")
    assert [scalar.step for scalar in scalars] == list(range(1, 14))
    assert [scalar.value for scalar in scalars] == pytest.approx(recorder.losses)
    assert [scalar.value for scalar in events.Scalars("dev/rsum")] == pytest.approx([rsum])


def test_divergence_is_told_and_does_not_reach_a_checkpoint(scan_set: Path, tmp_path: Path) -> None:
    settings = tiny_settings(scan_set, "optimizer.rate=1e35", "training.checkpoint_minutes=1e-9")
    trainer = start(settings, tmp_path / "run")
    with pytest.raises(
        ConfigError, match=r"is nan in epoch 1, batch \d: .* optimizer.rate below 1e\+35"
    ):
        trainer.fit()
    saved = resume(tmp_path / "run")
    assert saved.place.batch == trainer.place.batch > 0
    tensors: list[Tensor] = list(saved.step.state_dict().values())
    assert all(tensor.isfinite().all() for tensor in tensors)


def test_an_accelerator_that_is_not_there(scan_set: Path, tmp_path: Path) -> None:
    for precision in ("32-true", "16-mixed"):
        settings = tiny_settings(
            scan_set, "training.accelerator=abacus", f"training.precision={precision}"
        )
        with pytest.raises(ConfigError, match=r"training\.accelerator = 'abacus': .*invalid"):
            start(settings, tmp_path / precision)


def test_a_run_that_stands_still_is_told(scan_set: Path, tmp_path: Path) -> None:
    """All images at one point and all captions opposite: UTO has no gradient at all."""
    trainer = start(tiny_settings(scan_set, "optimizer.weight_decay=0"), tmp_path / "run")
    model = trainer.step.model
    for encoder in (model, trainer.step.contrast.encoder):
        with torch.no_grad():
            for linear, value in (
                (encoder.image.projection.linear, 1.0),
                (encoder.image.projection.output, 0.0),
                (encoder.text.linear, -1.0),
            ):
                linear.weight.zero_()
                linear.bias.fill_(value)
    with pytest.raises(ConfigError, match=r"exactly 0 for 20 steps.*another training\.seed"):
        trainer.fit()
    assert trainer.place.optimizer_steps == 19
    assert (tmp_path / "run" / "run.json").is_file()
