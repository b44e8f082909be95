from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from test_pooling import plain_gru
from tiny_transformers import LAYERS, VOCABULARY, tiny_transformer
from torch import Tensor
from transformers import AutoModel

from user_itr.errors import ConfigError
from user_itr.model.pretrained_text import MINILM, pretrained_path
from user_itr.model.token_encoders import (
    BiGRUTokens,
    TransformerTokens,
    build_transformer,
    load_transformer,
    weights_hash,
)
from user_itr.model.tokenizer import CaptionTokenizer

KINDS = ["bert", "roberta", "distilbert"]
Layers = int | Literal["all"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders as a user has them: config and safetensors."""
    folder = tmp_path_factory.mktemp("transformers")
    for kind in KINDS:
        tiny_transformer(kind).save_pretrained(folder / kind)
    return {kind: folder / kind for kind in KINDS}


def tokens_and_mask() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.arange(7) < torch.tensor([[7], [4], [2], [1]])
    ids = torch.randint(2, VOCABULARY, (4, 7), generator=generator)
    return ids.masked_fill(~mask, 0), mask


@pytest.mark.parametrize("layers", [0, 1, LAYERS, "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_output_equals_transformers_own(saved: dict[str, Path], kind: str, layers: Layers) -> None:
    ids, mask = tokens_and_mask()
    reference = AutoModel.from_pretrained(saved[kind]).eval()
    with torch.no_grad():
        expected = reference(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    tokens = TransformerTokens(load_transformer(str(saved[kind])), layers).eval()
    assert tokens.width == expected.shape[-1]
    assert tokens.cacheable == (layers != "all")
    whole = tokens(ids, mask)
    torch.testing.assert_close(whole[mask], expected[mask], atol=1e-5, rtol=1e-5)
    states = tokens.lower(ids, mask)
    assert torch.equal(tokens.upper(states, mask), whole)
    if layers != "all":
        assert torch.equal(tokens(states, mask), whole)  # the path of cached states
        torch.testing.assert_close(tokens(states.half(), mask), whole, atol=2e-2, rtol=2e-2)


def test_a_gpu_leaves_out_cudnns_attention_for_captions_alone() -> None:
    tokens = TransformerTokens(tiny_transformer("bert"), "all")
    before = torch.backends.cuda.cudnn_sdp_enabled()
    for trains in (True, False):
        with tokens._attention(torch.device("cuda"), trains):
            assert not torch.backends.cuda.cudnn_sdp_enabled()
            assert torch.backends.cuda.flash_sdp_enabled()
            assert torch.backends.cuda.mem_efficient_sdp_enabled()
    assert torch.backends.cuda.cudnn_sdp_enabled() == before


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_mask_of_the_upper_layers_suits_the_attention(attention: str) -> None:
    model = tiny_transformer("bert")
    model.set_attn_implementation(attention)
    ids, mask = tokens_and_mask()
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state[mask]
    tokens = TransformerTokens(model, 2).eval()
    torch.testing.assert_close(tokens(ids, mask)[mask], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layers", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(kind: str, layers: int) -> None:
    tokens = TransformerTokens(tiny_transformer(kind), layers).eval()
    ids, mask = tokens_and_mask()
    expected = tokens(ids, mask)[mask]
    garbage = torch.where(mask, ids, torch.randint(2, VOCABULARY, ids.shape))
    assert not torch.equal(garbage, ids)
    torch.testing.assert_close(tokens(garbage, mask)[mask], expected, atol=1e-5, rtol=1e-5)
    for more in (1, 9):
        wider = torch.nn.functional.pad(ids, (0, more), value=5)
        wide_mask = torch.nn.functional.pad(mask, (0, more), value=False)
        torch.testing.assert_close(
            tokens(wider, wide_mask)[wide_mask], expected, atol=1e-5, rtol=1e-5
        )
    for row, length in enumerate(mask.sum(dim=1).tolist()):
        one = tokens(ids[row : row + 1, :length], mask[row : row + 1, :length])
        torch.testing.assert_close(one[0], tokens(ids, mask)[row, :length], atol=1e-5, rtol=1e-5)
    if layers == 2:
        states = tokens.lower(ids, mask)
        states[~mask] = 1e4
        torch.testing.assert_close(tokens(states, mask)[mask], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_frozen_part_has_no_gradient_and_no_dropout(kind: str) -> None:
    tokens = TransformerTokens(tiny_transformer(kind).train(), 1)
    ids, mask = tokens_and_mask()
    assert tokens.training
    tokens.train()
    assert torch.equal(tokens.lower(ids, mask), tokens.lower(ids, mask))
    assert not tokens.lower(ids, mask).requires_grad
    assert not torch.equal(tokens(ids, mask), tokens(ids, mask))
    tokens(ids, mask).square().sum().backward()
    assert all(p.grad is None and not p.requires_grad for p in tokens.base.parameters())
    assert all(p.grad is not None for p in tokens.layers.parameters())
    tokens.eval()
    assert torch.equal(tokens(ids, mask), tokens(ids, mask))


def test_a_new_encoder_has_no_dropout_in_its_frozen_part() -> None:
    """Even where the network came in training mode and nobody called train()."""
    tokens = TransformerTokens(tiny_transformer("bert").train(), 0)
    assert torch.equal(tokens(*tokens_and_mask()), tokens(*tokens_and_mask()))


def test_everything_trains_where_all_is_asked_for() -> None:
    tokens = TransformerTokens(tiny_transformer("bert"), "all").train()
    ids, mask = tokens_and_mask()
    assert not torch.equal(tokens(ids, mask), tokens(ids, mask))
    tokens(ids, mask).square().sum().backward()
    without = {n for n, p in tokens.named_parameters() if p.grad is None}
    assert not without
    assert not any("pooler" in name for name, _ in tokens.named_parameters())


def test_dropout_of_the_trainable_layers_can_be_replaced() -> None:
    ids, mask = tokens_and_mask()
    none = TransformerTokens(tiny_transformer("bert"), 2, dropout=0.0).train()
    assert torch.equal(none(ids, mask), none(ids, mask))
    much = TransformerTokens(tiny_transformer("bert"), 2, dropout=0.7).train()
    drops = [m.p for m in much.layers.modules() if isinstance(m, torch.nn.Dropout)]
    assert set(drops) == {0.7}


def test_more_layers_than_there_are() -> None:
    message = r"^model\.text\.trainable_layers: 4 asked for, but the encoder has 3 layers; give"
    with pytest.raises(ConfigError, match=message):
        TransformerTokens(tiny_transformer("bert"), 4)


@pytest.mark.parametrize("kind", ["mpnet", "albert", "roformer", "deberta-v2"])
def test_layers_that_need_more_than_states_and_mask_are_refused(kind: str) -> None:
    """MPNet hands each layer a position bias, RoFormer rotations: without them, other numbers."""
    with pytest.raises(ConfigError, match=r"cannot be run apart from it; give 0 \(frozen\)"):
        TransformerTokens(tiny_transformer(kind), 1)
    model = tiny_transformer(kind)
    ids, mask = tokens_and_mask()
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    assert torch.equal(TransformerTokens(model, 0).eval()(ids, mask), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_config_rebuilds_the_architecture(kind: str) -> None:
    model = tiny_transformer(kind)
    original = TransformerTokens(model, 1).eval()
    rebuilt = TransformerTokens(build_transformer(model.config.to_dict()), 1).eval()
    rebuilt.load_state_dict(original.state_dict())
    assert torch.equal(rebuilt(*tokens_and_mask()), original(*tokens_and_mask()))


def test_what_cannot_be_loaded_is_named(saved: dict[str, Path], tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "config.json").write_bytes((saved["bert"] / "config.json").read_bytes())
    for name in (tmp_path / "none", tmp_path, cut):
        with pytest.raises(ConfigError, match=r"^model\.text\.encoder: '.*cannot be loaded"):
            load_transformer(str(name))
    weights = (saved["bert"] / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ConfigError, match=r"^model\.text\.encoder: '.*cannot be loaded"):
        load_transformer(str(cut))


def test_weights_hash(saved: dict[str, Path], tmp_path: Path) -> None:
    weights = (saved["bert"] / "model.safetensors").read_bytes()
    assert weights_hash(str(saved["bert"])) == hashlib.sha256(weights).hexdigest()
    assert weights_hash(str(saved["bert"])) != weights_hash(str(saved["roberta"]))
    assert weights_hash("bert-base-uncased") is None
    assert weights_hash(str(tmp_path)) is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_upper_layers_and_gru_in_autocast(dtype: torch.dtype) -> None:
    ids, mask = tokens_and_mask()
    for tokens in (TransformerTokens(tiny_transformer("bert"), 2), BiGRUTokens(VOCABULARY, 8, 6)):
        tokens.eval()
        expected = tokens(ids, mask)[mask]
        with torch.autocast("cpu", dtype=dtype):
            low = tokens(ids, mask)[mask].float()
        torch.testing.assert_close(low, expected, atol=0.1, rtol=0.1)


def test_bigru_equals_a_plain_loop() -> None:
    torch.manual_seed(0)
    tokens = BiGRUTokens(VOCABULARY, width=5, word_width=4)
    ids, mask = tokens_and_mask()
    got = tokens(ids, mask).detach().numpy()
    vectors = tokens.embedding.weight.detach().double().numpy()
    for row, length in enumerate(mask.sum(dim=1).tolist()):
        words = vectors[ids[row, :length].numpy()]
        forward = plain_gru(words, tokens.gru, "")
        backward = plain_gru(words[::-1], tokens.gru, "_reverse")[::-1]
        np.testing.assert_allclose(got[row, :length], (forward + backward) / 2, atol=1e-6)
        assert not got[row, length:].any()


def test_bigru_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    tokens = BiGRUTokens(VOCABULARY, width=5, word_width=4)
    ids, mask = tokens_and_mask()
    garbage = torch.where(mask, ids, 9)
    assert torch.equal(tokens(garbage, mask), tokens(ids, mask))
    wide = torch.nn.functional.pad(ids, (0, 3), value=7)
    wide_mask = torch.nn.functional.pad(mask, (0, 3), value=False)
    torch.testing.assert_close(tokens(wide, wide_mask)[:, :7], tokens(ids, mask))


def test_the_packaged_minilm() -> None:
    captions = ["A dog runs.", "Two children in yellow coats jump into a puddle of water", ""]
    ids, mask = CaptionTokenizer.pretrained(MINILM, 64)(captions).padded(np.arange(3))
    model = load_transformer(MINILM)
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        tokens = TransformerTokens(model, 2).eval()
        torch.testing.assert_close(tokens(ids, mask)[mask], expected[mask], atol=1e-5, rtol=1e-5)
    assert tokens.width == 384
    assert len(tokens.layers) == 2
    assert expected.shape == (3, 13, 384)
    weights = Path(pretrained_path(MINILM)) / "model.safetensors"
    assert weights_hash(MINILM) == hashlib.sha256(weights.read_bytes()).hexdigest()
