"""Turn captions into token ids, by a pretrained encoder's tokenizer or a word vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from user_itr.errors import CheckpointError, ConfigError

if TYPE_CHECKING:  # a search needs tokens without PyTorch
    from torch import Tensor

CPU_TOKENS = 1024
"""Tokens per pass on a CPU: enough for fast matrix products, and few enough that activations stay
in its cache. Those of 256 captions of BERT-base do not (benchmarks/notes/embedding-captions.md)."""


@dataclass(frozen=True)
class TokenizedCaptions:
    """Token ids of M captions, stored end to end.

    Args:
        ids: (total,) int64.
        words: (total,) int64, number of the word a token belongs to; -1 for special tokens.
        offsets: (M + 1,) int64; caption m holds ids[offsets[m] : offsets[m + 1]].
    """

    ids: np.ndarray
    words: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """(M,) int64 tokens of each caption."""
        return np.diff(self.offsets)

    def positions(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The places of some captions: (B, L) int64 into `ids` and (B, L) bool, True where real."""
        lengths = self.lengths[rows]
        steps = np.arange(int(lengths.max()))
        mask = steps < lengths[:, None]
        return np.where(mask, self.offsets[rows][:, None] + steps, 0), mask

    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """Find the distinct texts: captions of equal token ids are one text, to be encoded once.

        Returns:
            (U,) int64, the first caption of each text, ascending; and (M,) int64, each caption's
            text among those.
        """
        numbers: dict[bytes, int] = {}
        ids, bounds = np.ascontiguousarray(self.ids), self.offsets.tolist()
        text = np.array(
            [
                numbers.setdefault(ids[start:end].tobytes(), len(numbers))
                for start, end in pairwise(bounds)
            ],
            dtype=np.int64,
        )
        return np.unique(text, return_index=True)[1].astype(np.int64), text

    def batches(
        self, rows: np.ndarray, size: int, most_tokens: int | None = None
    ) -> list[np.ndarray]:
        """Rows (R,) int64 in batches of similar length, the shortest first.

        Args:
            rows: captions.
            size: captions per batch, at most.
            most_tokens: of a batch with its padding, at most; one caption may have more.
        """
        ordered = rows[np.argsort(self.lengths[rows], kind="stable")]
        lengths = self.lengths[ordered].tolist()
        bounds = [0] if lengths else []
        for place, length in enumerate(lengths):
            count = place - bounds[-1]
            over = most_tokens is not None and (count + 1) * length > most_tokens
            if count and (count == size or over):
                bounds.append(place)
        return [ordered[start:end] for start, end in pairwise([*bounds, len(lengths)])]

    def padded(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Token ids (B, L) int64, 0 at the padding, and mask (B, L) bool of some captions."""
        import torch

        positions, mask = self.positions(rows)
        return torch.from_numpy(np.where(mask, self.ids[positions], 0)), torch.from_numpy(mask)


class CaptionTokenizer:
    """A fast tokenizer, cut at a number of tokens, that can be stored as one JSON text.

    Args:
        tokenizer: of the `tokenizers` package, with its special tokens.
        max_tokens: longer captions lose their last words, never the closing special token; None
            leaves it to the tokenizer's own limit, if it has one.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int | None) -> None:
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        if max_tokens is not None:
            self._tokenizer.enable_truncation(max_tokens)
        self.max_tokens = max_tokens

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids."""
        return int(self._tokenizer.get_vocab_size())

    @property
    def largest_id(self) -> int:
        """The largest token id; -1 without any token."""
        return max(self._tokenizer.get_vocab().values(), default=-1)

    @property
    def mask_id(self) -> int:
        """Id that stands for a hidden word: [MASK], <mask>, or the unknown token."""
        for token in ("[MASK]", "<mask>", "[UNK]", "<unk>"):
            found = self._tokenizer.token_to_id(token)
            if found is not None:
                return int(found)
        return 0

    @property
    def unknown_id(self) -> int | None:
        """Id that stands for what has no tokens; None where every text has some."""
        for token in ("[UNK]", "<unk>"):
            found = self._tokenizer.token_to_id(token)
            if found is not None:
                return int(found)
        return None

    def __call__(self, captions: Sequence[str]) -> TokenizedCaptions:
        """Tokenize M captions.

        Raises:
            CheckpointError: if the tokenizer came from a damaged file, and fails at it.
        """
        try:
            encodings = self._tokenizer.encode_batch(list(captions))
        except BaseException as error:  # a panic in the package's Rust code is not an Exception
            if type(error).__name__ != "PanicException":
                raise
            raise CheckpointError(
                f"the tokenizer is damaged ({error}); copy the checkpoint again."
            ) from None
        lengths = [len(encoding.ids) for encoding in encodings]
        return TokenizedCaptions(
            ids=np.array([i for e in encodings for i in e.ids], dtype=np.int64),
            words=np.array(
                [-1 if w is None else w for e in encodings for w in e.word_ids], dtype=np.int64
            ),
            offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        )

    def to_json(self) -> str:
        """Everything needed to rebuild the tokenizer."""
        return str(self._tokenizer.to_str())

    @classmethod
    def from_json(cls, text: str, max_tokens: int | None) -> CaptionTokenizer:
        """Rebuild a stored tokenizer.

        Raises:
            Exception: of any kind, if the text is not a tokenizer, or one that fails.
        """
        rebuilt = cls(Tokenizer.from_str(text), max_tokens)
        rebuilt(["a dog", ""])
        return rebuilt

    @classmethod
    def pretrained(cls, name: str, max_tokens: int | None) -> CaptionTokenizer:
        """The tokenizer of a transformers encoder by name or local path.

        With `max_tokens` None, captions are cut at what the encoder reads, 512 tokens for BERT.

        Raises:
            ConfigError: if it is missing, has no fast form, or the encoder reads fewer tokens.
        """
        from transformers import AutoTokenizer

        from user_itr.config.frozen import MOST
        from user_itr.model.pretrained_text import from_pretrained

        try:
            tokenizer = from_pretrained(AutoTokenizer, name)
            fast = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        except (OSError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"model.text.encoder: no fast tokenizer for {name!r} "
                f"({str(error).splitlines()[0]}); check the name or the folder."
            ) from error
        if max_tokens is None:
            fast.no_truncation()
            # transformers returns 1e30 if an encoder has no limit
            known = tokenizer.model_max_length <= MOST
            return cls(fast, tokenizer.model_max_length if known else None)
        if max_tokens > tokenizer.model_max_length:
            raise ConfigError(
                f"model.text.max_tokens: {max_tokens} is more than the "
                f"{tokenizer.model_max_length} tokens that {name!r} reads; give at most that."
            )
        return cls(fast, max_tokens)

    @classmethod
    def from_words(
        cls, captions: Sequence[str], max_tokens: int | None, min_count: int
    ) -> CaptionTokenizer:
        """A vocabulary of train captions' words: lower case, punctuation apart, ids by count."""
        tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))  # nosec B106
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordLevelTrainer(
            special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"],
            min_frequency=min_count,
            vocab_size=1_000_000,
            show_progress=False,
        )
        tokenizer.train_from_iterator(captions, trainer)
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        return cls(tokenizer, max_tokens)
