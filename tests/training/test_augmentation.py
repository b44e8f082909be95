from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from user_itr.model.tokenizer import TokenizedCaptions
from user_itr.training.augmentation import augment_words

MASK_ID, VOCABULARY = 3, 1000
CLS, SEP = 1, 2


def tokenized(captions: list[list[int]]) -> TokenizedCaptions:
    """Captions given as the number of tokens of each word; token ids tell caption and place."""
    ids: list[int] = []
    words: list[int] = []
    offsets = [0]
    for caption in captions:
        inner = [word for word, pieces in enumerate(caption) for _ in range(pieces)]
        first = 2000 + 100 * len(offsets)  # above VOCABULARY, so that a random id shows
        ids += [CLS, *range(first, first + len(inner)), SEP]
        words += [-1, *inner, -1]
        offsets.append(len(ids))
    return TokenizedCaptions(*(np.array(x, dtype=np.int64) for x in (ids, words, offsets)))


def augment(
    captions: TokenizedCaptions,
    rows: np.ndarray,
    probability: float,
    seed: int = 0,
    drop_only: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return augment_words(captions, rows, probability, MASK_ID, VOCABULARY, rng, drop_only=drop_only)


caption_lists = st.lists(st.lists(st.integers(1, 3), max_size=7), min_size=1, max_size=6)


@given(caption_lists, st.sampled_from([0.2, 0.6, 0.95]), st.integers(0, 1000), st.booleans())
@settings(max_examples=150, deadline=None)
def test_what_every_augmented_caption_keeps(
    shapes: list[list[int]], probability: float, seed: int, drop_only: bool
) -> None:
    captions = tokenized(shapes)
    rows = np.random.default_rng(seed).integers(0, len(shapes), 5)
    positions, ids, mask = augment(captions, rows, probability, seed, drop_only)
    assert positions.shape == ids.shape == mask.shape
    assert mask.shape[1] == mask.sum(axis=1).max()
    for row, caption in enumerate(rows):
        length = int(mask[row].sum())
        assert mask[row].tolist() == [True] * length + [False] * (mask.shape[1] - length)
        assert not positions[row, length:].any()
        assert not ids[row, length:].any()
        kept = positions[row, :length]
        start, end = captions.offsets[caption], captions.offsets[caption + 1]
        assert np.all(np.diff(kept) > 0)  # the caption's own tokens in their order
        assert kept[0] == start
        assert kept[-1] == end - 1
        assert ids[row, 0] == CLS
        assert ids[row, length - 1] == SEP
        assert len(set(captions.words[kept]) - {-1}) >= min(1, len(shapes[caption]))
        for word, pieces in enumerate(shapes[caption]):
            where = kept[captions.words[kept] == word]
            assert len(where) in (0, pieces)  # a whole word, or none of it
            after = ids[row, :length][captions.words[kept] == word]
            fates = {
                "masked" if i == MASK_ID else "replaced" if i < VOCABULARY else "same"
                for i in after
            } - ({"replaced"} if MASK_ID in after else set())
            assert len(fates) == (1 if len(where) else 0)
            if fates == {"same"}:
                assert np.array_equal(after, captions.ids[where])
            if drop_only:
                assert fates <= {"same"}


def test_probability_zero_is_the_identity() -> None:
    captions = tokenized([[1, 2], [], [3, 1, 1]])
    rows = np.array([2, 0, 1, 2])
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    positions, ids, mask = augment_words(captions, rows, 0.0, MASK_ID, VOCABULARY, rng)
    padded, padded_mask = captions.padded(rows)
    assert np.array_equal(ids, padded.numpy())
    assert np.array_equal(mask, padded_mask.numpy())
    assert np.array_equal(positions, captions.positions(rows)[0])
    assert rng.bit_generator.state == state


@pytest.mark.parametrize("probability", [0.2, 0.7])
def test_frequencies(probability: float) -> None:
    """20,000 words: masked, replaced, dropped as the paper's half, tenth and rest."""
    words, count = 20, 1000
    captions = tokenized([[1] * words] * count)
    positions, ids, mask = augment(captions, np.arange(count), probability)
    total = words * count
    changed = ids[mask & (captions.words[positions] >= 0)]
    masked = int((changed == MASK_ID).sum())
    replaced = int(((changed < VOCABULARY) & (changed != MASK_ID)).sum())
    dropped = total - len(changed)
    for found, share in ((masked, 0.5), (replaced, 0.1), (dropped, 0.4)):
        expected = probability * share
        assert abs(found / total - expected) < 4 * np.sqrt(expected * (1 - expected) / total)
    random_ids = changed[changed < VOCABULARY]
    random_ids = random_ids[random_ids != MASK_ID]
    assert abs(random_ids.mean() - VOCABULARY / 2) < 4 * VOCABULARY / np.sqrt(12 * len(random_ids))
    by_word = np.bincount(captions.words[positions][mask & (captions.words[positions] >= 0)])
    spread = np.sqrt(count * 0.4 * probability * (1 - 0.4 * probability))
    assert np.abs(by_word - count * (1 - 0.4 * probability)).max() < 4.5 * spread


def test_drop_only_drops_every_chosen_word() -> None:
    words, count, probability = 20, 500, 0.3
    captions = tokenized([[1] * words] * count)
    positions, ids, mask = augment(captions, np.arange(count), probability, drop_only=True)
    assert np.array_equal(ids[mask], captions.ids[positions[mask]])
    dropped = 1 - (mask.sum() - 2 * count) / (words * count)
    spread = np.sqrt(probability * (1 - probability) / (words * count))
    assert abs(dropped - probability) < 4 * spread


@pytest.mark.parametrize("drop_only", [False, True])
def test_a_caption_that_would_lose_everything_keeps_its_words(drop_only: bool) -> None:
    captions = tokenized([[1], [1, 1], []])
    rows = np.tile([0, 1, 2], 300)
    positions, ids, mask = augment(captions, rows, 1 - 1e-9, drop_only=drop_only)
    lengths = mask.sum(axis=1)
    assert set(lengths[rows == 0]) == {3}
    assert set(lengths[rows == 2]) == {2}
    if drop_only:
        assert set(lengths[rows == 1]) == {4}
        assert np.array_equal(ids[mask], captions.ids[positions[mask]])
    else:
        assert set(lengths[rows == 1]) == {3, 4}
        fates = {"masked" if i == MASK_ID else "kept" for i in ids[rows == 0, 1]}
        assert fates == {"masked", "kept"}


def test_the_generator_decides_everything() -> None:
    captions = tokenized([[1, 2, 1, 3]] * 8)
    rows = np.arange(8)
    first, second = augment(captions, rows, 0.5, seed=4), augment(captions, rows, 0.5, seed=4)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    other = augment(captions, rows, 0.5, seed=5)
    assert first[1].shape != other[1].shape or not np.array_equal(first[1], other[1])
