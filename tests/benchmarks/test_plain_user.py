"""The plain method of benchmarks/plain_user.py computes what the package does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from plain_user import GPO, PairBatch, PlainImageEncoder, PlainTraining
from user_itr.config.loading import load_settings
from user_itr.model.enhancement import GlobalGuide, SelfGuide
from user_itr.model.image_encoder import ImageEncoder
from user_itr.model.pooling import GeneralizedPooling
from user_itr.model.projection import RegionProjection
from user_itr.objective.building import build_objective
from user_itr.objective.contrastive import Keys, Pairs
from user_itr.objective.queue import EmbeddingQueue

WIDTH = 6
COUNTS = [2, 1, 5, 3]


def encoders() -> tuple[PlainImageEncoder, ImageEncoder]:
    torch.manual_seed(0)
    ours = ImageEncoder(
        RegionProjection(5, WIDTH),
        GeneralizedPooling(),
        SelfGuide(5, dropout=0.0),
        GlobalGuide(3, 5, WIDTH),
    )
    plain = PlainImageEncoder(5, 3, WIDTH)
    plain.load_state_dict(ours.state_dict())
    return plain, ours


@pytest.mark.parametrize("training", [True, False])
def test_images(training: bool) -> None:
    plain, ours = (encoder.train(training) for encoder in encoders())
    regions, guides = torch.randn(7, 4, 5), torch.randn(7, 3)
    expected = ours(regions, guide=guides)
    torch.testing.assert_close(plain(regions, guides), expected, atol=1e-5, rtol=1e-5)


def test_pooling_with_padding() -> None:
    torch.manual_seed(0)
    ours = GeneralizedPooling()
    plain = GPO()
    plain.load_state_dict(ours.state_dict())
    x, mask = torch.randn(4, 6, 3), torch.arange(6) < torch.tensor([[6], [1], [4], [4]])
    torch.testing.assert_close(plain(x, mask), ours(x, mask), atol=1e-5, rtol=1e-5)


class NoEncoders(nn.Module):
    """What `PlainTraining` needs of a model whose embeddings the test makes itself."""

    def __init__(self) -> None:
        super().__init__()
        self.text = nn.ModuleDict({"bert": nn.Linear(1, 1)})
        self.image = nn.Linear(1, 1)


def unit(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, WIDTH, generator=generator), dim=-1)


def test_losses_and_queues_of_several_steps() -> None:
    """Images that come again, a queue that the batches do not divide, its oldest entries gone."""
    settings = load_settings(
        None,
        [
            f"model.embedding={WIDTH}",
            "momentum.queue_length=17",
            "objective.batch_weight=3",
            "objective.queue_weight=2",
            "optimizer.warmup_steps=2",
        ],
    )
    plain = PlainTraining(NoEncoders(), settings, steps=10)  # type: ignore[arg-type]
    objective = build_objective(settings.objective)
    queues = EmbeddingQueue(17, WIDTH), EmbeddingQueue(17, WIDTH)
    rows = torch.repeat_interleave(torch.arange(len(COUNTS)), torch.tensor(COUNTS))
    first = torch.tensor([0, 2, 3, 8])
    for step in range(4):
        owner = torch.tensor([step, step + 1, 20 + step, 30 + step])
        images = unit(len(COUNTS), 100 + step).requires_grad_()
        captions = unit(len(rows), 200 + step).requires_grad_()
        image_keys, text_keys = unit(len(COUNTS), 300 + step), unit(len(rows), 400 + step)
        contents = queues[0].contents(), queues[1].contents()
        losses = objective(
            Pairs(images, captions, rows, owner), Keys(image_keys, text_keys, *contents)
        )
        gradients = torch.autograd.grad(losses["loss"], (images, captions))

        nothing = torch.empty(0)
        batch = PairBatch(nothing, nothing, nothing, nothing, owner[rows], first)
        keys = image_keys[rows], text_keys
        loss = plain.loss(batch, (images[rows], captions), keys)
        torch.testing.assert_close(loss, losses["loss"], atol=1e-5, rtol=1e-5)
        for ours, theirs in zip(
            gradients, torch.autograd.grad(loss, (images, captions)), strict=True
        ):
            torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-4)
        plain.enqueue(batch, keys)
        queues[0].enqueue(image_keys, owner)
        queues[1].enqueue(text_keys, owner[rows])
    assert len(plain.text_queue) == 17
