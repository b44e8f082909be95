"""Small random models in the folders of sentence-transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import sentence_transformers
import torch
import transformers
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tiny_dual_encoders import WORDS
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

LONGEST = 40


def save_texts(folder: Path, width: int, pooling: str = "mean", **dense: Any) -> Path:
    """A text encoder as clip-ViT-B-32-multilingual-v1 has it: DistilBERT, pooling, dense."""
    torch.manual_seed(5)
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer = normalizers.BertNormalizer(lowercase=False)
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trained.train_from_iterator(
        WORDS,
        trainers.WordPieceTrainer(vocab_size=300, special_tokens=specials, show_progress=False),
    )
    words = transformers.BertTokenizer(trained.get_vocab(), do_lower_case=False)
    config = transformers.DistilBertConfig(
        vocab_size=len(words), dim=16, hidden_dim=24, n_layers=1, n_heads=2
    )
    plain = folder.with_name(f"{folder.name}-encoder")
    words.save_pretrained(plain)
    transformers.DistilBertModel(config).eval().save_pretrained(plain)
    options = {"bias": False, "activation_function": torch.nn.Identity(), **dense}
    parts = [
        Transformer(str(plain), max_seq_length=LONGEST),
        Pooling(16, pooling),
        Dense(16, width, **options),
    ]
    sentence_transformers.SentenceTransformer(modules=parts).save(str(folder))
    shutil.rmtree(plain)
    _as_published(folder, pooling)
    return folder


def _as_published(folder: Path, pooling: str) -> None:
    """The files as the releases wrote them that published such models."""
    file = folder / "modules.json"
    parts = json.loads(file.read_text("utf-8"))
    for part in parts:
        part["type"] = f"sentence_transformers.models.{part['type'].rpartition('.')[2]}"
    file.write_text(json.dumps(parts), "utf-8")
    length = {"max_seq_length": LONGEST, "do_lower_case": False}
    (folder / "sentence_bert_config.json").write_text(json.dumps(length), "utf-8")
    modes = {"mean_tokens": "mean", "cls_token": "cls", "max_tokens": "max"}
    old = {f"pooling_mode_{name}": mode == pooling for name, mode in modes.items()}
    old["word_embedding_dimension"] = 16
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(old), "utf-8")


def save_images(checkpoint: Path, folder: Path) -> Path:
    """A CLIP as clip-ViT-B-32 has it: in a folder of its own, words without tokenizer.json."""
    inner = folder / "0_CLIPModel"
    shutil.copytree(checkpoint, inner)
    model = json.loads((inner / "tokenizer.json").read_text("utf-8"))["model"]
    (inner / "tokenizer.json").unlink()
    (inner / "vocab.json").write_text(json.dumps(model["vocab"]), "utf-8")
    merges = [" ".join(pair) for pair in model["merges"]]
    (inner / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), "utf-8")
    part = {
        "idx": 0,
        "name": "0",
        "path": "0_CLIPModel",
        "type": "sentence_transformers.models.CLIPModel",
    }
    (folder / "modules.json").write_text(json.dumps([part]), "utf-8")
    return folder
