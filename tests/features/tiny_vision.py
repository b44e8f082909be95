"""Small random vision models of transformers, saved as their users save them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

TINY: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 32,
    "patch_size": 8,
}
SQUARE = {"height": 32, "width": 32}


def save(folder: Path, model: Any, processor: Any, **options: Any) -> Path:
    """Save a model and its image processor, return the folder."""
    model.save_pretrained(folder, **options)
    processor.save_pretrained(folder)
    return folder


def save_siglip_vision(folder: Path) -> Path:
    """Save a SigLIP image tower whose embedding is 16 wide, return the folder."""
    torch.manual_seed(5)
    model = transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**TINY))
    return save(folder, model, SiglipImageProcessorPil(size=SQUARE))
