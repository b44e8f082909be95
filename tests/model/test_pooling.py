from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from user_itr.model.pooling import GeneralizedPooling, position_codes


def test_position_codes_are_sines_and_cosines() -> None:
    codes = position_codes(7, 8)
    for position in range(7):
        for pair in range(4):
            angle = position / 10000 ** (2 * pair / 8)
            assert codes[position, 2 * pair] == pytest.approx(math.sin(angle), abs=1e-5)
            assert codes[position, 2 * pair + 1] == pytest.approx(math.cos(angle), abs=1e-5)


def plain_gru(codes: np.ndarray, gru: torch.nn.GRU, suffix: str) -> np.ndarray:
    """A GRU typed from its equations, over positions in the given order."""
    w_ih, w_hh, b_ih, b_hh = (
        getattr(gru, f"{name}_l0{suffix}").detach().double().numpy()
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    hidden = np.zeros(gru.hidden_size)
    outputs = []
    for code in codes:
        a, b = np.split(w_ih @ code + b_ih, 3), np.split(w_hh @ hidden + b_hh, 3)
        reset = 1 / (1 + np.exp(-(a[0] + b[0])))
        update = 1 / (1 + np.exp(-(a[1] + b[1])))
        new = np.tanh(a[2] + reset * b[2])
        hidden = (1 - update) * new + update * hidden
        outputs.append(hidden)
    return np.stack(outputs)


def plain_pool(pooling: GeneralizedPooling, items: np.ndarray) -> np.ndarray:
    codes = position_codes(len(items), pooling.code_width).double().numpy()
    forward = plain_gru(codes, pooling.gru, "")
    backward = plain_gru(codes[::-1], pooling.gru, "_reverse")[::-1]
    scores = ((forward + backward) / 2) @ pooling.linear.weight.detach().double().numpy()[0]
    weights = np.exp(scores / pooling.temperature)
    weights /= weights.sum()
    return np.array(
        [
            sum(w * x for w, x in zip(weights, sorted(column)[::-1], strict=True))
            for column in items.T
        ]
    )


def test_pooling_equals_the_plain_computation_at_every_size() -> None:
    torch.manual_seed(0)
    pooling = GeneralizedPooling()
    x = torch.randn(4, 6, 5)
    sizes = [6, 3, 1, 3]
    mask = torch.arange(6) < torch.tensor(sizes)[:, None]
    mask[3] = torch.tensor([False, True, False, True, True, False])
    got = pooling(x, mask).detach().numpy()
    for row in range(4):
        expected = plain_pool(pooling, x[row][mask[row]].double().numpy())
        np.testing.assert_allclose(got[row], expected, atol=1e-5)


def test_no_mask_equals_a_full_mask_and_padding_is_invisible() -> None:
    torch.manual_seed(0)
    pooling = GeneralizedPooling()
    x = torch.randn(2, 4, 3)
    full = torch.ones(2, 4, dtype=torch.bool)
    torch.testing.assert_close(pooling(x), pooling(x, full))
    padded = torch.cat([x, torch.full((2, 5, 3), 3e38)], dim=1).requires_grad_()
    output = pooling(padded, torch.cat([full, torch.zeros(2, 5, dtype=torch.bool)], dim=1))
    torch.testing.assert_close(output, pooling(x))
    output.sum().backward()
    assert padded.grad is not None
    assert not padded.grad[:, 4:].any()


def test_weights_sum_to_one_and_order_of_items_does_not_matter() -> None:
    torch.manual_seed(0)
    pooling = GeneralizedPooling()
    weights = pooling.weights(torch.tensor([1, 4, 9]))
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3))
    assert not weights[1, 4:].any()
    x = torch.randn(2, 9, 3)
    torch.testing.assert_close(pooling(x), pooling(x[:, torch.randperm(9)]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_finite_and_close(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    pooling = GeneralizedPooling()
    x = torch.randn(2, 4, 3)
    mask = torch.tensor([[True, True, True, False], [True, False, False, False]])
    low = pooling(x.to(dtype), mask)
    assert low.dtype == dtype
    torch.testing.assert_close(low.float(), pooling(x, mask), atol=2e-2, rtol=2e-2)
