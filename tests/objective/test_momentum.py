from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from user_itr.model.dual_encoder import DualEncoder
from user_itr.model.enhancement import SelfGuide
from user_itr.model.image_encoder import ImageEncoder
from user_itr.model.pooling import GeneralizedPooling
from user_itr.model.projection import RegionProjection
from user_itr.model.text_encoder import TextEncoder
from user_itr.model.token_encoders import BiGRUTokens, TransformerTokens
from user_itr.objective.momentum import MomentumContrast

Batch = tuple[Tensor, Tensor | None, Tensor, Tensor]


def small_model(seed: int = 0) -> DualEncoder:
    torch.manual_seed(seed)
    tokens = BiGRUTokens(20, width=6, word_width=5)
    image = ImageEncoder(
        RegionProjection(5, 8, dropout=0.5),
        GeneralizedPooling(),
        SelfGuide(5, dropout=0.5),
        region_dropout=0.5,
    )
    return DualEncoder(image, TextEncoder(tokens, 8, dropout=0.5))


def bert_model(trainable_layers: int) -> DualEncoder:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
    )
    tokens = TransformerTokens(BertModel(config), trainable_layers)
    image = ImageEncoder(RegionProjection(5, 8), GeneralizedPooling(), SelfGuide(5))
    return DualEncoder(image, TextEncoder(tokens, 8))


def batch(count: int = 6, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.arange(count) % 4 + 1
    return (
        torch.randn(count, 4, 5, generator=generator),
        None,
        torch.randint(1, 20, (count, 4), generator=generator),
        torch.arange(4) < lengths.unsqueeze(1),
    )


def shake(model: nn.Module, seed: int) -> None:
    """Change every trained parameter, as an optimizer step would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.999, 1.0])
def test_parameters_follow_by_the_formula(momentum: float) -> None:
    model = small_model()
    contrast = MomentumContrast(model, width=8, queue_length=4, momentum=momentum)
    expected = [p.detach().double().clone() for p in model.parameters()]
    for step in range(5):
        shake(model, step)
        contrast.update(model)
        expected = [
            momentum * k + (1 - momentum) * q.detach().double()
            for k, q in zip(expected, model.parameters(), strict=True)
        ]
    for key, value in zip(contrast.encoder.parameters(), expected, strict=True):
        torch.testing.assert_close(key.double(), value, atol=2e-6, rtol=2e-6)


def test_frozen_parameters_are_shared_and_the_others_are_not() -> None:
    model = bert_model(trainable_layers=1)
    contrast = MomentumContrast(model, width=8)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    shake(model, 0)
    contrast.update(model)
    keys = dict(contrast.encoder.named_parameters())
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert any("embeddings" in name for name in frozen)
    for name, query in model.named_parameters():
        if name in frozen:
            assert keys[name] is query
            assert torch.equal(query, before[name])
        else:
            assert keys[name].data_ptr() != query.data_ptr()
            torch.testing.assert_close(keys[name], 0.999 * before[name] + 0.001 * query)


def test_a_fully_frozen_text_encoder_updates_too() -> None:
    model = bert_model(trainable_layers=0)
    contrast = MomentumContrast(model, width=8, momentum=0.5)
    shake(model, 0)
    contrast.update(model)
    assert contrast.updates == 1
    assert contrast.encoder.text.tokens.base is not model.text.tokens.base
    assert contrast.encoder.text.linear.weight is not model.text.linear.weight


def test_no_dropout_in_the_momentum_encoders_whatever_the_parent_says() -> None:
    model = small_model()
    parent = nn.ModuleDict({"model": model, "contrast": MomentumContrast(model, width=8)})
    parent.train()
    assert model.training
    contrast = parent["contrast"]
    assert isinstance(contrast, MomentumContrast)
    assert not any(module.training for module in contrast.encoder.modules())
    inputs = batch()
    first, second = contrast(*inputs), contrast(*inputs)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    first, second = model(*inputs), model(*inputs)
    assert not any(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_key_depends_on_its_own_item_alone() -> None:
    model = small_model().train()
    contrast = MomentumContrast(model, width=8)
    model(*batch(seed=1))
    contrast.update(model)  # statistics that are not the initial (0, 1)
    regions, _, tokens, mask = batch()
    together = contrast(regions, None, tokens, mask)
    for row in range(len(regions)):
        one = slice(row, row + 1)
        alone = contrast(regions[one], None, tokens[one], mask[one])
        for batched, single in zip(together, alone, strict=True):
            torch.testing.assert_close(batched[one], single, atol=1e-6, rtol=1e-5)
    scaled = regions.clone()
    scaled[1:] *= 100
    torch.testing.assert_close(contrast(scaled, None, tokens, mask)[0][0], together[0][0])


def test_batch_statistics_follow_at_the_documented_rate() -> None:
    model = small_model().train()
    contrast = MomentumContrast(model, width=8, momentum=0.3)
    expected = {n: b.clone().double() for n, b in model.named_buffers() if b.is_floating_point()}
    assert expected
    for step in range(8):
        model(*batch(seed=step))
        contrast.update(model)
        rate = min(0.3, (1 + step) / (10 + step))
        for name, buffer in model.named_buffers():
            if name in expected:
                expected[name] = rate * expected[name] + (1 - rate) * buffer.double()
    for name, buffer in contrast.encoder.named_buffers():
        if name in expected:
            torch.testing.assert_close(buffer.double(), expected[name], atol=1e-5, rtol=1e-5)
        else:
            assert buffer == 8  # BatchNorm's count of batches, copied
    assert contrast.updates == 8


def test_updates_are_counted_in_the_state() -> None:
    """The rate of the statistics goes on after a reload."""
    model = small_model().train()
    contrast = MomentumContrast(model, width=8, queue_length=3)
    for step in range(3):
        model(*batch(seed=step))
        contrast.update(model)
        contrast.enqueue(*(x for k in contrast(*batch()) for x in (k, torch.arange(len(k)))))
    other = MomentumContrast(small_model(5), width=8, queue_length=3)
    other.load_state_dict(copy.deepcopy(contrast.state_dict()))
    model(*batch(seed=9))
    for each in (contrast, other):
        each.update(model)
    for (name, a), b in zip(
        contrast.state_dict().items(), other.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


def test_no_gradient_reaches_the_momentum_encoders() -> None:
    model = small_model().train()
    contrast = MomentumContrast(model, width=8)
    assert not any(p.requires_grad for p in contrast.parameters())
    assert all(p.requires_grad for p in model.parameters())
    regions, *rest = batch()
    queries, keys = model(regions, *rest), contrast(regions.requires_grad_(), *rest)
    assert not any(key.requires_grad for key in keys)
    sum((q * k).sum() for q, k in zip(queries, keys, strict=True)).backward()
    assert all(p.grad is None for p in contrast.parameters())
    reached = {name for name, p in model.named_parameters() if p.grad is not None}
    assert reached == {name for name, _ in model.named_parameters()}


def test_both_queues_get_their_own_modality() -> None:
    contrast = MomentumContrast(small_model(), width=8, queue_length=4)
    images, captions = torch.zeros(2, 8), torch.ones(3, 8)
    contrast.enqueue(images, torch.tensor([4, 5]), captions, torch.tensor([4, 4, 5]))
    assert torch.equal(contrast.image_queue.contents()[0], images)
    assert contrast.image_queue.contents()[1].tolist() == [4, 5]
    assert torch.equal(contrast.caption_queue.contents()[0], captions)
    assert contrast.caption_queue.contents()[1].tolist() == [4, 4, 5]


def test_momentum_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\], got 1.1"):
        MomentumContrast(small_model(), width=8, momentum=1.1)
