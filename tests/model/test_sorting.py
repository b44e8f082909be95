from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from user_itr.model.sorting import LONGEST, comparators, sort_descending


@pytest.mark.parametrize("count", range(1, 13))
def test_the_network_sorts_all_zero_one_inputs(count: int) -> None:
    """Which proves that it sorts every input (Knuth's 0-1 principle)."""
    inputs = torch.tensor(list(itertools.product([0.0, 1.0], repeat=count)))
    rows = list(inputs.unbind(1))
    for i, j in comparators(count):
        assert 0 <= i < j < count
        rows[i], rows[j] = torch.maximum(rows[i], rows[j]), torch.minimum(rows[i], rows[j])
    assert torch.equal(torch.stack(rows, 1), inputs.sort(dim=1, descending=True).values)


@given(
    batch=st.integers(1, 3),
    count=st.integers(1, LONGEST + 2),
    width=st.integers(1, 5),
    seed=st.integers(0, 2**31),
    levels=st.sampled_from([2, 5, 0]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
)
@settings(max_examples=80, deadline=None)
def test_equals_torchs_sort_with_ties(
    batch: int, count: int, width: int, seed: int, levels: int, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, count, width, generator=generator)
    if levels:
        x = (x * levels).round()
    x = x.to(dtype)
    assert torch.equal(sort_descending(x), x.sort(dim=1, descending=True).values)


def test_the_gradient_goes_back_to_where_the_value_came_from() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 36, 4, dtype=torch.float64, requires_grad=True)
    coefficients = torch.randn(3, 36, 4, dtype=torch.float64)
    (sort_descending(x) * coefficients).sum().backward()
    ranks = x.detach().argsort(dim=1, descending=True).argsort(dim=1)
    assert x.grad is not None
    assert torch.equal(x.grad, coefficients.gather(1, ranks))


def test_ties_share_a_permutation_of_the_gradient() -> None:
    x = torch.zeros(1, 7, 1, requires_grad=True)
    (sort_descending(x) * torch.arange(7.0).view(1, 7, 1)).sum().backward()
    assert x.grad is not None
    assert sorted(x.grad.flatten().tolist()) == [0, 1, 2, 3, 4, 5, 6]
