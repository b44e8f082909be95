"""The image embedding of a transformers model as a guide: `transformers:PATH_OR_NAME`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from user_itr.errors import FeatureError
from user_itr.features.backbones.transformers_loading import TransformersBackbone

VISION_PARTS = {
    "CLIPModel": "CLIPVisionModelWithProjection",
    "CLIPVisionModelWithProjection": "CLIPVisionModelWithProjection",
    "SiglipModel": "SiglipVisionModel",
}
"""Which class of transformers loads the image half of a model alone, by the model's class."""


class TransformersEmbedding(TransformersBackbone):
    """The one vector that a transformers model gives an image, before any normalisation.

    CLIP: the projected embedding (`image_embeds`). SigLIP, and SigLIP 2 of a fixed image size: the
    output of the attention pooling. Other image-text models: what their `get_image_features`
    gives. Other vision models: their `pooler_output`.

    Args:
        source: a folder written by `save_pretrained`, or a model name on the Hugging Face hub.

    Raises:
        FeatureError: as `TransformersBackbone` does, and where the model has no such vector.
    """

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.regions = 1
        with torch.inference_mode():
            embedding = self._pretrained(lambda: self._embed(torch.zeros(1, *self.input_shape)))
        if not isinstance(embedding, Tensor) or embedding[0].numel() != embedding.shape[1]:
            raise self._without_embedding()
        self.width = embedding.shape[1]

    def _load_model(self, folder: Path) -> Any:
        config = self._load_config(folder)
        architecture = (config.architectures or [""])[0]
        options = {}
        if architecture == "CLIPModel":  # the settings of its vision half may tell another width
            options["projection_dim"] = config.projection_dim
        kind = VISION_PARTS.get(architecture, "AutoModel")
        model, missing = self._load_weights(kind, folder, **options)
        if any("pooler" in key for key in missing):
            raise self._without_embedding()
        self._require_complete(missing)
        return model

    def _without_embedding(self) -> FeatureError:
        return FeatureError(
            f"{self.source}: the model has no embedding of a whole image; take the mean of its "
            f"regions instead, pooled:transformers:{self.source}."
        )

    def _embed(self, pixels: Tensor) -> Any:
        output = getattr(self.model, "get_image_features", self.model)(pixel_values=pixels)
        embedding = getattr(output, "image_embeds", None)
        return getattr(output, "pooler_output", None) if embedding is None else embedding

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 (B, 3, H, W) -> float32 (B, 1, G)."""
        embedding: Tensor = self._embed(pixels)
        return embedding.float().flatten(1).unsqueeze(1)
