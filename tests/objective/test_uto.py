"""The unified training objective against its formula typed with exp, log and loops."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from objective_inputs import dot, in_float32, mean, random_inputs, unit
from torch import Tensor

from user_itr.objective.contrastive import Keys, Pairs
from user_itr.objective.uto import UnifiedObjective, negative_term, positive_term

MU, GAMMA = 90.0, 0.5


def batch_loss(
    images: Tensor,
    captions: Tensor,
    caption_image: Tensor,
    owner: Tensor,
    mu: float = MU,
    gamma: float = GAMMA,
) -> Tensor:
    pairs = Pairs(images, captions, caption_image, owner)
    return UnifiedObjective(mu, gamma).batch_part(pairs)


def queue_loss(
    images: Tensor,
    owner: Tensor,
    queue: Tensor,
    queue_owner: Tensor,
    mu: float = MU,
    gamma: float = GAMMA,
) -> Tensor:
    """The images' side of the queue's part, without the positives: one caption an image."""
    rows, width = torch.arange(len(images)), images.shape[1]
    still = torch.zeros(len(images), width, dtype=images.dtype)
    pairs = Pairs(images, still, rows, owner)
    nothing = torch.empty(0, width, dtype=images.dtype), torch.empty(0, dtype=torch.int64)
    keys = Keys(still, still, nothing, (queue, queue_owner))
    return UnifiedObjective(mu, gamma).queue_part(pairs, keys)


def phi(scores: Sequence[float], mu: float = MU, gamma: float = GAMMA) -> float:
    return math.log(1 + sum(math.exp(mu * (s - gamma)) for s in scores)) / mu


def pos(score: float) -> float:
    return -math.log(1 + max(score, 0.0))


def plain_queue(queries: Tensor, owners: Sequence[int], queue: Tensor, of: Sequence[int]) -> float:
    return mean(
        [
            phi([dot(q, k) for k, other in zip(queue, of, strict=True) if other != owner])
            for q, owner in zip(queries, owners, strict=True)
        ]
    )


def plain_batch(
    images: Tensor, captions: Tensor, caption_image: Sequence[int], owners: Sequence[int]
) -> float:
    caption_owner = [owners[i] for i in caption_image]
    pairs = [pos(dot(images[i], t)) for i, t in zip(caption_image, captions, strict=True)]
    return (
        plain_queue(images, owners, captions, caption_owner)
        + plain_queue(captions, caption_owner, images, owners)
        + mean(pairs)
    )


def plain_losses(pairs: Pairs, keys: Keys) -> tuple[float, float]:
    rows, owners = pairs.caption_image.tolist(), pairs.image_owner.tolist()
    caption_owner = [owners[i] for i in rows]
    images, captions = pairs.images, pairs.captions
    image_queue, caption_queue = keys.image_queue, keys.caption_queue
    queue = (
        plain_queue(images, owners, caption_queue[0], caption_queue[1].tolist())
        + mean([pos(dot(images[i], keys.captions[t])) for t, i in enumerate(rows)])
        + plain_queue(captions, caption_owner, image_queue[0], image_queue[1].tolist())
        + mean([pos(dot(captions[t], keys.images[i])) for t, i in enumerate(rows)])
    )
    return plain_batch(images, captions, rows, owners), queue


@given(
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    distinct=st.integers(1, 5),
    queues=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    width=st.integers(1, 6),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_objective_equals_the_plain_formula(
    counts: list[int], distinct: int, queues: tuple[int, int], width: int, seed: int
) -> None:
    owners = [7 + i % distinct for i in range(len(counts))]
    inputs = random_inputs(counts, owners, queues, width, seed)
    got = UnifiedObjective(batch_weight=20.0, queue_weight=0.5)(*inputs)
    batch, queue = plain_losses(*inputs)
    assert got["batch"].item() == pytest.approx(batch, abs=1e-10)
    assert got["queue"].item() == pytest.approx(queue, abs=1e-10)
    assert got["loss"].item() == pytest.approx(20 * batch + 0.5 * queue, abs=1e-10)


def test_one_caption_an_image_is_the_papers_formula_without_the_diagonal() -> None:
    images, captions = unit(5, 8, 0), unit(5, 8, 1)
    rows = torch.arange(5)
    s = [[dot(v, t) for t in captions] for v in images]
    expected = mean(
        [
            phi([s[i][j] for j in range(5) if j != i])
            + phi([s[j][i] for j in range(5) if j != i])
            + pos(s[i][i])
            for i in range(5)
        ]
    )
    assert batch_loss(images, captions, rows, rows + 40).item() == pytest.approx(
        expected, abs=1e-10
    )
    with_diagonal = mean([phi(s[i]) + phi([r[i] for r in s]) + pos(s[i][i]) for i in range(5)])
    assert abs(with_diagonal - expected) > 1e-8


def test_siblings_are_never_negatives() -> None:
    """Captions and queue entries of a query's own image change nothing, however close."""
    images, captions = unit(3, 8, 0), unit(4, 8, 1)
    rows, owner = torch.tensor([0, 1, 2, 2]), torch.tensor([3, 4, 4])
    same = captions.clone()
    same[2:] = images[1]  # images 1 and 2 are one image under two rows
    base = batch_loss(images, captions, rows, owner)
    scores, pairs = images @ same.t(), (images[rows] * same).sum(dim=1)
    negatives = torch.tensor([[0, 1, 1, 1], [1, 0, 0, 0], [1, 0, 0, 0]]).bool()
    expected = (
        negative_term(scores, negatives).mean()
        + negative_term(scores.t(), negatives.t()).mean()
        + positive_term(pairs).mean()
    )
    assert batch_loss(images, same, rows, owner).item() == pytest.approx(expected.item(), abs=1e-12)
    assert batch_loss(images, same, rows, owner).item() != pytest.approx(base.item(), abs=1e-6)

    queue, of = unit(3, 8, 2), torch.tensor([9, 9, 9])
    alone = queue_loss(images[:1], owner[:1], queue, of)
    siblings = torch.cat([queue, images[:1], images[:1]]), torch.cat([of, torch.tensor([3, 3])])
    assert torch.equal(queue_loss(images[:1], owner[:1], *siblings), alone)
    strangers = siblings[0], torch.full((5,), 9)
    assert queue_loss(images[:1], owner[:1], *strangers) > alone + 0.4


def test_an_empty_queue_and_a_query_without_negatives_cost_nothing() -> None:
    queries, owner = unit(3, 4, 0).requires_grad_(), torch.tensor([1, 2, 3])
    loss = queue_loss(queries, owner, torch.empty(0, 4).double(), torch.empty(0).long())
    assert loss.item() == 0
    loss.backward()
    assert queries.grad is not None
    assert not queries.grad.any()
    alone = batch_loss(unit(1, 4, 0), unit(2, 4, 1), torch.tensor([0, 0]), torch.tensor([5]))
    assert alone.item() == pytest.approx(
        mean([pos(dot(unit(1, 4, 0)[0], t)) for t in unit(2, 4, 1)]), abs=1e-12
    )


def test_negative_scores() -> None:
    scores = torch.tensor([[-1.0, -0.3, -1e-3]], dtype=torch.float64, requires_grad=True)
    assert positive_term(scores).tolist() == [[0.0, 0.0, 0.0]]
    positive_term(scores).sum().backward()
    assert scores.grad is not None
    assert not scores.grad.any()
    term = negative_term(scores, torch.ones(1, 3, dtype=torch.bool), 30.0, -0.2)
    assert term.item() == pytest.approx(phi([-1.0, -0.3, -1e-3], 30.0, -0.2), abs=1e-12)
    queries = unit(4, 6, 3)
    assert positive_term((queries * -queries).sum(dim=1)).mean().item() == 0
    own = positive_term((queries * queries).sum(dim=1)).mean().item()
    assert own == pytest.approx(-math.log(2), abs=1e-12)


def test_float16s_plain_exponent_overflows_where_ours_does_not() -> None:
    for cosine, overflows in ((0.62, False), (0.63, True), (1.0, True)):
        scores = torch.full((2, 3), cosine, dtype=torch.float16)
        plain = torch.exp(scores * MU - MU * GAMMA)
        assert bool(plain.isinf().all()) == overflows
        ours = negative_term(scores, torch.ones(2, 3, dtype=torch.bool))
        assert ours.dtype == torch.float32
        expected = phi([float(scores[0, 0])] * 3)
        assert ours[0].item() == pytest.approx(expected, abs=1e-6)


LOW = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("autocast", [None, *LOW])
@pytest.mark.parametrize("dtype", [torch.float32, *LOW])
def test_finite_in_every_precision_at_cosines_of_one(
    dtype: torch.dtype, autocast: torch.dtype | None
) -> None:
    """Every embedding the same vector: all cosines 1, positives and negatives alike."""
    same = F.normalize(torch.ones(1, 16), dim=-1)

    def leaves(count: int) -> Tensor:
        return same.expand(count, -1).to(dtype).clone().requires_grad_()

    images, captions = leaves(3), leaves(6)
    queues = [(same.expand(5, -1).clone(), torch.arange(50, 55)) for _ in range(2)]
    with torch.autocast("cpu", dtype=autocast or torch.bfloat16, enabled=autocast is not None):
        got = UnifiedObjective(batch_weight=20.0)(
            Pairs(images, captions, torch.arange(6) % 3, torch.arange(3)),
            Keys(leaves(3).detach(), leaves(6).detach(), queues[0], queues[1]),
        )
    got["loss"].backward()
    assert got["loss"].dtype == torch.float32
    batch = phi([1.0] * 4) + phi([1.0] * 2) - math.log(2)
    queue = 2 * phi([1.0] * 5) - 2 * math.log(2)
    assert got["batch"].item() == pytest.approx(batch, rel=2e-2)
    assert got["queue"].item() == pytest.approx(queue, rel=2e-2)
    for leaf in (images, captions):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
        assert leaf.grad.any()


@pytest.mark.parametrize("dtype", LOW)
def test_autocast_computes_scores_in_float32(dtype: torch.dtype) -> None:
    inputs = in_float32(*random_inputs([2, 1, 3], [0, 1, 2], (4, 5), 8, 0))
    plain = UnifiedObjective()(*inputs)["loss"]
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(UnifiedObjective()(*inputs)["loss"], plain)


def _unified(images: Tensor, captions: Tensor) -> Tensor:
    _, keys = random_inputs([2, 1, 1], [0, 1, 2], (3, 2), 4, 0)
    pairs = Pairs(images, captions, torch.tensor([0, 1, 2, 0]), torch.arange(3))
    return UnifiedObjective(sharpness=5.0, batch_weight=2.0)(pairs, keys)["loss"]


ROWS, OWNERS = torch.tensor([0, 1, 2, 0]), torch.tensor([0, 1, 2])
GRADIENTS: dict[str, Callable[..., Tensor]] = {
    "batch": lambda v, t: batch_loss(v, t, ROWS, OWNERS, 5.0, 0.2),
    "queue": lambda v, t: queue_loss(v, OWNERS, t, ROWS, 5.0, 0.2),
    "unified": _unified,
    "negatives": lambda v, t: negative_term(v @ t.t(), OWNERS[:, None] != ROWS, 5.0, 0.2),
    "positives": lambda v, t: positive_term(v @ t.t()),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_in_float64(name: str) -> None:
    images, captions = unit(3, 4, 11), unit(4, 4, 12)
    _, momentum = random_inputs([2, 1, 1], [0, 1, 2], (3, 2), 4, 0)
    for other in (momentum.images, momentum.captions):
        assert ((images @ other.t()).abs() > 1e-3).all()  # away from the kink of the ReLU
        assert ((captions @ other.t()).abs() > 1e-3).all()
    assert ((images @ captions.t()).abs() > 1e-3).all()
    leaves = images.requires_grad_(), captions.requires_grad_()
    assert torch.autograd.gradcheck(GRADIENTS[name], leaves)


def test_gradient_does_not_reach_the_parts_that_are_reported() -> None:
    pairs, keys = random_inputs([1, 1], [0, 1], (2, 2), 4, 0)
    pairs.images.requires_grad_()
    got = UnifiedObjective()(pairs, keys)
    assert got["loss"].requires_grad
    assert not got["batch"].requires_grad
    assert not got["queue"].requires_grad
