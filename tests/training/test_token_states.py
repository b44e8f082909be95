from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from user_itr.model.token_encoders import TransformerTokens
from user_itr.model.tokenizer import TokenizedCaptions
from user_itr.training.token_states import BATCH_TOKENS, cached_token_states


def encoder(trainable_layers: int = 1, seed: int = 0) -> TransformerTokens:
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=50,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
    )
    return TransformerTokens(BertModel(config), trainable_layers)


def tokenized(lengths: list[int], seed: int = 0) -> TokenizedCaptions:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.random.default_rng(seed).integers(1, 50, offsets[-1])
    return TokenizedCaptions(ids, np.zeros_like(ids), offsets)


LENGTHS = [4, 9, 2, 7, 2, 30, 5]


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("trainable_layers", [0, 1, 2])
def test_states_are_those_of_each_caption_alone(tmp_path: Path, trainable_layers: int) -> None:
    tokens, captions = encoder(trainable_layers), tokenized(LENGTHS)
    tokens.train()
    states = cached_token_states(tokens, captions, tmp_path / "new")
    assert tokens.training
    assert states.dtype == np.float16
    assert states.shape == (len(captions.ids), 8)
    assert isinstance(states, np.memmap)
    for row in range(len(captions)):
        start, end = captions.offsets[row], captions.offsets[row + 1]
        ids = torch.from_numpy(captions.ids[start:end]).unsqueeze(0)
        alone = tokens.lower(ids, torch.ones_like(ids, dtype=torch.bool))[0].numpy()
        np.testing.assert_allclose(states[start:end], alone, atol=2e-3, rtol=1e-3)


def test_a_second_call_reads_the_file(tmp_path: Path) -> None:
    tokens, captions = encoder(), tokenized(LENGTHS)
    told: list[tuple[int, int]] = []
    first = cached_token_states(tokens, captions, tmp_path, lambda *p: told.append(p))
    assert told[-1] == (len(LENGTHS), len(LENGTHS))
    (file,) = files(tmp_path)
    marked = np.load(file)
    marked[0] = 7
    np.save(file, marked)
    told.clear()
    second = cached_token_states(encoder(), tokenized(LENGTHS), tmp_path, lambda *p: told.append(p))
    assert told == []
    assert second[0].tolist() == [7] * 8
    assert np.array_equal(second[1:], first[1:])


def test_anything_else_makes_another_file(tmp_path: Path) -> None:
    base = tokenized(LENGTHS)
    moved = TokenizedCaptions(base.ids, base.words, tokenized([*LENGTHS[1:], 4]).offsets)
    calls = [
        (encoder(), base),
        (encoder(seed=1), base),
        (encoder(0), base),
        (encoder(2), base),
        (encoder(), tokenized(LENGTHS, seed=1)),
        (encoder(), moved),
    ]
    for number, (tokens, captions) in enumerate(calls, start=1):
        cached_token_states(tokens, captions, tmp_path)
        assert len(files(tmp_path)) == number
    trained = encoder()
    with torch.no_grad():
        next(trained.layers.parameters()).add_(1)
    cached_token_states(trained, base, tmp_path)  # the upper layers have no part in it
    assert len(files(tmp_path)) == len(calls)


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_token_states(encoder(), tokenized(LENGTHS), tmp_path, interrupt)
    assert files(tmp_path) == []
    assert len(cached_token_states(encoder(), tokenized(LENGTHS), tmp_path)) == sum(LENGTHS)


@pytest.mark.parametrize("left", [0, 60, 300])
def test_a_damaged_file_is_made_again(tmp_path: Path, left: int) -> None:
    expected = np.array(cached_token_states(encoder(), tokenized(LENGTHS), tmp_path))
    (file,) = files(tmp_path)
    file.write_bytes(file.read_bytes()[:left])
    again = cached_token_states(encoder(), tokenized(LENGTHS), tmp_path)
    assert np.array_equal(again, expected)
    assert files(tmp_path) == [file]


def test_no_pass_is_larger_than_it_should_be(tmp_path: Path) -> None:
    """Many short captions and a few long ones: the short ones do not set the size of the pass."""
    tokens = encoder(0)
    sizes = []
    tokens.base.register_forward_pre_hook(
        lambda module, args, kwargs: sizes.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    lengths = [2] * 900 + [100] * 200
    cached_token_states(tokens, tokenized(lengths), tmp_path)
    assert max(sizes) <= BATCH_TOKENS
    assert len(sizes) == 11
