from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from user_itr.errors import FeatureError
from user_itr.model.masking import (
    MaskedBatchNorm,
    RegionAxisBatchNorm,
    masked_mean,
    masked_softmax,
)


@given(
    hnp.arrays(np.float64, (3, 6), elements=st.floats(-30, 30)),
    hnp.arrays(np.bool_, (3, 6)),
)
def test_softmax_and_mean_equal_loops(scores: np.ndarray, mask: np.ndarray) -> None:
    softmax = masked_softmax(torch.from_numpy(scores), torch.from_numpy(mask)).numpy()
    mean = masked_mean(torch.from_numpy(scores)[..., None], torch.from_numpy(mask)).numpy()
    for row in range(3):
        valid = scores[row][mask[row]]
        if not len(valid):
            assert not softmax[row].any()
            assert mean[row, 0] == 0
            continue
        expected = np.exp(valid - valid.max())
        np.testing.assert_allclose(softmax[row][mask[row]], expected / expected.sum(), atol=1e-12)
        assert not softmax[row][~mask[row]].any()
        np.testing.assert_allclose(mean[row, 0], valid.mean(), atol=1e-12)


def test_batchnorm_sees_only_valid_positions() -> None:
    torch.manual_seed(0)
    x, mask = torch.randn(4, 5, 3), torch.rand(4, 5) < 0.6
    x[~mask] = 1e6
    norm, plain = MaskedBatchNorm(3), torch.nn.BatchNorm1d(3)
    output = norm(x, mask)
    torch.testing.assert_close(output[mask], plain(x[mask]))
    assert not output[~mask].any()
    torch.testing.assert_close(norm.running_mean, plain.running_mean)
    torch.testing.assert_close(norm.running_var, plain.running_var)


def test_batchnorm_gradient_ignores_padding() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 3, requires_grad=True)
    mask = torch.tensor([[True, True, False, False], [True, True, True, False]])
    MaskedBatchNorm(3)(x, mask).pow(3).sum().backward()
    assert x.grad is not None
    assert not x.grad[~mask].any()
    assert x.grad[mask].abs().sum() > 0


@pytest.mark.parametrize("training", [True, False])
def test_region_axis_batchnorm_normalises_each_position(training: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 4, 3, dtype=torch.float64) * 2 + 1
    norm = RegionAxisBatchNorm(4).double().train(training)
    with torch.no_grad():
        for tensor in (norm.weight, norm.running_var):
            tensor.uniform_(0.5, 2)
        for tensor in (norm.bias, norm.running_mean):
            tensor.normal_()
    mean, var = norm.running_mean.clone(), norm.running_var.clone()
    output = norm(x, torch.ones(6, 4, dtype=torch.bool))
    for k in range(4):
        values = x[:, k].reshape(-1)
        used = (values.mean(), values.var(correction=0)) if training else (mean[k], var[k])
        expected = (x[:, k] - used[0]) / (used[1] + 1e-5).sqrt() * norm.weight[k] + norm.bias[k]
        torch.testing.assert_close(output[:, k], expected)
    unchanged = torch.equal(norm.running_mean, mean) and torch.equal(norm.running_var, var)
    assert unchanged == (not training)


def test_region_axis_batchnorm_takes_whole_images_of_its_size() -> None:
    norm = RegionAxisBatchNorm(4)
    with pytest.raises(FeatureError, match=r"an image has 5 regions, .* exactly 4; give"):
        norm(torch.randn(2, 5, 3))
    mask = torch.tensor([[True] * 4, [True, True, True, False]])
    with pytest.raises(FeatureError, match="a mask hides some of the 4 regions"):
        norm(torch.randn(2, 4, 3), mask)
