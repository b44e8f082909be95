"""The published policy against a plain restatement of it, and that a run keeps all of it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from published_user import ImageSide, PublishedUser, TextSide
from tiny_runs import (
    REGIONS,
    WIDTH,
    Recorder,
    assert_same,
    resume,
    silent,
    start,
    write_bert,
    write_scan_set,
)
from torch import Tensor, nn
from transformers import BertModel

from user_itr.config.loading import load_settings
from user_itr.config.settings import Settings
from user_itr.training.interruption import Interrupted
from user_itr.training.preparation import prepare
from user_itr.training.trainer import Trainer

STEPS, BATCH, QUEUE, EMBEDDING = 12, 8, 40, 24
RATE, MOMENTUM = 5e-3, 0.9
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 images with three captions: nine batches of eight pairs, and three pairs too many."""
    return write_scan_set(tmp_path_factory.mktemp("scan") / "things", train=25)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("bert") / "bert")


def preset(data: Path, bert: Path, *overrides: str) -> Settings:
    """Preset flickr30k, in nothing but sizes and rates another."""
    return load_settings(
        "flickr30k",
        [
            f"model.embedding={EMBEDDING}",
            f"model.text.encoder={bert}",
            f"model.image.guide_norm_regions={REGIONS}",
            f"momentum.queue_length={QUEUE}",
            f"momentum.momentum={MOMENTUM}",
            f"optimizer.rate={RATE}",
            f"optimizer.text_rate={RATE / 10}",
            "optimizer.decay_epochs=[1]",
            f"training.batch_size={BATCH}",
            "training.epochs=2",
            "training.accelerator=cpu",
            *overrides,
        ],
        data={"path": str(data)},
    )


class Losses(Recorder):
    """Keeps every loss and its parts."""

    def __init__(self, press_after: int | None = None) -> None:
        super().__init__(press_after)
        self.parts: list[dict[str, float]] = []

    def step(self, epoch: int, batch: int, batches: int, values: dict[str, float]) -> None:
        self.parts.append(values)
        super().step(epoch, batch, batches, values)


def restatement(trainer: Trainer, bert: Path) -> PublishedUser:
    """It begins with the trainer's weights and queues."""
    model, contrast = trainer.step.model, trainer.step.contrast
    image = ImageSide(WIDTH, REGIONS, EMBEDDING)
    network = BertModel.from_pretrained(bert, attn_implementation="eager", add_pooling_layer=False)
    text = TextSide(network, EMBEDDING)
    image.load_state_dict(model.image.state_dict())
    text.load_state_dict(model.text.state_dict())
    return PublishedUser(
        image,
        text,
        contrast.image_queue.embeddings,
        contrast.caption_queue.embeddings,
        RATE,
        MOMENTUM,
        trainer.settings.objective.batch_weight,
    )


def in_order(vectors: Tensor) -> Tensor:
    return vectors[vectors[:, 0].argsort()]


def train_twelve_steps(settings: Settings, out: Path) -> tuple[Trainer, list[dict[str, float]]]:
    reporter = Losses(press_after=STEPS)
    trainer = start(settings, out, reporter)
    with pytest.raises(Interrupted):
        trainer.fit()
    return trainer, reporter.parts


def test_twelve_steps_follow_a_plain_restatement(data: Path, bert: Path, tmp_path: Path) -> None:
    settings = preset(data, bert)
    trainer = start(settings, tmp_path / "run", reporter := Losses(press_after=STEPS))
    plain = restatement(trainer, bert)
    drawn = torch.get_rng_state()
    with pytest.raises(Interrupted):
        trainer.fit()

    batches = prepare(settings, silent).batches
    assert batches.batches_per_epoch == 9
    torch.set_rng_state(drawn)
    losses = []
    for epoch in range(2):
        for batch in batches.epoch(epoch):
            if len(losses) == STEPS:
                break
            [ids], [mask] = batch.tokens, batch.masks
            losses.append(plain.step(batch.regions, ids, mask, batch.caption_image))
        plain.drop_rate()
    assert len(reporter.parts) == len(losses) == STEPS
    for ours, theirs in zip(reporter.parts, losses, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    assert len({round(values["loss"], 3) for values in losses}) > STEPS // 2

    contrast = trainer.step.contrast
    assert int(contrast.image_queue.pointer) == plain.pointer == STEPS * BATCH % QUEUE
    for queue, expected in (
        (contrast.image_queue, plain.image_queue),
        (contrast.caption_queue, plain.text_queue),  # our captions go by length in a batch
    ):
        torch.testing.assert_close(in_order(queue.embeddings), in_order(expected), **CLOSE)
    statistics = dict(contrast.encoder.image.named_buffers())
    for name, expected in plain.image_key.named_buffers():
        if not name.endswith("running_mean"):  # of a bias whose gradient is rounding alone
            torch.testing.assert_close(statistics[name], expected, **CLOSE)


@pytest.mark.parametrize(
    "other",
    [
        "momentum.policy=ours",
        "momentum.queue_begins=empty",
        "model.image.guide_init=pytorch",
        "model.image.guide_norm_regions=null",
        "objective.mask_siblings=true",
        "training.order=rounds",
    ],
)
def test_each_part_of_the_policy_changes_the_losses(
    data: Path, bert: Path, tmp_path: Path, other: str
) -> None:
    _, published = train_twelve_steps(preset(data, bert), tmp_path / "published")
    _, changed = train_twelve_steps(preset(data, bert, other), tmp_path / "changed")
    differences = [abs(a["loss"] - b["loss"]) for a, b in zip(published, changed, strict=True)]
    assert max(differences) > 1e-3


def test_queues_begin_full_of_a_narrow_cone(data: Path, bert: Path, tmp_path: Path) -> None:
    contrast = start(preset(data, bert), tmp_path / "run").step.contrast
    for queue in (contrast.image_queue, contrast.caption_queue):
        vectors, owners = queue.contents()
        assert vectors.shape == (QUEUE, EMBEDDING)
        assert torch.all(vectors > 0)
        assert torch.all(owners == -1)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(QUEUE))
        cosines = (vectors @ vectors.T)[~torch.eye(QUEUE, dtype=torch.bool)]
        assert cosines.mean() == pytest.approx(0.75, abs=0.03)
    assert not torch.equal(contrast.image_queue.embeddings, contrast.caption_queue.embeddings)


def test_only_image_keys_are_computed_as_in_training(
    data: Path, bert: Path, tmp_path: Path
) -> None:
    trainer = start(preset(data, bert), tmp_path / "run")
    trainer.step.train()
    encoder = trainer.step.contrast.encoder
    batch = next(trainer.prepared.batches.epoch(0))
    before = copy.deepcopy(dict(encoder.named_buffers()))
    with torch.no_grad():
        images = [encoder.image(batch.regions) for _ in range(2)]
        captions = [encoder.text.encode_groups(batch.tokens, batch.masks) for _ in range(2)]
    assert not torch.equal(*images)
    assert torch.equal(*captions)
    moved = {
        name for name, value in encoder.named_buffers() if not torch.equal(value, before[name])
    }
    norms = {
        f"image.{name}.{kind}"
        for name, module in encoder.image.named_modules()
        if isinstance(module, nn.BatchNorm1d)
        for kind in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert len(norms) == 9
    assert moved == norms

    own = copy.deepcopy(dict(encoder.named_buffers()))
    trainer.step.contrast.update(trainer.step.model)
    assert all(torch.equal(value, own[name]) for name, value in encoder.named_buffers())
    trainer.step.eval()
    assert not any(module.training for module in encoder.modules())


@pytest.mark.parametrize("evaluate", ["false", "true"])
def test_a_stopped_run_goes_on_to_the_bit(
    data: Path, bert: Path, tmp_path: Path, evaluate: str
) -> None:
    settings = preset(data, bert, f"momentum.evaluate={evaluate}")
    whole = start(settings, tmp_path / "whole", reporter := Recorder())
    whole.fit()
    parts = start(settings, tmp_path / "parts", first := Recorder(press_after=4))
    with pytest.raises(Interrupted):
        parts.fit()
    resumed = resume(tmp_path / "parts", second := Recorder(press_after=5))
    with pytest.raises(Interrupted):
        resumed.fit()
    last = resume(tmp_path / "parts", third := Recorder())
    last.fit()
    assert first.losses + second.losses + third.losses == reporter.losses
    assert_same(last.state(), whole.state())
