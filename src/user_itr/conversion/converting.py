"""An official checkpoint of USER or VSE-infinity to a model of ours, every tensor accounted for."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from transformers import BertTokenizer

from user_itr.config.loading import validate_settings
from user_itr.conversion.layout import (
    IMAGE_NAMES,
    TEXT_NAMES,
    BertSizes,
    Layout,
    image_layout,
    our_name,
    text_layout,
)
from user_itr.conversion.reading import PublishedCheckpoint, named, read_published
from user_itr.errors import CheckpointError
from user_itr.features.backbones.base import hash_files
from user_itr.features.regions import PRECOMPUTED, precomputed_identity
from user_itr.model.building import rebuild_dual_encoder
from user_itr.model.checkpoint import TrainedModel
from user_itr.model.pretrained_text import MINILM, pretrained_path
from user_itr.model.tokenizer import CaptionTokenizer

REGIONS = 36
"""Regions an image in the published features; VSE-infinity's weights do not tell."""

UNCASED = 30522
"""Size of uncased BERT's vocabulary, which the packaged MiniLM shares."""

HEAD_WIDTH = 64
"""Width of an attention head in every published BERT; the weights do not tell."""


@dataclass(frozen=True)
class Conversion:
    """What came of an official checkpoint.

    Args:
        model: ready to be saved.
        method: "USER" or "VSE-infinity".
        unused: keys that were left out because the published forward pass never reads them.
    """

    model: TrainedModel
    method: str
    unused: tuple[str, ...]


def convert_checkpoint(source: Path, tokenizer: Path | None = None) -> Conversion:
    """Read an official checkpoint and make our model of it, with the same outputs.

    Args:
        source: the file that the published code wrote.
        tokenizer: folder with the tokenizer.json or vocab.txt of its BERT; needed where that is
            not uncased BERT.

    Raises:
        CheckpointError: if the file is refused, its keys or shapes are not the published ones, it
            was trained without unit norms, or the tokenizer does not fit it.
    """
    published = read_published(source)
    image, text = published.image, published.text
    for option in ("no_imgnorm", "no_txtnorm"):
        if published.options.get(option):
            raise CheckpointError(
                f"{source}: was trained with {option}; our embeddings are unit-norm, so its scores "
                "cannot be reproduced."
            )
    guided = any(key.startswith("v_sa.") for key in image)
    layers = re.findall(r"bert\.encoder\.layer\.(0|[1-9]\d{0,2})\.", " ".join(text))
    depth = 1 + max(map(int, layers), default=0)
    names = BertSizes(1, 1, depth, 1, 1, 1)
    _check_names(
        source,
        image_branch=(image, image_layout(1, 1, 1 if guided else None)),
        text_branch=(text, text_layout(names, 1)),
    )

    embedding, width = _shape(source, image, "fc.weight", 2)
    norm = "v_sa.embedding_local.1.weight"
    regions = _shape(source, image, norm, 1)[0] if guided else None
    bert = _bert_sizes(source, text, depth)
    layouts = image_layout(width, embedding, regions), text_layout(bert, embedding)
    unused: list[str] = []
    for state, layout in zip((image, text), layouts, strict=True):
        _check_shapes(source, state, layout)
        unused += [key for key in state if key in layout.unused]

    settings = validate_settings(_settings(published, bert, embedding, regions), str(source))
    captions = _tokenizer(source, tokenizer, bert)
    transformer = {
        "model_type": "bert",
        **dataclasses.asdict(bert),
        "num_attention_heads": bert.hidden_size // HEAD_WIDTH,
    }
    encoder = rebuild_dual_encoder(settings.model, width, bert.vocab_size, transformer)
    encoder.load_state_dict(
        {f"image.{our_name(key, IMAGE_NAMES)}": image[key] for key in layouts[0].used}
        | {f"text.{our_name(key, TEXT_NAMES)}": text[key] for key in layouts[1].used}
    )
    # A view without memory: the identity takes nothing but the shape.
    features = precomputed_identity(np.broadcast_to(np.float32(0), (1, regions or REGIONS, width)))
    model = TrainedModel(settings, encoder.eval(), None, captions, features)
    model.metrics.update(_metrics(source, published))
    return Conversion(model, "USER" if guided else "VSE-infinity", tuple(unused))


def _check_names(source: Path, **branches: tuple[dict[str, Tensor], Layout]) -> None:
    faults = []
    for branch, (state, layout) in branches.items():
        unknown = [key for key in state if key not in layout.used and key not in layout.unused]
        missing = [key for key in layout.used if key not in state]
        for kind, keys in (("unknown", unknown), ("missing", missing)):
            if keys:
                faults.append(f"{kind} in the {branch.replace('_', ' ')}: {named(keys)}")
    if faults:
        raise CheckpointError(
            f"{source}: is no checkpoint of USER or VSE-infinity with BERT over precomputed "
            f"regions; {'; '.join(faults)}."
        )


def _check_shapes(source: Path, state: dict[str, Tensor], layout: Layout) -> None:
    for key, expected in (layout.used | layout.unused).items():
        if key in state and tuple(state[key].shape) != expected:
            raise CheckpointError(
                f"{source}: {key} has shape {tuple(state[key].shape)}, but the other tensors ask "
                f"for {expected}; fetch the file again."
            )


def _shape(source: Path, state: dict[str, Tensor], key: str, axes: int) -> tuple[int, ...]:
    shape = tuple(state[key].shape)
    if len(shape) != axes or 0 in shape:
        raise CheckpointError(
            f"{source}: {key} has shape {shape}; a tensor of {axes} axes, none empty, is expected."
        )
    return shape


def _bert_sizes(source: Path, text: dict[str, Tensor], depth: int) -> BertSizes:
    def rows(name: str) -> tuple[int, ...]:
        return _shape(source, text, f"bert.{name}.weight", 2)

    vocabulary, hidden = rows("embeddings.word_embeddings")
    if hidden % HEAD_WIDTH:
        raise CheckpointError(
            f"{source}: its BERT is {hidden} wide; published ones have heads of {HEAD_WIDTH}, so "
            "the number of heads cannot be told."
        )
    return BertSizes(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=depth,
        intermediate_size=rows("encoder.layer.0.intermediate.dense")[0],
        max_position_embeddings=rows("embeddings.position_embeddings")[0],
        type_vocab_size=rows("embeddings.token_type_embeddings")[0],
    )


def _settings(
    published: PublishedCheckpoint, bert: BertSizes, embedding: int, regions: int | None
) -> dict[str, Any]:
    base = (bert.vocab_size, bert.num_hidden_layers, bert.hidden_size) == (UNCASED, 12, 768)
    image: dict[str, Any] = {"enhancement": "none", "pooling": "gpo", "projection": "residual"}
    if regions is not None:
        scale = published.options.get("attention_lamda", 1.0)
        image |= {
            "enhancement": "self",
            "guide_norm_regions": regions,
            "attention_scale": scale,
        }
    text = {
        "encoder": "bert-base-uncased" if base else "bert",
        "trainable_layers": "all",
        "cache": False,
        "pooling": "gpo",
        "max_tokens": bert.max_position_embeddings,
    }
    return {
        "features": {"backbone": PRECOMPUTED},
        "model": {"embedding": embedding, "image": image, "text": text},
    }


def _tokenizer(source: Path, folder: Path | None, bert: BertSizes) -> CaptionTokenizer:
    if folder is None:
        if bert.vocab_size != UNCASED:
            raise CheckpointError(
                f"{source}: its BERT knows {bert.vocab_size:,} tokens, uncased BERT's packaged "
                f"vocabulary has {UNCASED:,}; give --tokenizer FOLDER with its tokenizer.json or "
                "vocab.txt."
            )
        folder = Path(pretrained_path(MINILM))
    whole, words = folder / "tokenizer.json", folder / "vocab.txt"
    try:
        if whole.is_file():
            text = whole.read_text("utf-8")
        elif words.is_file():
            text = BertTokenizer.from_pretrained(folder).backend_tokenizer.to_str()  # nosec B615 # a local folder
        else:
            raise CheckpointError(
                f"{folder}: holds no tokenizer.json and no vocab.txt; give a tokenizer's folder."
            )
        tokenizer = CaptionTokenizer.from_json(text, bert.max_position_embeddings)
    except CheckpointError:
        raise
    except Exception as error:  # the tokenizers package raises plain Exception
        raise CheckpointError(f"{folder}: is no tokenizer ({error}); give another one.") from error
    if tokenizer.vocabulary_size != bert.vocab_size:
        raise CheckpointError(
            f"{folder}: its tokenizer has {tokenizer.vocabulary_size:,} tokens, the BERT of "
            f"{source} {bert.vocab_size:,}; give the tokenizer that it was trained with."
        )
    return tokenizer


def _metrics(source: Path, published: PublishedCheckpoint) -> dict[str, Any]:
    metrics: dict[str, Any] = {"source": source.name, "source_sha256": hash_files([source])}
    name = published.options.get("data_name")
    if isinstance(name, str) and name.isprintable():
        metrics["data_name"] = name
    if published.epoch is not None:
        metrics["epoch"] = published.epoch
    if published.rsum is not None:
        metrics["rsum"] = published.rsum
    return metrics
