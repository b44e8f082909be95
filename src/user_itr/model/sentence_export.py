"""A text encoder of sentence-transformers written down as an ONNX file, checked against PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from user_itr.errors import CheckpointError
from user_itr.model.checkpoint import new_folder
from user_itr.model.exporting import SENTENCES
from user_itr.model.transformers_export import (
    LEAST_COSINE,
    load_checkpoint,
    text_graph,
    write_graphs,
)
from user_itr.runtime.dual_encoders.layout import Architecture, checkpoint_files
from user_itr.runtime.dual_encoders.network import Network
from user_itr.runtime.dual_encoders.sentence_modules import Dense, TextModules
from user_itr.runtime.dual_encoders.tokens import read_text_processor
from user_itr.runtime.sessions import open_model


def export_texts(modules: TextModules, architecture: Architecture, out: Path) -> float:
    """Write the ONNX file of a text encoder, in float32.

    Args:
        modules: its parts.
        architecture: of texts alone.
        out: folder to make: `onnx/text_model.onnx`, its weights beside it.

    Returns:
        The least cosine of embeddings by ONNX Runtime to PyTorch's.

    Raises:
        CheckpointError: if a part is damaged or lacks weights, cannot be exported, or would compute
            something else.
    """
    folder = modules.folder
    model = SentenceEncoder(load_checkpoint(folder, architecture), modules).eval()
    with new_folder(out) as partial:
        write_graphs({"text_model": text_graph(folder, model, architecture)}, partial)
        file = partial / "onnx" / "text_model.onnx"
        cosine = _least_cosine(file, model, folder, architecture)
        if not cosine >= LEAST_COSINE:
            raise CheckpointError(
                f"{folder}: its embeddings by ONNX Runtime have a cosine of {cosine:.4f} to "
                f"PyTorch's, and {LEAST_COSINE} is the least."
            )
    return cosine


class SentenceEncoder(nn.Module):
    """Token ids (B, L) int64 and their mask to unnormalised embeddings (B, D).

    Args:
        encoder: of tokens, of transformers.
        modules: what follows it.

    Raises:
        CheckpointError: if weights are damaged or of another shape.
    """

    def __init__(self, encoder: Any, modules: TextModules) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling: Literal["mean", "cls"] = modules.pooling
        parts: list[nn.Module] = []
        for folder, dense in modules.dense:
            parts.append(_linear(folder, dense))
            if dense.activation == "tanh":
                parts.append(nn.Tanh())
        self.dense = nn.Sequential(*parts)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode texts."""
        tokens: Tensor = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask
        ).last_hidden_state
        if self.pooling == "cls":
            pooled = tokens[:, 0]
        else:
            mask = attention_mask.unsqueeze(-1).to(tokens.dtype)
            pooled = (tokens * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1e-9)
        embeddings: Tensor = self.dense(pooled)
        return embeddings


def _linear(folder: Path, dense: Dense) -> nn.Linear:
    from safetensors.torch import load_file

    layer = nn.Linear(dense.in_features, dense.out_features, bias=dense.bias)
    file = checkpoint_files(folder)[1]
    try:
        if file.suffix == ".safetensors":
            values = load_file(file)
        else:
            values = torch.load(file, map_location="cpu", weights_only=True)
        layer.load_state_dict(
            {name.removeprefix("linear."): tensor.float() for name, tensor in values.items()}
        )
    except Exception as error:  # a damaged file can fail in any of the parsers
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{file}: cannot be loaded ({reason}).") from error
    return layer


def _least_cosine(
    file: Path, model: SentenceEncoder, folder: Path, architecture: Architecture
) -> float:
    network = Network(file, open_model(file), ("text_embeds",), architecture.dim)
    processor = read_text_processor(folder, architecture)
    cosines = []
    for text in SENTENCES:
        inputs = processor.inputs(processor.tokenizer([text]), np.arange(1))
        with torch.inference_mode():
            wanted = model(*(torch.from_numpy(inputs[n]) for n in ("input_ids", "attention_mask")))
        unit = nn.functional.normalize(wanted).numpy()
        cosines.append(float((network.run(inputs) * unit).sum()))
    return min(cosines)
