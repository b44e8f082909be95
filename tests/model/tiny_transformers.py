"""Transformers of a few thousand random weights, one of each architecture that people use."""

from __future__ import annotations

import torch
from transformers import AutoConfig, AutoModel, PreTrainedModel

LAYERS = 3
VOCABULARY = 40
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 24,
}
DISTIL_SIZES = {"dim": 16, "n_layers": LAYERS, "n_heads": 4, "hidden_dim": 24}


def tiny_transformer(kind: str, **settings: object) -> PreTrainedModel:
    """A model of a kind, its weights large enough that every part of it shows in the output."""
    torch.manual_seed(0)
    sizes = DISTIL_SIZES if kind == "distilbert" else SIZES
    config = AutoConfig.for_model(kind, vocab_size=VOCABULARY, **sizes, **settings)
    model = AutoModel.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model.eval()
