from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from user_itr.errors import ConfigError
from user_itr.model.pretrained_text import MINILM, pretrained_path
from user_itr.model.tokenizer import CaptionTokenizer, TokenizedCaptions

CLS, SEP, MASK, UNK = 101, 102, 103, 100
CAPTIONS = [
    "A snowboarder jumps!",
    "",
    "   ",
    "🐕🏽‍🦺 runs",
    "Zwei Hunde spielen",
    "caf\u00e9 \u5c71 \u0000x",
    "dog " * 12_500,
]


@pytest.fixture(scope="module")
def minilm() -> CaptionTokenizer:
    return CaptionTokenizer.pretrained(MINILM, 16)


def ids_of(captions: TokenizedCaptions, row: int) -> list[int]:
    return captions.ids[captions.offsets[row] : captions.offsets[row + 1]].tolist()


def words_of(captions: TokenizedCaptions, row: int) -> list[int]:
    return captions.words[captions.offsets[row] : captions.offsets[row + 1]].tolist()


def test_pretrained_gives_transformers_ids(minilm: CaptionTokenizer) -> None:
    reference = AutoTokenizer.from_pretrained(pretrained_path(MINILM))
    expected = reference(CAPTIONS, truncation=True, max_length=16)["input_ids"]
    got = minilm(CAPTIONS)
    assert [ids_of(got, row) for row in range(len(CAPTIONS))] == expected
    assert got.lengths.tolist() == [len(e) for e in expected]
    assert len(got) == len(CAPTIONS)
    assert minilm.vocabulary_size == len(reference) == 30522
    assert minilm.mask_id == MASK


def test_words_number_the_tokens(minilm: CaptionTokenizer) -> None:
    got = minilm(["A snowboarder jumps!"])  # snow ##board ##er
    assert words_of(got, 0) == [-1, 0, 1, 1, 1, 2, 3, -1]


def test_truncation_keeps_the_closing_token(minilm: CaptionTokenizer) -> None:
    assert len(CAPTIONS[-1]) == 50_000
    got = minilm([CAPTIONS[-1], "a dog"])
    assert got.lengths.tolist() == [16, 4]
    assert ids_of(got, 0)[0] == CLS
    assert ids_of(got, 0)[-1] == SEP
    assert words_of(got, 0) == [-1, *range(14), -1]


def test_an_empty_caption_has_its_special_tokens(minilm: CaptionTokenizer) -> None:
    assert ids_of(minilm([""]), 0) == [CLS, SEP]
    assert words_of(minilm([""]), 0) == [-1, -1]
    assert len(minilm([])) == 0


def test_json_round_trip(minilm: CaptionTokenizer) -> None:
    words = CaptionTokenizer.from_words(["a dog", "a cat"], 8, 1)
    for tokenizer in (minilm, words):
        again = CaptionTokenizer.from_json(tokenizer.to_json(), tokenizer.max_tokens)
        got, expected = again(CAPTIONS), tokenizer(CAPTIONS)
        for field in ("ids", "words", "offsets"):
            assert np.array_equal(getattr(got, field), getattr(expected, field))
        assert again.vocabulary_size == tokenizer.vocabulary_size
        assert again.mask_id == tokenizer.mask_id
        assert again.to_json() == tokenizer.to_json()
    shorter = CaptionTokenizer.from_json(words.to_json(), 4)
    assert int(shorter(CAPTIONS).lengths.max()) == 4


def test_a_word_vocabulary() -> None:
    captions = ["A dog, a dog!", "a cat; dog", "the Café", "dog dog"]
    tokenizer = CaptionTokenizer.from_words(captions, max_tokens=6, min_count=2)
    # [PAD] [UNK] [CLS] [SEP], then dog (5 times) and a (3 times)
    assert tokenizer.vocabulary_size == 6
    got = tokenizer(["Dog a cat", "", "a a a a a a a", "DOG!"])
    assert ids_of(got, 0) == [2, 4, 5, 1, 3]
    assert ids_of(got, 1) == [2, 3]
    assert ids_of(got, 2) == [2, 5, 5, 5, 5, 3]
    assert ids_of(got, 3) == [2, 4, 1, 3]
    assert words_of(got, 3) == [-1, 0, 1, -1]
    assert tokenizer.mask_id == 1
    accents = CaptionTokenizer.from_words(captions, 6, 1)
    assert ids_of(accents(["cafe"]), 0) == ids_of(accents(["CAFÉ"]), 0) != [2, 1, 3]


def test_a_vocabulary_of_nothing() -> None:
    tokenizer = CaptionTokenizer.from_words(["", "once"], max_tokens=6, min_count=2)
    assert tokenizer.vocabulary_size == 4
    assert ids_of(tokenizer(["once"]), 0) == [2, 1, 3]


def test_more_tokens_than_the_encoder_reads() -> None:
    message = r"^model\.text\.max_tokens: 513 is more than the 512 tokens that 'minilm' reads"
    with pytest.raises(ConfigError, match=message):
        CaptionTokenizer.pretrained(MINILM, 513)
    longest = CaptionTokenizer.pretrained(MINILM, 512)
    assert longest([CAPTIONS[-1]]).lengths.tolist() == [512]


def test_no_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^model\.text\.encoder: no fast tokenizer for"):
        CaptionTokenizer.pretrained(str(tmp_path), 16)
    missing = r"^model\.text\.encoder: '.*/none' cannot be loaded \(there is no such folder here"
    with pytest.raises(ConfigError, match=missing):
        CaptionTokenizer.pretrained(str(tmp_path / "none"), 16)


@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_positions_and_padding_against_loops(lengths: list[int], data: st.DataObject) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.arange(100, 100 + offsets[-1], dtype=np.int64)
    captions = TokenizedCaptions(ids, ids - 100, offsets)
    some = st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=8)
    rows = np.array(data.draw(some))
    positions, mask = captions.positions(rows)
    padded, padded_mask = captions.padded(rows)
    longest = max(lengths[row] for row in rows)
    assert positions.shape == mask.shape == tuple(padded.shape) == (len(rows), longest)
    assert padded_mask.numpy().tolist() == mask.tolist()
    for i, row in enumerate(rows):
        for j in range(longest):
            real = j < lengths[row]
            assert mask[i, j] == real
            assert positions[i, j] == (offsets[row] + j if real else 0)
            assert padded[i, j] == (ids[offsets[row] + j] if real else 0)


def test_captions_that_nobody_cuts() -> None:
    whole = CaptionTokenizer.pretrained(MINILM, None)
    long = " ".join(["dog"] * 300)
    for tokenizer in (whole, CaptionTokenizer.from_json(whole.to_json(), None)):
        assert tokenizer([long]).lengths.tolist() == [302]
        assert tokenizer([long + " " + long]).lengths.tolist() == [512]  # what BERT reads
    words = CaptionTokenizer.from_words([long], None, 1)
    for tokenizer in (words, CaptionTokenizer.from_json(words.to_json(), None)):
        assert tokenizer([long + " " + long]).lengths.tolist() == [602]


@given(st.lists(st.lists(st.integers(0, 2), max_size=3), max_size=12))
def test_distinct_texts_equal_a_plain_search(captions: list[list[int]]) -> None:
    tokenized = TokenizedCaptions(
        np.array([number for one in captions for number in one], dtype=np.int64),
        np.zeros(sum(map(len, captions)), dtype=np.int64),
        np.cumsum([0, *map(len, captions)], dtype=np.int64),
    )
    first, text = tokenized.distinct()
    firsts = [captions.index(one) for one in captions]
    assert first.tolist() == sorted(set(firsts))
    assert first[text].tolist() == firsts


@given(
    lengths=st.lists(st.integers(1, 9), max_size=30),
    size=st.integers(1, 7),
    most=st.none() | st.integers(1, 40),
    data=st.data(),
)
def test_batches_of_like_length(
    lengths: list[int], size: int, most: int | None, data: st.DataObject
) -> None:
    captions = TokenizedCaptions(
        np.zeros(sum(lengths), np.int64),
        np.zeros(sum(lengths), np.int64),
        np.cumsum([0, *lengths], dtype=np.int64),
    )
    rows = np.array(data.draw(st.permutations(range(len(lengths)))), dtype=np.int64)
    rows = rows[: len(rows) // 2 + 1]
    batches = captions.batches(rows, size, most)
    assert sorted(row for batch in batches for row in batch) == sorted(rows)
    flat = [lengths[row] for batch in batches for row in batch]
    assert flat == sorted(flat)
    for batch, after in zip(batches, [*batches[1:], None], strict=False):
        longest = lengths[batch[-1]]
        assert 1 <= len(batch) <= size
        if most is not None and len(batch) > 1:
            assert len(batch) * longest <= most
        if after is not None:  # one more would have been too many
            more = (len(batch) + 1) * lengths[after[0]]
            assert len(batch) == size or (most is not None and more > most)
