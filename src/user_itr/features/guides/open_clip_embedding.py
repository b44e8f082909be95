"""The image embedding of an open_clip model as a guide: `open_clip:MODEL@PRETRAINED`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from user_itr.errors import CheckpointError, FeatureError
from user_itr.features.backbones.base import (
    Backbone,
    hash_files,
    hash_state,
    refuse_extreme_aspect,
)
from user_itr.features.open_clip_loading import load_open_clip
from user_itr.runtime.dual_encoders.open_clip_names import read_open_clip


class OpenClipEmbedding(Backbone):
    """What `encode_image` of an open_clip model gives, before any normalisation: K = 1.

    Scaling, cropping and normalisation are those that open_clip gives for the model.

    Args:
        source: what follows "open_clip:" in the name of a model; see `read_open_clip`. Nothing is
            downloaded.

    Raises:
        MissingExtraError: if open_clip is not installed.
        FeatureError: if there is no such model, or its weights are not on this machine, damaged or
            of another model.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        try:
            named = read_open_clip(f"open_clip:{source}")
            self.model, self.transform, _ = load_open_clip(named)
        except CheckpointError as error:
            raise FeatureError(str(error)) from error
        self.name = f"open_clip:{source}"
        self.weights_hash = hash_files([named.file]) if named.file else hash_state(self.model)
        self._freeze()
        blank = self.preprocess(Image.new("RGB", (64, 64)))
        self.draft = 2 * max(blank.shape[1:])
        config: dict[str, Any] = json.loads(json.dumps(self.model.visual.preprocess_cfg))
        self.preprocessing = {**config, "draft": self.draft}
        self.regions = 1
        with torch.inference_mode():
            self.width = self.forward(torch.from_numpy(blank[None])).shape[2]

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Run the model's image transform: float32 (3, H, W), normalised.

        Raises:
            DataError: if the image is far too long for its width.
        """
        refuse_extreme_aspect(image)
        return np.asarray(self.transform(image), np.float32)

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 (B, 3, H, W) -> float32 (B, 1, G)."""
        embedding: Tensor = self.model.encode_image(pixels)
        return embedding.float().unsqueeze(1)
