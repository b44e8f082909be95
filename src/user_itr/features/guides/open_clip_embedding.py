"""The image embedding of an open_clip model as a guide: `open_clip:MODEL@PRETRAINED`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from user_itr.errors import FeatureError, MissingExtraError
from user_itr.features.backbones.base import (
    Backbone,
    hash_files,
    hash_state,
    refuse_extreme_aspect,
)


class OpenClipEmbedding(Backbone):
    """What `encode_image` of an open_clip model gives, before any normalisation: K = 1.

    Scaling, cropping and normalisation are those that open_clip gives for the model.

    Args:
        source: `MODEL@PRETRAINED`, PRETRAINED one of open_clip's tags, whose weights it downloads;
            `MODEL@FILE`, FILE a safetensors file of that model's weights and nothing is
            downloaded; or one of open_clip's own addresses, "hf-hub:NAME" or "local-dir:FOLDER".

    Raises:
        MissingExtraError: if open_clip is not installed.
        FeatureError: if there is no such model, or the weights cannot be had or do not fit.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        model, _, weights = source.partition("@")
        file = Path(weights).expanduser() if set("/.") & set(weights) else None
        if file is not None and (file.suffix != ".safetensors" or not file.is_file()):
            raise FeatureError(
                f"open_clip:{source}: {weights} is no safetensors file; give one, or the name of "
                "pretrained weights of `open_clip.list_pretrained()`."
            )
        try:
            import open_clip
        except ImportError:
            raise MissingExtraError(
                f"guide open_clip:{source} needs open_clip; run "
                "`pip install 'user-itr[open_clip]'`."
            ) from None
        try:
            self.model, self.transform = open_clip.create_model_from_pretrained(
                model, pretrained=str(file or weights) or None
            )
        except Exception as error:  # unknown names and failed downloads have no common class
            reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
            raise FeatureError(
                f"open_clip:{source}: open_clip cannot create this model ({reason}); see "
                "`open_clip.list_pretrained()`."
            ) from error
        self.name = f"open_clip:{source}"
        self.weights_hash = hash_files([file]) if file else hash_state(self.model)
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
