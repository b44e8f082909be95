"""Tokenizers from lists of words, of models that were published without `tokenizer.json`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tokenizers import (
    BertWordPieceTokenizer,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from user_itr.files import parse_json

_START, _END = "<|startoftext|>", "<|endoftext|>"
_PARTS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def word_files(pad_token: str) -> tuple[str, ...]:
    """The files of a family's words, by the token that it pads with; none where it has no such."""
    return {"[PAD]": ("vocab.txt",), _END: ("vocab.json", "merges.txt")}.get(pad_token, ())


def read_words(folder: Path, pad_token: str, settings: dict[str, Any]) -> Tokenizer:
    """The tokenizer that transformers makes of the words in `word_files`.

    Args:
        folder: of the model.
        pad_token: tells the family.
        settings: of `tokenizer_config.json`.

    Raises:
        Exception: of any kind, if a file is damaged.
    """
    return _bert(folder, settings) if pad_token == "[PAD]" else _clip(folder)  # nosec B105


def _bert(folder: Path, settings: dict[str, Any]) -> Tokenizer:
    made = BertWordPieceTokenizer(
        str(folder / "vocab.txt"),
        lowercase=settings.get("do_lower_case", True),
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
    )
    return Tokenizer.from_str(made.to_str())


def _clip(folder: Path) -> Tokenizer:
    words = parse_json((folder / "vocab.json").read_bytes())
    lines = (folder / "merges.txt").read_text("utf-8").split("\n")
    merges = [tuple(line.split()) for line in lines if line and not line.startswith("#version")]
    return clip_tokenizer(words, merges)


def clip_tokenizer(
    words: dict[str, int], merges: list[Any], start: str = _START, end: str = _END
) -> Tokenizer:
    """CLIP's byte pairs.

    Args:
        words: to token ids.
        merges: pairs of parts of words, the first to be merged first.
        start: token before a text.
        end: token after it, and in place of what is not known.
    """
    parts = f"{re.escape(start)}|{re.escape(end)}|{_PARTS}"
    tokenizer = Tokenizer(
        models.BPE(
            vocab=words,
            merges=merges,
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
            fuse_unk=False,
            unk_token=end,
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(parts), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([start, end])
    tokenizer.post_processor = processors.RobertaProcessing(
        (end, words[end]), (start, words[start]), trim_offsets=False, add_prefix_space=False
    )
    return tokenizer
