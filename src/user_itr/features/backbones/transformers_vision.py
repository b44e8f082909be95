"""Any transformers vision model as a backbone: `transformers:PATH_OR_NAME`.

ViT-like models give their last hidden tokens, convolutional ones their last feature map. Tokens
that stand for no patch (CLS, distillation, registers) are no regions and are dropped where the
count shows them: they come first, and are as many as the tokens outnumber the patches. Where the
count fits no patch grid (merged or overlapping patches) every token is kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from user_itr.features.backbones.transformers_loading import TransformersBackbone

MAX_PREFIX_TOKENS = 8
"""More tokens than this beyond the patch grid are taken for a grid of another kind."""


class TransformersVision(TransformersBackbone):
    """Tokens or grid features of a transformers vision model, or of the vision half of a CLIP.

    K and d are those of the model at its image processor's size.

    Args:
        source: a folder written by `save_pretrained`, or a model name on the Hugging Face hub.

    Raises:
        FeatureError: as `TransformersBackbone` does.
    """

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.prefix_tokens = 0
        with torch.inference_mode():
            hidden = self.forward(torch.zeros(1, *self.input_shape))
        self.prefix_tokens = _count_prefix_tokens(
            self.model.config, hidden.shape[1], self.input_shape
        )
        self.regions = hidden.shape[1] - self.prefix_tokens
        self.width = hidden.shape[2]
        self.preprocessing["dropped_tokens"] = self.prefix_tokens

    def _load_model(self, folder: Path) -> Any:
        model, missing = self._load_weights("AutoModel", folder)
        vision = getattr(model, "vision_model", None)
        part = "" if vision is None else "vision_model."
        # a pooler is not in every checkpoint and has no part in the regions
        self._require_complete(
            [key for key in missing if key.startswith(part) and "pooler" not in key]
        )
        return model if vision is None else vision

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 (B, 3, H, W) -> float32 (B, K, d), regions in row-major order."""
        hidden: Tensor = self.model(pixel_values=pixels).last_hidden_state
        if hidden.ndim == 4:  # (B, d, h, w) of a convolutional network
            hidden = hidden.flatten(2).transpose(1, 2)
        return hidden[:, self.prefix_tokens :].float()


def _count_prefix_tokens(config: Any, tokens: int, shape: tuple[int, ...]) -> int:
    patch = getattr(config, "patch_size", None)
    if not patch:
        return 0
    high, wide = (patch, patch) if isinstance(patch, int) else tuple(patch)[-2:]
    extra = tokens - (shape[1] // high) * (shape[2] // wide)
    return extra if 0 < extra <= MAX_PREFIX_TOKENS else 0
