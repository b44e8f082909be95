from __future__ import annotations

import numpy as np
import pytest
import torch
from test_pooling import plain_pool
from tiny_transformers import VOCABULARY, tiny_transformer
from torch import Tensor

from user_itr.model.pooling import GeneralizedPooling, MeanPooling
from user_itr.model.text_encoder import TextEncoder
from user_itr.model.token_encoders import BiGRUTokens, TransformerTokens


def bert_text(layers: int = 1, dropout: float = 0.0) -> TextEncoder:
    tokens = TransformerTokens(tiny_transformer("bert"), layers)
    return TextEncoder(tokens, embedding=10, dropout=dropout).eval()


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    mask = torch.arange(5) < torch.tensor([[5], [3], [1]])
    ids = torch.randint(1, VOCABULARY, (3, 5), generator=generator)
    return ids.masked_fill(~mask, 0), mask


def test_embedding_equals_the_plain_computation() -> None:
    encoder = bert_text()
    ids, mask = inputs()
    got = encoder(ids, mask)
    states = encoder.tokens(ids, mask).detach().double().numpy()
    weight = encoder.linear.weight.detach().double().numpy()
    bias = encoder.linear.bias.detach().double().numpy()
    for row, length in enumerate(mask.sum(dim=1).tolist()):
        pooled = plain_pool(encoder.pooling, states[row, :length] @ weight.T + bias)
        expected = pooled / np.sqrt((pooled**2).sum())
        np.testing.assert_allclose(got[row].detach().numpy(), expected, atol=1e-5)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.norm(dim=1), torch.ones(3))


@pytest.mark.parametrize("kind", ["bert", "gru"])
def test_padding_changes_nothing(kind: str) -> None:
    torch.manual_seed(0)
    encoder = bert_text() if kind == "bert" else TextEncoder(BiGRUTokens(VOCABULARY, 6, 5), 10)
    ids, mask = inputs()
    expected = encoder(ids, mask)
    wide = torch.nn.functional.pad(ids.masked_fill(~mask, 3), (0, 4), value=6)
    wide_mask = torch.nn.functional.pad(mask, (0, 4), value=False)
    torch.testing.assert_close(encoder(wide, wide_mask), expected, atol=1e-5, rtol=1e-5)
    for row, length in enumerate(mask.sum(dim=1).tolist()):
        alone = encoder(ids[row : row + 1, :length], mask[row : row + 1, :length])
        torch.testing.assert_close(alone[0], expected[row], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pooling", [GeneralizedPooling(), MeanPooling()])
def test_groups_are_encoded_as_each_alone(pooling: torch.nn.Module) -> None:
    torch.manual_seed(0)
    encoder = TextEncoder(BiGRUTokens(VOCABULARY, 6, 5), 10, pooling=pooling)
    ids, mask = inputs()
    parts = [(ids[2:, :1], mask[2:, :1]), (ids[1:2, :3], mask[1:2, :3]), (ids[:2], mask[:2])]
    results = (
        encoder.encode_groups(*zip(*parts, strict=True)),
        torch.cat([encoder(*part) for part in parts]),
    )
    torch.testing.assert_close(results[0], results[1], atol=1e-6, rtol=1e-5)
    target = torch.randn(10)
    gradients = [
        torch.autograd.grad((result @ target).square().sum(), list(encoder.parameters()))
        for result in results
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_cached_states_give_what_ids_give() -> None:
    encoder = bert_text()
    ids, mask = inputs()
    states = encoder.tokens.lower(ids, mask)
    assert torch.equal(encoder(states, mask), encoder(ids, mask))
    states[~mask] = 1e4
    torch.testing.assert_close(encoder(states, mask), encoder(ids, mask), atol=1e-5, rtol=1e-5)


def test_dropout_in_training_alone() -> None:
    encoder = bert_text(layers=0, dropout=0.5)
    assert torch.equal(encoder(*inputs()), encoder(*inputs()))
    encoder.train()
    assert not torch.equal(encoder(*inputs()), encoder(*inputs()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_gives_unit_float32(dtype: torch.dtype) -> None:
    encoder = bert_text()
    with torch.autocast("cpu", dtype=dtype):
        low = encoder(*inputs())
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.norm(dim=1), torch.ones(3))
    assert (low * encoder(*inputs())).sum(dim=1).min() > 0.99
