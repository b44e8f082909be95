from __future__ import annotations

import numpy as np
import pytest
import torch

from user_itr.model.enhancement import GlobalGuide, SelfGuide, enhance
from user_itr.model.image_encoder import ImageEncoder, drop_regions
from user_itr.model.pooling import GeneralizedPooling, MaxPooling, MeanPooling
from user_itr.model.projection import LinearProjection, RegionProjection


def image_encoder(enhancement: str = "self", region_dropout: float = 0.0) -> ImageEncoder:
    """d = 6, D = 8, G = 5, no dropout inside."""
    return ImageEncoder(
        RegionProjection(6, 8),
        GeneralizedPooling(),
        SelfGuide(6, dropout=0.0) if enhancement in ("self", "both") else None,
        GlobalGuide(5, 6, 8) if enhancement in ("clip", "both") else None,
        region_dropout=region_dropout,
    )


def test_projection_equals_the_plain_formula_with_batch_statistics() -> None:
    torch.manual_seed(0)
    projection = RegionProjection(5, 8).train()
    v = torch.randn(3, 4, 5)
    flat = v.reshape(-1, 5).double().numpy()
    weights = {n: p.detach().double().numpy() for n, p in projection.named_parameters()}
    hidden = flat @ weights["hidden.weight"].T + weights["hidden.bias"]
    normal = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + projection.norm.eps)
    mlp = np.maximum(normal, 0) @ weights["output.weight"].T + weights["output.bias"]
    expected = flat @ weights["linear.weight"].T + weights["linear.bias"] + mlp
    got = projection(v).detach().reshape(-1, 8).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("enhancement", ["none", "self", "clip", "both"])
@pytest.mark.parametrize("training", [True, False])
def test_padded_regions_change_no_output(enhancement: str, training: bool) -> None:
    torch.manual_seed(0)
    encoder = image_encoder(enhancement).train(training)
    start = {n: b.clone() for n, b in encoder.named_buffers()}
    regions, guide = torch.randn(4, 5, 6), torch.randn(4, 5)
    expected = encoder(regions, guide=guide)
    statistics = {n: b.clone() for n, b in encoder.named_buffers()}
    for name, buffer in encoder.named_buffers():
        buffer.copy_(start[name])
    mask = torch.zeros(4, 9, dtype=torch.bool)
    mask[:, [0, 2, 3, 6, 8]] = True
    padded = torch.full((4, 9, 6), 123.0)
    padded[:, [0, 2, 3, 6, 8]] = regions
    torch.testing.assert_close(encoder(padded, mask, guide), expected, atol=1e-5, rtol=1e-5)
    for name, buffer in encoder.named_buffers():
        torch.testing.assert_close(buffer, statistics[name])


def test_batch_of_different_sizes_equals_each_image_alone() -> None:
    torch.manual_seed(0)
    encoder = image_encoder().eval()
    regions, mask = torch.randn(3, 7, 6), torch.arange(7) < torch.tensor([[7], [2], [4]])
    together = encoder(regions, mask)
    for row, size in enumerate((7, 2, 4)):
        alone = encoder(regions[row : row + 1, :size])
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(3))


def test_region_dropout_only_in_training_and_keeps_real_regions() -> None:
    torch.manual_seed(0)
    encoder = image_encoder("none", region_dropout=0.9).train()
    regions = torch.randn(4, 10, 6)
    assert len({float(encoder(regions)[0, 0].detach()) for _ in range(8)}) > 1
    encoder.eval()
    assert torch.equal(encoder(regions), encoder(regions))
    for _ in range(30):
        kept, mask = drop_regions(regions, None, 0.99)
        assert mask is None
        assert 1 <= kept.shape[1] <= 10
    one = torch.zeros(4, 10, dtype=torch.bool)
    one[:, 3] = True
    for _ in range(30):
        _, mask = drop_regions(regions, one, 0.9)
        assert mask is not None
        assert mask.any(dim=1).all()


def test_both_guides_by_hand() -> None:
    """The self-guided vector is poured in first, then the global one, and its residual added."""
    torch.manual_seed(0)
    encoder = image_encoder("both").eval()
    regions, guide = torch.randn(3, 4, 6), torch.randn(3, 5)
    assert encoder.guide is not None
    assert encoder.global_guide is not None
    vector, residual = encoder.global_guide(guide)
    poured = enhance(enhance(regions, encoder.guide(regions)), vector)
    pooled = encoder.pooling(encoder.projection(poured)) + residual
    expected = pooled / pooled.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(encoder(regions, guide=guide), expected)


def test_a_guide_that_is_missing_or_not_needed() -> None:
    torch.manual_seed(0)
    regions, guide = torch.randn(2, 4, 6), torch.randn(2, 5)
    with pytest.raises(ValueError, match="CGE needs guide embeddings"):
        image_encoder("clip")(regions)
    plain = image_encoder("self").eval()
    assert torch.equal(plain(regions, guide=guide), plain(regions))


@pytest.mark.parametrize(("kind", "reduce"), [(MeanPooling, "mean"), (MaxPooling, "amax")])
def test_plain_poolings_and_the_linear_projection(kind: type[torch.nn.Module], reduce: str) -> None:
    torch.manual_seed(0)
    projection = LinearProjection(6, 8)
    encoder = ImageEncoder(projection, kind()).eval()
    regions, mask = torch.randn(3, 5, 6), torch.arange(5) < torch.tensor([[5], [2], [1]])
    got = encoder(regions.masked_fill(~mask.unsqueeze(-1), 99.0), mask)
    for row, size in enumerate((5, 2, 1)):
        projected = regions[row, :size] @ projection.linear.weight.T + projection.linear.bias
        pooled = getattr(projected, reduce)(dim=0)
        torch.testing.assert_close(got[row], pooled / pooled.norm())
