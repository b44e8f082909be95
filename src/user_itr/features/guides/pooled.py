"""The mean of a backbone's regions as a guide."""

from __future__ import annotations

import numpy as np
from PIL import Image
from pydantic import JsonValue
from torch import Tensor

from user_itr.features.backbones.base import Backbone
from user_itr.features.backbones.registry import create_backbone
from user_itr.features.extraction import FLOAT16_MAX
from user_itr.features.preprocessing import Preprocess


def pooled_embedding(regions: Tensor) -> Tensor:
    """The mean over regions: (B, K, d) to (B, d) float16.

    Regions are rounded to float16 first, as a feature store holds them, and averaged in float32.
    So a guide has the same value whether it comes from stored regions or from the network.
    """
    stored = regions.clamp(-FLOAT16_MAX, FLOAT16_MAX).half()
    return stored.float().mean(dim=1).half()


def pooled_preprocessing(preprocessing: dict[str, JsonValue], regions: int) -> dict[str, JsonValue]:
    """The preprocessing that a store of the mean over a backbone's K regions records."""
    return {**preprocessing, "pooled_regions": regions}


class PooledGuide(Backbone):
    """The mean of a backbone's regions: K = 1, G = d.

    For EfficientNet-Lite that is the network's own pooled vector before its classifier. Pixels are
    the backbone's.

    Args:
        backbone: a name in the backbone registry.
        name: what `create_guide` was given; the backbone's name by default.

    Raises:
        FeatureError, MissingExtraError: as `create_backbone` does.
    """

    def __init__(self, backbone: str, name: str | None = None) -> None:
        super().__init__()
        self.backbone = create_backbone(backbone)
        self.name = name or backbone
        self.regions = 1
        self.width = self.backbone.width
        self.weights_hash = self.backbone.weights_hash
        self.draft = self.backbone.draft
        self.faster_by_onnx = self.backbone.faster_by_onnx
        self.preprocessing = pooled_preprocessing(
            self.backbone.preprocessing, self.backbone.regions
        )

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Scale one RGB image to the backbone's input; see `Backbone.preprocess`."""
        return self.backbone.preprocess(image)

    @property
    def worker_preprocess(self) -> Preprocess | None:
        """See `Backbone.worker_preprocess`."""
        return self.backbone.worker_preprocess

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels of the backbone, (B, ...) -> (B, 1, d) float32."""
        return pooled_embedding(self.backbone(pixels)).float().unsqueeze(1)
