"""The tensors of an official checkpoint: their names, their shapes, and their names in our model.

d is the width of a region, D that of the joint space, K the number of regions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Shapes = dict[str, tuple[int, ...]]

CODES = HIDDEN = 32
"""Widths of GPO's position codes and of its GRU."""

IMAGE_NAMES = {
    "fc": "projection.linear",
    "mlp.layers.0": "projection.hidden",
    "mlp.bns.0": "projection.norm",
    "mlp.layers.1": "projection.output",
    "gpool": "pooling",
    "v_sa.embedding_local.0": "guide.local",
    "v_sa.embedding_local.1": "guide.local_norm",
    "v_sa.embedding_global.0": "guide.mean",
    "v_sa.embedding_global.1": "guide.mean_norm",
    "v_sa.embedding_common.0": "guide.common",
}
"""Published module of the image branch to ours."""

TEXT_NAMES = {"bert": "tokens.base", "linear": "linear", "gpool": "pooling"}
"""Published module of the text branch to ours."""


@dataclass(frozen=True)
class Layout:
    """What the state dict of one branch holds.

    Args:
        used: the tensors that it must hold.
        unused: those that it may hold besides; its forward pass never reads them.
    """

    used: Shapes
    unused: Shapes


def image_layout(width: int, embedding: int, regions: int | None) -> Layout:
    """The image branch: of USER where K is given, of VSE-infinity where it is None."""
    used = _linear("fc", width, embedding)
    used |= _linear("mlp.layers.0", width, embedding // 2) | _norm("mlp.bns.0", embedding // 2)
    used |= _linear("mlp.layers.1", embedding // 2, embedding) | _gpo()
    if regions is not None:
        used |= _linear("v_sa.embedding_local.0", width, width)
        used |= _norm("v_sa.embedding_local.1", regions)
        used |= _linear("v_sa.embedding_global.0", width, width)
        used |= _norm("v_sa.embedding_global.1", width)
        used |= _linear("v_sa.embedding_common.0", width, 1)
    return Layout(used, unused=_norm("mlp.bns.1", embedding))


@dataclass(frozen=True)
class BertSizes:
    """Sizes of a BERT, under the names of its transformers configuration."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int


def text_layout(bert: BertSizes, embedding: int) -> Layout:
    """The text branch: BERT, a linear map, GPO."""
    hidden, inner = bert.hidden_size, bert.intermediate_size
    used: Shapes = {
        "bert.embeddings.word_embeddings.weight": (bert.vocab_size, hidden),
        "bert.embeddings.position_embeddings.weight": (bert.max_position_embeddings, hidden),
        "bert.embeddings.token_type_embeddings.weight": (bert.type_vocab_size, hidden),
    }
    used |= _scale("bert.embeddings.LayerNorm", hidden)
    for number in range(bert.num_hidden_layers):
        layer = f"bert.encoder.layer.{number}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            used |= _linear(f"{layer}.attention.{part}", hidden, hidden)
        used |= _scale(f"{layer}.attention.output.LayerNorm", hidden)
        used |= _linear(f"{layer}.intermediate.dense", hidden, inner)
        used |= _linear(f"{layer}.output.dense", inner, hidden)
        used |= _scale(f"{layer}.output.LayerNorm", hidden)
    used |= _linear("linear", hidden, embedding) | _gpo()
    unused = _linear("bert.pooler.dense", hidden, hidden)
    unused["bert.embeddings.position_ids"] = (1, bert.max_position_embeddings)
    return Layout(used, unused)


def our_name(key: str, names: Mapping[str, str]) -> str:
    """The name in our model of a tensor of the layout."""
    module = next(module for module in names if key.startswith(f"{module}."))
    return names[module] + key.removeprefix(module)


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _scale(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _norm(name: str, width: int) -> Shapes:
    statistics: Shapes = {f"{name}.running_mean": (width,), f"{name}.running_var": (width,)}
    return {**_scale(name, width), **statistics, f"{name}.num_batches_tracked": ()}


def _gpo() -> Shapes:
    shapes: Shapes = {"gpool.linear.weight": (1, HIDDEN)}
    for direction in ("", "_reverse"):
        shapes[f"gpool.gru.weight_ih_l0{direction}"] = (3 * HIDDEN, CODES)
        shapes[f"gpool.gru.weight_hh_l0{direction}"] = (3 * HIDDEN, HIDDEN)
        shapes[f"gpool.gru.bias_ih_l0{direction}"] = (3 * HIDDEN,)
        shapes[f"gpool.gru.bias_hh_l0{direction}"] = (3 * HIDDEN,)
    return shapes
