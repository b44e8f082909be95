from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from user_itr.model.enhancement import GlobalGuide, SelfGuide, enhance


def plain_enhance(regions: np.ndarray, guide: np.ndarray, scale: float) -> np.ndarray:
    """The formula for one image, typed as in the paper."""
    scores = [scale * sum(g * v for g, v in zip(guide, region, strict=True)) for region in regions]
    weights = [math.exp(s) / sum(math.exp(t) for t in scores) for s in scores]
    norm = math.sqrt(sum(w * w for w in weights))
    return np.stack([v + w / norm * guide for v, w in zip(regions, weights, strict=True)])


def test_enhance_equals_the_plain_formula() -> None:
    rng = np.random.default_rng(0)
    regions, guide = rng.normal(size=(2, 5, 7)), rng.normal(size=(2, 7))
    guide /= np.linalg.norm(guide, axis=1, keepdims=True)
    got = enhance(torch.tensor(regions).float(), torch.tensor(guide).float(), scale=1.7)
    for image in range(2):
        expected = plain_enhance(regions[image], guide[image], 1.7)
        np.testing.assert_allclose(got[image].numpy(), expected, atol=1e-5)


def test_self_guide_equals_the_plain_formula() -> None:
    torch.manual_seed(0)
    guide = SelfGuide(6).eval()
    with torch.no_grad():
        guide.local_norm.running_mean.normal_()
        guide.mean_norm.running_var.uniform_(0.5, 2)
    regions = torch.randn(3, 4, 6)

    def normalise(norm: torch.nn.BatchNorm1d, x: torch.Tensor) -> torch.Tensor:
        return (x - norm.running_mean) / torch.sqrt(norm.running_var + norm.eps)

    for image in range(3):
        v = regions[image]
        m = v.sum(0) / 4
        query = torch.tanh(normalise(guide.mean_norm, guide.mean.weight @ m + guide.mean.bias))
        scores = []
        for region in v:
            local = torch.tanh(
                normalise(guide.local_norm, guide.local.weight @ region + guide.local.bias)
            )
            scores.append(guide.common.weight[0] @ (local * query))
        weights = torch.exp(torch.stack(scores)) / torch.exp(torch.stack(scores)).sum()
        expected = (weights[:, None] * v).sum(0)
        expected = expected / expected.norm()
        torch.testing.assert_close(guide(regions)[image], expected, atol=1e-5, rtol=1e-4)


def test_guide_is_unit_norm_and_dropout_only_in_training() -> None:
    torch.manual_seed(0)
    guide = SelfGuide(8, dropout=0.4)
    regions = torch.randn(4, 5, 8)
    guide.train()
    assert not torch.equal(guide(regions), guide(regions))
    guide.eval()
    assert torch.equal(guide(regions), guide(regions))
    torch.testing.assert_close(guide(regions).norm(dim=-1), torch.ones(4))


@pytest.mark.parametrize("training", [True, False])
def test_padding_changes_nothing(training: bool) -> None:
    torch.manual_seed(0)
    guide = SelfGuide(8, dropout=0.0).train(training)
    regions = torch.randn(3, 4, 8)
    padded = torch.cat([regions, torch.full((3, 3, 8), 1e4)], dim=1)
    mask = torch.tensor([[True] * 4 + [False] * 3]).expand(3, -1)
    statistics = guide.local_norm.running_var.clone()
    alone = guide(regions)
    after = guide.local_norm.running_var.clone()
    guide.local_norm.running_var.copy_(statistics)
    guide.local_norm.running_mean.zero_() if training else None
    torch.testing.assert_close(guide(padded, mask), alone)
    torch.testing.assert_close(guide.local_norm.running_var, after)
    enhanced = enhance(padded, alone, mask)
    torch.testing.assert_close(enhanced[:, :4], enhance(regions, alone))
    assert torch.equal(enhanced[:, 4:], padded[:, 4:])


@pytest.mark.parametrize("heads", [1, 3])
def test_heads_average_their_attention(heads: int) -> None:
    """Heads that are equal are one head; the padding has no weight in any."""
    torch.manual_seed(0)
    one, several = SelfGuide(6).eval(), SelfGuide(6, heads=heads).eval()
    state = one.state_dict()
    state["common.weight"] = state["common.weight"].repeat(heads, 1)
    state["common.bias"] = state["common.bias"].repeat(heads)
    several.load_state_dict(state)
    regions, mask = torch.randn(3, 5, 6), torch.arange(5) < torch.tensor([[5], [2], [1]])
    torch.testing.assert_close(several(regions, mask), one(regions, mask))
    assert SelfGuide(6, heads=heads).common.weight.shape == (heads, 6)


def test_global_guide_equals_the_plain_formula() -> None:
    torch.manual_seed(0)
    module = GlobalGuide(5, 6, 8)
    embeddings = 40 * torch.randn(3, 5)
    vectors, residual = module(embeddings)
    assert residual is not None
    for e, g, r in zip(embeddings, vectors, residual, strict=True):
        unit = e / torch.sqrt((e * e).sum())
        projected = module.regions.weight @ unit + module.regions.bias
        torch.testing.assert_close(g, projected / torch.sqrt((projected**2).sum()))
        assert module.residual is not None
        torch.testing.assert_close(r, module.residual.weight @ unit + module.residual.bias)
    assert GlobalGuide(5, 6, 8, residual=False)(embeddings)[1] is None


def test_xavier_weights_are_as_much_wider_as_published() -> None:
    width = 512
    torch.manual_seed(0)
    plain, wide = SelfGuide(width), SelfGuide(width, xavier=True)
    for name, times in (("local", 3**0.5), ("mean", 3**0.5), ("common", 6**0.5)):
        ours, published = getattr(plain, name), getattr(wide, name)
        bound = (6 / (width + len(published.weight))) ** 0.5
        largest = float(published.weight.detach().abs().max())
        assert 0.97 * bound < largest <= bound
        assert largest / float(ours.weight.detach().abs().max()) == pytest.approx(times, rel=0.05)
        assert not published.bias.any()
        assert ours.bias.any()
