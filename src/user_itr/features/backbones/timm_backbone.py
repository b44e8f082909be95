"""Any timm model as a backbone, where timm is installed: `timm:NAME[@WEIGHTS.safetensors]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from user_itr.errors import FeatureError, MissingExtraError
from user_itr.features.backbones.base import Backbone, hash_files, hash_state


class TimmBackbone(Backbone):
    """Grid or patch features of a timm model (`forward_features`), CLS and registers dropped.

    The whole image is squashed to the model's input size with the model's interpolation (no
    crop), then normalised with its mean and standard deviation.

    Args:
        source: a timm model name, whose weights timm downloads, or `NAME@PATH`, where PATH is a
            safetensors file of that model's weights and nothing is downloaded.

    Raises:
        MissingExtraError: if timm is not installed.
        FeatureError: if there is no such model, or the weights cannot be had or do not fit.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, source: str) -> None:
        super().__init__()
        try:
            import timm
            from timm.data import resolve_model_data_config
        except ImportError:
            raise MissingExtraError(
                f"backbone timm:{source} needs timm; run `pip install 'user-itr[timm]'`."
            ) from None
        name, _, path = source.partition("@")
        try:
            self.model = timm.create_model(name, pretrained=not path, num_classes=0)
        except Exception as error:  # unknown names and failed downloads have no common class
            reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
            raise FeatureError(
                f"timm:{source}: timm cannot create this model ({reason}); "
                "see `timm.list_models()`."
            ) from error
        if path:
            _load_weights(self.model, Path(path).expanduser())
        self.name = f"timm:{source}"
        self.weights_hash = (
            hash_files([Path(path).expanduser()]) if path else hash_state(self.model)
        )

        data = resolve_model_data_config(self.model)
        _, self.height, self.breadth = (int(side) for side in data["input_size"])
        self.resample = Image.Resampling[str(data["interpolation"]).upper()]
        self.draft = 2 * max(self.height, self.breadth)
        self.preprocessing = {
            "size": [self.height, self.breadth],
            "resample": self.resample.name.lower(),
            "crop": None,
            "draft": self.draft,
            "mean": [float(value) for value in data["mean"]],
            "std": [float(value) for value in data["std"]],
        }
        for key in ("mean", "std"):
            value = torch.tensor(self.preprocessing[key]).view(3, 1, 1)
            self.register_buffer(key, value, persistent=False)
        self._freeze()
        with torch.inference_mode():
            blank = torch.zeros(1, self.height, self.breadth, 3, dtype=torch.uint8)
            _, self.regions, self.width = self.forward(blank).shape

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Squash an RGB image to the model's input: uint8 (H, W, 3)."""
        return np.asarray(image.resize((self.breadth, self.height), self.resample))

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) -> float32 (B, K, d), regions in row-major order."""
        images = (pixels.permute(0, 3, 1, 2).float() / 255.0 - self.mean) / self.std
        features: Tensor = self.model.forward_features(images)
        if features.ndim == 3:
            return features[:, getattr(self.model, "num_prefix_tokens", 0) :].float()
        if features.shape[1] != self.model.num_features:  # (B, h, w, d) of Swin and its like
            features = features.permute(0, 3, 1, 2)
        return features.flatten(2).transpose(1, 2).float()


def _load_weights(model: Any, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        missing, unexpected = model.load_state_dict(load_file(path), strict=False)
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FeatureError(
            f"{path}: not readable as weights of this model ({reason}); give its safetensors file."
        ) from error
    classifier = model.pretrained_cfg.get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    wrong = [key for key in unexpected if not key.startswith(tuple(f"{head}." for head in heads))]
    if missing or wrong:
        raise FeatureError(
            f"{path}: weights do not fit the model ({len(missing)} missing, {len(wrong)} "
            f"unexpected, first {(missing + wrong)[0]}); give the file of the same timm model."
        )
