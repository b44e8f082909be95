"""Triplet and InfoNCE against their formulas typed with loops, and what all objectives share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from objective_inputs import dot, in_float32, mean, random_inputs, unit
from torch import Tensor

from user_itr.config.settings import ObjectiveSettings
from user_itr.objective.building import build_objective
from user_itr.objective.contrastive import (
    ContrastiveObjective,
    Keys,
    Pairs,
    Sentences,
    batch_negatives,
    queue_negatives,
)
from user_itr.objective.infonce import InfoNCEObjective, cross_entropy_term
from user_itr.objective.triplet import TripletObjective, hinge_term
from user_itr.objective.uto import UnifiedObjective

Term = Callable[[float, Sequence[float]], float]


def hardest(positive: float, negatives: Sequence[float]) -> float:
    return max([0.0, *(0.2 - positive + n for n in negatives)])


def summed(positive: float, negatives: Sequence[float]) -> float:
    return sum(max(0.0, 0.2 - positive + n) for n in negatives)


def cross_entropy(positive: float, negatives: Sequence[float]) -> float:
    own = math.exp(positive / 0.1)
    return -math.log(own / (own + sum(math.exp(n / 0.1) for n in negatives)))


OBJECTIVES: dict[str, tuple[Term, Callable[[float, float], ContrastiveObjective]]] = {
    "hardest": (hardest, lambda b, q: TripletObjective(0.2, "hardest", 0, b, q)),
    "summed": (summed, lambda b, q: TripletObjective(0.2, "sum", 0, b, q)),
    "infonce": (cross_entropy, lambda b, q: InfoNCEObjective(0.1, False, b, q)),
}


def plain_losses(pairs: Pairs, keys: Keys, term: Term) -> tuple[float, float]:
    """One loop over pairs; a candidate of the query's own image is no negative."""
    rows, owners = pairs.caption_image.tolist(), pairs.image_owner.tolist()
    of = [owners[i] for i in rows]
    (image_queue, image_of), (caption_queue, caption_of) = keys.image_queue, keys.caption_queue

    def others(query: Tensor, owner: int, items: Tensor, item_of: Sequence[int]) -> list[float]:
        return [dot(query, x) for x, o in zip(items, item_of, strict=True) if o != owner]

    batch, queue = [], []
    for t, i in enumerate(rows):
        image, caption = pairs.images[i], pairs.captions[t]
        own = dot(image, caption)
        batch.append(
            term(own, others(image, owners[i], pairs.captions, of))
            + term(own, others(caption, owners[i], pairs.images, owners))
        )
        queue.append(
            term(
                dot(image, keys.captions[t]),
                others(image, owners[i], caption_queue, caption_of.tolist()),
            )
            + term(
                dot(caption, keys.images[i]),
                others(caption, owners[i], image_queue, image_of.tolist()),
            )
        )
    return mean(batch), mean(queue)


@pytest.mark.parametrize("name", OBJECTIVES)
@given(
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    distinct=st.integers(1, 5),
    queues=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    width=st.integers(1, 6),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_objective_equals_the_plain_formula(
    name: str,
    counts: list[int],
    distinct: int,
    queues: tuple[int, int],
    width: int,
    seed: int,
) -> None:
    owners = [7 + i % distinct for i in range(len(counts))]
    pairs, keys = random_inputs(counts, owners, queues, width, seed)
    term, build = OBJECTIVES[name]
    got = build(3.0, 0.5)(pairs, keys)
    batch, queue = plain_losses(pairs, keys, term)
    assert got["batch"].item() == pytest.approx(batch, abs=1e-6)
    assert got["queue"].item() == pytest.approx(queue, abs=1e-6)
    assert got["loss"].item() == pytest.approx(3 * batch + 0.5 * queue, abs=1e-5)


ALL = {**{name: build for name, (_, build) in OBJECTIVES.items()}}
ALL["uto"] = lambda b, q: UnifiedObjective(batch_weight=b, queue_weight=q)


@pytest.mark.parametrize("name", ALL)
def test_each_part_alone(name: str) -> None:
    """Without its weight a part is not computed, and keys are not asked for where none count."""
    pairs, keys = random_inputs([2, 1, 3], [0, 1, 2], (4, 5), 8, 0)
    both = ALL[name](1.0, 1.0)(pairs, keys)
    batch, queue = ALL[name](1.0, 0.0), ALL[name](0.0, 1.0)
    assert not batch.uses_momentum
    assert queue.uses_momentum
    assert batch(pairs)["loss"] == both["batch"]
    assert batch(pairs)["queue"] == 0
    assert queue(pairs, keys)["loss"] == both["queue"]
    assert queue(pairs, keys)["batch"] == 0
    with pytest.raises(ValueError, match="needs keys"):
        queue(pairs)


@pytest.mark.parametrize("name", ALL)
def test_the_queue_counts_from_its_epoch_on(name: str) -> None:
    pairs, keys = random_inputs([2, 1, 3], [0, 1, 2], (4, 5), 8, 0)
    objective = ALL[name](1.0, 1.0)
    full = objective(pairs, keys)["loss"]
    objective.queue_start = 2
    for epoch, started in ((0, False), (1, False), (2, True), (3, True)):
        objective.begin_epoch(epoch)
        got = objective(pairs, keys)
        assert (got["loss"] == full) == started
        assert (got["queue"] > 0) == started or name == "uto"


@pytest.mark.parametrize("name", ALL)
def test_siblings_count_only_where_they_are_asked_for(name: str) -> None:
    """Two rows of one image: masked they never meet, unmasked each is the other's negative."""
    pairs, keys = random_inputs([2, 1, 2, 1], [5, 5, 6, 7], (6, 6), 4, 3)
    assert 5 in keys.caption_queue[1].tolist() + keys.image_queue[1].tolist()
    apart = replace(pairs, image_owner=torch.arange(4) + 100)
    strangers = replace(
        keys,
        image_queue=(keys.image_queue[0], torch.full((6,), 50)),
        caption_queue=(keys.caption_queue[0], torch.full((6,), 50)),
    )
    masking, counting = ALL[name](1.0, 1.0), ALL[name](1.0, 1.0)
    counting.mask_siblings = False
    assert counting(pairs, keys)["loss"] == masking(apart, strangers)["loss"]
    assert counting(pairs, keys)["loss"] > masking(pairs, keys)["loss"]


def test_summed_epochs_come_before_the_hardest_negative() -> None:
    pairs, keys = random_inputs([2, 1, 3], [0, 1, 2], (4, 5), 8, 0)
    objective = TripletObjective(0.2, "hardest", 1, 1.0, 1.0)
    assert objective(pairs, keys)["loss"] == ALL["summed"](1.0, 1.0)(pairs, keys)["loss"]
    objective.begin_epoch(1)
    assert objective(pairs, keys)["loss"] == ALL["hardest"](1.0, 1.0)(pairs, keys)["loss"]


def test_hand_computed_hinge() -> None:
    scores = torch.tensor([[0.9, 0.5, 0.85, -0.4]], dtype=torch.float64)
    negatives = torch.tensor([[False, True, True, True]])
    own, query = torch.tensor([0.9, 0.6], dtype=torch.float64), torch.tensor([0, 0])
    got = hinge_term(own, query, scores, negatives)
    assert got.tolist() == pytest.approx([0.15, 0.45])
    got = hinge_term(own, query, scores, negatives, kind="sum")
    assert got.tolist() == pytest.approx([0.15, 0.1 + 0.45])


def test_a_query_without_negatives_costs_nothing_and_has_a_gradient_of_zero() -> None:
    for term in (hinge_term, cross_entropy_term):
        for width in (0, 3):
            scores = torch.rand(2, width, requires_grad=True)
            own = torch.tensor([0.3, -0.9], requires_grad=True)
            nobody = torch.zeros(2, width, dtype=torch.bool)
            got = term(own, torch.arange(2), scores, nobody)
            assert got.tolist() == [0, 0]
            got.sum().backward()
            assert own.grad is not None
            assert own.grad.tolist() == [0, 0]
            assert scores.grad is None or not scores.grad.any()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_finite_at_cosines_of_one_in_low_precision(name: str, dtype: torch.dtype) -> None:
    same = unit(1, 16, 0).expand(6, -1).to(dtype)
    images, captions = same[:3].clone().requires_grad_(), same.clone().requires_grad_()
    queue = same[:5].clone(), torch.arange(50, 55)
    pairs = Pairs(images, captions, torch.arange(6) % 3, torch.arange(3))
    got = ALL[name](1.0, 1.0)(pairs, Keys(same[:3], same, queue, queue))
    got["loss"].backward()
    assert got["loss"].dtype == torch.float32
    assert got["loss"].isfinite()
    for leaf in (images, captions):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("name", ALL)
def test_autocast_changes_nothing(name: str) -> None:
    inputs = in_float32(*random_inputs([2, 1, 3], [0, 1, 2], (4, 5), 8, 0))
    plain = ALL[name](1.0, 1.0)(*inputs)["loss"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(ALL[name](1.0, 1.0)(*inputs)["loss"], plain)


@pytest.mark.parametrize("name", ALL)
def test_gradients_in_float64(name: str) -> None:
    pairs, keys = random_inputs([2, 1, 1], [0, 1, 2], (3, 2), 4, 2)
    objective = ALL[name](1.0, 1.0)
    leaves = pairs.images.requires_grad_(), pairs.captions.requires_grad_()

    def loss(images: Tensor, captions: Tensor) -> Tensor:
        return objective(replace(pairs, images=images, captions=captions), keys)["loss"]

    assert torch.autograd.gradcheck(loss, leaves, atol=1e-4)


def test_a_learned_temperature_moves_and_stays_in_bounds() -> None:
    pairs, keys = random_inputs([1, 1, 1], [0, 1, 2], (2, 2), 8, 0)
    objective = InfoNCEObjective(0.07, learned=True)
    assert float(objective.scale.detach()) == pytest.approx(1 / 0.07, rel=1e-6)
    objective(pairs, keys)["loss"].backward()
    assert objective.log_scale.grad is not None
    assert objective.log_scale.grad != 0
    with torch.no_grad():
        objective.log_scale.fill_(30.0)
    assert float(objective.scale.detach()) == pytest.approx(100.0)
    assert "log_scale" in objective.state_dict()
    assert not InfoNCEObjective(0.07).log_scale.requires_grad


def test_building_from_settings() -> None:
    uto = build_objective(ObjectiveSettings(sharpness=30, threshold=0.2, mask_siblings=False))
    assert isinstance(uto, UnifiedObjective)
    assert (uto.sharpness, uto.threshold, uto.mask_siblings) == (30, 0.2, False)
    triplet = build_objective(
        ObjectiveSettings(kind="triplet", margin=0.3, summed_epochs=1, queue_weight=0)
    )
    assert isinstance(triplet, TripletObjective)
    assert (triplet.margin, triplet.summed_epochs, triplet.uses_momentum) == (0.3, 1, False)
    infonce = build_objective(
        ObjectiveSettings(kind="infonce", learned_temperature=True, queue_start=2)
    )
    assert isinstance(infonce, InfoNCEObjective)
    assert infonce.log_scale.requires_grad
    assert infonce.queue_start == 2


@pytest.mark.parametrize("name", ["uto", "triplet", "infonce"])
def test_equal_sentences_are_no_negatives(name: str) -> None:
    """As if the others' equal captions, and the images that have them, were not there."""
    pairs, keys = random_inputs([1, 1, 2], [0, 1, 2], (3, 4), 4, seed=5)
    rows = torch.tensor([0, 1, 2, 2])
    pairs = replace(pairs, caption_image=rows)
    image_owner, caption_owner = torch.tensor([7, 8, 9]), torch.tensor([6, 7, 8, 9])
    keys = replace(
        keys,
        image_queue=(keys.image_queue[0], image_owner),
        caption_queue=(keys.caption_queue[0], caption_owner),
    )
    # Captions 0 and 2 are sentence 5, of images 0 and 2, and of the queues' image 8; the queue of
    # captions has it at place 1.
    told = replace(
        pairs,
        sentences=Sentences(
            torch.tensor([5, -1, 5, -1]), torch.tensor([[5, -2], [-2, -2], [5, 3]])
        ),
    )
    queued = Sentences(torch.tensor([-1, 5, -1, 3]), torch.tensor([[3], [5], [-2]]))
    expected_batch = torch.tensor(
        [[False, True, False, True], [True, False, True, True], [False, True, False, False]]
    )
    to_captions = torch.tensor(
        [[True, False, True, True], [True, True, True, True], [True, False, True, False]]
    )
    to_images = torch.tensor(
        [[True, False, True], [True, True, True], [True, False, True], [True, True, True]]
    )
    assert torch.equal(batch_negatives(told), expected_batch)
    found = queue_negatives(told, replace(keys, queued=queued))
    assert torch.equal(found[0], to_captions)
    assert torch.equal(found[1], to_images)

    objective = build_objective(ObjectiveSettings(kind=name))
    masked = objective(told, replace(keys, queued=queued))
    counted = objective(pairs, keys)
    assert not torch.equal(masked["loss"], counted["loss"])
    nothing = Sentences(torch.full((4,), -1), torch.full((3, 1), -2))
    empty = Sentences(torch.full((4,), -1), torch.full((3, 1), -2))
    same = objective(replace(pairs, sentences=nothing), replace(keys, queued=empty))
    assert torch.equal(same["loss"], counted["loss"])
