"""Caption augmentation of training, per word: masked, replaced or dropped."""

from __future__ import annotations

import numpy as np

from user_itr.model.tokenizer import TokenizedCaptions

MASKED, REPLACED = 0.5, 0.1
"""Shares of the chosen words that become [MASK] and a random token; the rest are dropped."""


def augment_words(
    captions: TokenizedCaptions,
    rows: np.ndarray,
    probability: float,
    mask_id: int,
    vocabulary: int,
    rng: np.random.Generator,
    *,
    drop_only: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose words with `probability` and change them; special tokens stay.

    All tokens of a chosen word are changed alike, as in VSE-infinity and USER: half of the chosen
    words become [MASK] (each of their tokens), a tenth random tokens, the rest are dropped. A
    caption that would lose all its words keeps them.

    Args:
        captions: all tokenized captions.
        rows: (B,) int64, the captions to use.
        probability: per word.
        mask_id: id of [MASK].
        vocabulary: random tokens are drawn from [0, vocabulary).
        rng: source of randomness.
        drop_only: drop every chosen word, for cached states, whose tokens cannot be changed.

    Returns:
        positions (B, L) int64 into `captions.ids`, ids (B, L) int64 after the change, and mask
        (B, L) bool; kept tokens stand at the front, the padding is position 0 and id 0.
    """
    positions, mask = captions.positions(rows)
    ids = np.where(mask, captions.ids[positions], 0)
    if probability <= 0:
        return positions, ids, mask
    words = np.where(mask, captions.words[positions], -1)
    count = int(words.max()) + 1
    if count <= 0:
        return positions, ids, mask
    is_word = words >= 0
    chosen = _per_word(rng.random((len(rows), count)) < probability, words)
    kind = _per_word(rng.random((len(rows), count)), words)
    dropped = chosen & ((kind >= MASKED + REPLACED) | drop_only)
    dropped &= (is_word & ~dropped).any(axis=1, keepdims=True)
    if not drop_only:
        ids = np.where(chosen & (kind < MASKED), mask_id, ids)
        random_ids = rng.integers(0, vocabulary, ids.shape)
        ids = np.where(chosen & (kind >= MASKED) & (kind < MASKED + REPLACED), random_ids, ids)
    kept = mask & ~dropped
    front = np.argsort(~kept, axis=1, kind="stable")[:, : max(1, int(kept.sum(axis=1).max()))]
    kept = np.take_along_axis(kept, front, axis=1)
    positions = np.where(kept, np.take_along_axis(positions, front, axis=1), 0)
    return positions, np.where(kept, np.take_along_axis(ids, front, axis=1), 0), kept


def _per_word(values: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Spread (B, W) values of words over (B, L) tokens; special tokens and padding get 0."""
    spread = np.take_along_axis(values, np.maximum(words, 0), axis=1)
    return np.where(words >= 0, spread, np.zeros((), values.dtype))
