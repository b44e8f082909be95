"""Texts to what a published text encoder reads, exactly as its family's tokenizer makes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, normalizers

from user_itr.errors import CheckpointError
from user_itr.model.tokenizer import CaptionTokenizer, TokenizedCaptions
from user_itr.runtime.dual_encoders.families import Family
from user_itr.runtime.dual_encoders.json_files import read_object
from user_itr.runtime.dual_encoders.layout import Architecture
from user_itr.runtime.dual_encoders.open_clip_text import CLEANINGS, Cleaning, clean
from user_itr.runtime.dual_encoders.word_files import read_words, word_files

TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILE = "tokenizer_config.json"
SPECIAL_FILE = "special_tokens_map.json"

_PAD_LEFT = ("GemmaTokenizer", "Siglip2Tokenizer")
"""Of transformers, where the settings do not say."""


@dataclass(frozen=True)
class TextProcessor:
    """A tokenizer, and how its tokens are padded.

    Args:
        files: it was read from.
        tokenizer: cut at what the text encoder reads.
        pad_id: at the padding.
        pad_left: whether the padding stands before the text.
        length: to pad to; None for the longest of the batch.
        masks: whether the padding is told to the text encoder.
        cleaning: of open_clip, before the tokenizer.
    """

    files: tuple[Path, ...]
    tokenizer: CaptionTokenizer
    pad_id: int
    pad_left: bool
    length: int | None
    masks: bool
    cleaning: Cleaning | None = None

    def tokens(self, captions: Sequence[str]) -> TokenizedCaptions:
        """Token ids of texts."""
        if self.cleaning is not None:
            captions = [clean(caption, self.cleaning) for caption in captions]
        return self.tokenizer(captions)

    def inputs(
        self, tokens: TokenizedCaptions, rows: np.ndarray, length: int | None = None
    ) -> dict[str, np.ndarray]:
        """Token ids, mask and types of some texts, (B, L) int64 each, by transformers' names.

        Args:
            tokens: of all texts.
            rows: which.
            length: L that the encoder insists on.
        """
        lengths = tokens.lengths[rows]
        wide = length or self.length or int(lengths.max(initial=1))
        ids = np.full((len(rows), wide), self.pad_id, np.int64)
        mask = np.zeros((len(rows), wide), np.int64)
        for place, row in enumerate(rows):
            start, count = tokens.offsets[row], min(int(lengths[place]), wide)
            at = slice(wide - count, wide) if self.pad_left else slice(0, count)
            ids[place, at] = tokens.ids[start : start + count]
            mask[place, at] = 1
        return {
            "input_ids": ids,
            "attention_mask": mask if self.masks else np.ones_like(mask),
            "token_type_ids": np.zeros_like(ids),
        }

    def unread(self, words: Sequence[str]) -> list[str]:
        """Those of some words that the tokenizer has no tokens for, or tokens for bytes alone."""
        if not words:
            return []
        tokens = self.tokenizer(words)
        found = []
        for word, start, end in zip(words, tokens.offsets, tokens.offsets[1:], strict=False):
            ids = tokens.ids[start:end][tokens.words[start:end] >= 0]
            # Some tokenizers have a token for the beginning of a word.
            if len(ids) > len(word) + 1 or self.tokenizer.unknown_id in ids.tolist():
                found.append(word)
        return found


def read_text_processor(folder: Path, architecture: Architecture) -> TextProcessor:
    """The tokenizer in a model's folder.

    Raises:
        CheckpointError: if a file is missing or damaged, or the tokenizer has no token to pad with.
    """
    settings = read_object(folder / SETTINGS_FILE, needed=False)
    files, tokenizer = _read_tokenizer(folder, settings, architecture.family)
    kind = str(settings.get("tokenizer_class", "")).removesuffix("Fast")
    if kind == "Siglip2Tokenizer":  # which adds this when it is loaded
        own = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
    family = architecture.family
    longest = settings.get("model_max_length")
    limit = architecture.positions
    if isinstance(longest, int) and 0 < longest < limit:
        limit = longest
    names = settings.get("model_input_names")
    pad_id = _pad_id(tokenizer, folder, settings, family.pad_token)
    sees_padding = family.end_token is not None and pad_id != tokenizer.token_to_id(
        family.end_token
    )
    tokens = CaptionTokenizer(tokenizer, limit)
    with _damage(files[0]):
        tokens(["a dog", ""])
    return TextProcessor(
        files=files,
        tokenizer=tokens,
        pad_id=pad_id,
        pad_left=settings.get("padding_side", "left" if kind in _PAD_LEFT else "right") == "left",
        length=limit if family.padded_to_positions or sees_padding else None,
        masks=family.needs_mask or not isinstance(names, list) or "attention_mask" in names,
        cleaning=next((one for one in CLEANINGS if settings.get("cleaning") == one), None),
    )


def _read_tokenizer(
    folder: Path, settings: dict[str, Any], family: Family
) -> tuple[tuple[Path, ...], Tokenizer]:
    """The files of a tokenizer, and what they hold."""
    file = folder / TOKENIZER_FILE
    if file.is_file():
        with _damage(file):
            return (file,), Tokenizer.from_file(str(file))
    words = tuple(folder / name for name in word_files(family.pad_token))
    if not words or not all(one.is_file() for one in words):
        raise CheckpointError(
            f"{file}: is missing; load the tokenizer with transformers and write it again with "
            "`save_pretrained`."
        )
    with _damage(words[0]):
        return words, read_words(folder, family.pad_token, settings)


@contextmanager
def _damage(file: Path) -> Iterator[None]:
    try:
        yield
    except CheckpointError:
        raise
    except BaseException as error:  # plain Exception, and a panic in the package's Rust code
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise CheckpointError(f"{file}: is no tokenizer ({error}); copy it again.") from None


def _pad_id(tokenizer: Tokenizer, folder: Path, settings: dict[str, Any], default: str) -> int:
    special = read_object(folder / SPECIAL_FILE, needed=False)
    for token in (settings.get("pad_token"), special.get("pad_token"), default):
        if isinstance(token, dict):
            token = token.get("content")
        found = tokenizer.token_to_id(token) if isinstance(token, str) else None
        if found is not None:
            return int(found)
    raise CheckpointError(
        f"{folder / SETTINGS_FILE}: names no pad_token that {TOKENIZER_FILE} has; copy the model's "
        "folder whole."
    )
