"""Official checkpoints with random weights, and what the published formulas make of them.

The formulas are typed here from the papers (USER, arXiv 2301.06844; GPO, CVPR 2021) in plain tensor
operations. Nothing of `user_itr` is imported.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import BertConfig, BertModel

REGIONS, WIDTH, EMBEDDING = 36, 16, 10
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, "a", "the", "dog", "cat", "runs", "sleeps", "on", "red", "mat"]
POSITIONS = 24

State = dict[str, Tensor]


def bert_config(vocabulary: int = len(WORDS)) -> BertConfig:
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=40,
        max_position_embeddings=POSITIONS,
    )


def official(method: str, vocabulary: int = len(WORDS), **options: Any) -> dict[str, Any]:
    """The contents of a checkpoint of "USER" or "VSE-infinity", running statistics included."""
    torch.manual_seed(7)
    image = {
        **_linear("fc", WIDTH, EMBEDDING),
        **_linear("mlp.layers.0", WIDTH, EMBEDDING // 2),
        **_linear("mlp.layers.1", EMBEDDING // 2, EMBEDDING),
        **_norm("mlp.bns.0", EMBEDDING // 2),
        **_norm("mlp.bns.1", EMBEDDING),
        **_gpo(),
    }
    if method == "USER":
        image |= {
            **_linear("v_sa.embedding_local.0", WIDTH, WIDTH),
            **_norm("v_sa.embedding_local.1", REGIONS),
            **_linear("v_sa.embedding_global.0", WIDTH, WIDTH),
            **_norm("v_sa.embedding_global.1", WIDTH),
            **_linear("v_sa.embedding_common.0", WIDTH, 1),
        }
    bert = BertModel(bert_config(vocabulary)).state_dict()
    text = {f"bert.{name}": t + 0.1 * torch.randn_like(t) for name, t in bert.items()}
    text["bert.embeddings.position_ids"] = torch.arange(POSITIONS)[None]
    text |= {**_linear("linear", 128, EMBEDDING), **_gpo()}
    opt = {"embed_size": EMBEDDING, "img_dim": WIDTH, "data_name": "f30k_precomp", **options}
    return {
        "epoch": 9,
        "model": [image, text],
        "best_rsum": np.float64(512.25),
        "opt": argparse.Namespace(no_imgnorm=False, workers=10, logger_name="runs/x", **opt),
        "Eiters": 20390,
    }


def _linear(name: str, inputs: int, outputs: int) -> State:
    weight = torch.randn(outputs, inputs) / math.sqrt(inputs)
    return {f"{name}.weight": 2 * weight, f"{name}.bias": torch.randn(outputs)}


def _norm(name: str, width: int) -> State:
    return {
        f"{name}.weight": torch.rand(width) + 0.5,
        f"{name}.bias": torch.randn(width),
        f"{name}.running_mean": torch.randn(width),
        f"{name}.running_var": torch.rand(width) + 0.3,
        f"{name}.num_batches_tracked": torch.tensor(4531),
    }


def _gpo() -> State:
    state = {f"gpool.gru.{name}": t for name, t in _gru_shapes().items()}
    return {**state, "gpool.linear.weight": 0.3 * torch.randn(1, 32)}


def _gru_shapes() -> State:
    gru = torch.nn.GRU(32, 32, bidirectional=True)
    return {name: torch.randn(t.shape) * 0.3 for name, t in gru.state_dict().items()}


def plain_image(state: State, regions: Tensor, scale: float = 1.0) -> Tensor:
    """The image branch in evaluation mode: (B, K, d) to (B, D)."""
    v = regions
    if "v_sa.embedding_common.0.weight" in state:
        v = _enhanced(state, v, scale)
    hidden = _apply(state, "mlp.layers.0", v)
    hidden = _normalised(state, "mlp.bns.0", hidden, axis=2).clamp(min=0)
    x = _apply(state, "fc", v) + _apply(state, "mlp.layers.1", hidden)
    return torch.stack([_pooled(state, image) for image in x])


def plain_text(state: State, ids: list[int]) -> Tensor:
    """The text branch in evaluation mode for one caption, without padding: (D,)."""
    vocabulary = len(state["bert.embeddings.word_embeddings.weight"])
    bert = BertModel(bert_config(vocabulary)).eval()
    weights = {k.removeprefix("bert."): t for k, t in state.items() if k.startswith("bert.")}
    weights.pop("embeddings.position_ids", None)
    bert.load_state_dict(weights)
    with torch.no_grad():
        states = bert(input_ids=torch.tensor([ids])).last_hidden_state[0]
    return _pooled(state, _apply(state, "linear", states))


def _enhanced(state: State, v: Tensor, scale: float) -> Tensor:
    local = _apply(state, "v_sa.embedding_local.0", v)
    local = torch.tanh(_normalised(state, "v_sa.embedding_local.1", local, axis=1))
    mean = _apply(state, "v_sa.embedding_global.0", v.sum(dim=1) / v.shape[1])
    query = torch.tanh(_normalised(state, "v_sa.embedding_global.1", mean, axis=1))
    scores = _apply(state, "v_sa.embedding_common.0", local * query[:, None])[..., 0]
    g = (_softmax(scores)[..., None] * v).sum(dim=1)
    g = g / g.pow(2).sum(dim=1, keepdim=True).sqrt()
    a = _softmax(scale * (v * g[:, None]).sum(dim=2))
    a = a / a.pow(2).sum(dim=1, keepdim=True).sqrt()
    return v + a[..., None] * g[:, None]


def _apply(state: State, name: str, x: Tensor) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def _normalised(state: State, name: str, x: Tensor, axis: int) -> Tensor:
    shape = [1] * x.ndim
    shape[axis] = -1
    mean, variance, weight, bias = (
        state[f"{name}.{part}"].reshape(shape)
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def _softmax(scores: Tensor) -> Tensor:
    powers = scores.exp()
    return powers / powers.sum(dim=-1, keepdim=True)


def _pooled(state: State, x: Tensor) -> Tensor:
    """GPO and unit norm of one set: (N, D) to (D,)."""
    count = len(x)
    codes = torch.tensor(
        [
            [
                (math.cos if i % 2 else math.sin)(place / 10000 ** ((i - i % 2) / 32))
                for i in range(32)
            ]
            for place in range(count)
        ]
    )
    forward = _gru(state, "", codes)
    backward = _gru(state, "_reverse", codes.flip(0)).flip(0)
    scores = ((forward + backward) / 2) @ state["gpool.linear.weight"][0]
    weights = _softmax((scores - scores.max()) / 0.1)
    pooled = (weights[:, None] * x.sort(dim=0, descending=True).values).sum(dim=0)
    return pooled / pooled.pow(2).sum().sqrt()


def _gru(state: State, direction: str, codes: Tensor) -> Tensor:
    def part(name: str) -> Tensor:
        return state[f"gpool.gru.{name}_l0{direction}"]

    hidden, outputs = torch.zeros(32), []
    for code in codes:
        input_r, input_z, input_n = (part("weight_ih") @ code + part("bias_ih")).chunk(3)
        hidden_r, hidden_z, hidden_n = (part("weight_hh") @ hidden + part("bias_hh")).chunk(3)
        reset, update = torch.sigmoid(input_r + hidden_r), torch.sigmoid(input_z + hidden_z)
        hidden = (1 - update) * torch.tanh(input_n + reset * hidden_n) + update * hidden
        outputs.append(hidden)
    return torch.stack(outputs)


def write_tokenizer(folder: Path) -> Path:
    """The words above as a `tokenizer.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def write_vocabulary(folder: Path, **config: Any) -> Path:
    """The words above as BERT's own `vocab.txt`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    return folder


def ids_of(caption: str) -> list[int]:
    return [2, *(WORDS.index(word) for word in caption.split()), 3]
