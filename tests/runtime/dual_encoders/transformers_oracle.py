"""What transformers itself makes of texts and images, one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image


def tokenizer(family: str, folder: Path) -> Any:
    """The tokenizer; SigLIP's own class needs sentencepiece, which reads another file."""
    if family == "siglip":
        return transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    return transformers.AutoTokenizer.from_pretrained(folder)


def tokens(family: str, folder: Path, text: str) -> Any:
    """As the model's card of the family says: SigLIP pads to 64."""
    padding = "max_length" if family.startswith("siglip") else True
    read = tokenizer(family, folder)
    return read([text], padding=padding, truncation=True, return_tensors="pt")


def model(folder: Path) -> Any:
    return transformers.AutoModel.from_pretrained(folder).eval()


def processor(folder: Path) -> Any:
    return transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")


def text_vector(network: Any, inputs: Any) -> np.ndarray:
    with torch.inference_mode():
        return _unit(network.get_text_features(**inputs).pooler_output)


def image_vector(network: Any, processing: Any, image: Image.Image) -> np.ndarray:
    with torch.inference_mode():
        pixels = processing(images=image, return_tensors="pt")
        return _unit(network.get_image_features(**pixels).pooler_output)


def _unit(features: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(features)[0].numpy()
