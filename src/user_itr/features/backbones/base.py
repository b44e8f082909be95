"""The interface that every backbone meets, and the hash that names its weights."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pydantic import JsonValue
from torch import Tensor, nn

from user_itr.data.images import load_image
from user_itr.errors import DataError, FeatureError
from user_itr.features.preprocessing import Preprocess
from user_itr.files import hash_files as hash_files

MAX_ASPECT = 100
"""Longer images would swell without bound where the short side is scaled to a fixed length."""


class Backbone(nn.Module, ABC):
    """A frozen network that describes an image by K regions of width d.

    `preprocess` is the per-image part: cheap, on the CPU, safe to call from several threads at
    once. `forward` is the batch part and holds the rest, normalisation included where `preprocess`
    leaves 8-bit pixels. Subclasses are built in evaluation mode with gradients off.

    Attributes:
        name: what `create_backbone` was given ("efficientnet-lite0", "transformers:my/model").
        regions: K, region vectors an image.
        width: d, numbers a region.
        preprocessing: all that decides the pixels the network sees, as JSON.
        weights_hash: SHA-256 of the weights, 64 hex digits.
        draft: JPEG files may be decoded at 1/2, 1/4 or 1/8 as long as both sides keep this many
            pixels; None decodes in full.
        runtime: the package that computes `forward`. It is no part of `identity`: another runtime
            gives the same features up to their last bits.
        faster_by_onnx: whether ONNX Runtime was measured to be clearly faster on a CPU.
    """

    name: str
    regions: int
    width: int
    preprocessing: dict[str, JsonValue]
    weights_hash: str
    draft: int | None = None
    runtime: str = "torch"
    faster_by_onnx: bool = False

    @property
    def device(self) -> torch.device:
        """Where the weights are, and `encode` computes."""
        weights = next(self.parameters(), None)
        return torch.device("cpu") if weights is None else weights.device

    @property
    def worker_preprocess(self) -> Preprocess | None:
        """`preprocess` for a worker process without PyTorch; None where only threads can do it."""
        return None

    @abstractmethod
    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Scale one RGB image of any size to the network's input.

        Returns:
            An array of the same shape and dtype for every image: uint8 (H, W, 3), or float32
            (3, H, W) that is normalised already.

        Raises:
            DataError: if the image has a shape that the preprocessing cannot take.
        """

    @abstractmethod
    def forward(self, pixels: Tensor) -> Tensor:
        """Region features of a batch of `preprocess` results: (B, ...) -> (B, K, d) float32."""

    def load(self, path: Path) -> np.ndarray:
        """Decode an image file and preprocess it.

        Raises:
            DataError: if the file cannot be decoded or preprocessed.
        """
        return self.preprocess(load_image(path, draft=self.draft))

    def encode(self, pixels: np.ndarray) -> Tensor:
        """Region features without gradient, computed in float32 where the weights are.

        Args:
            pixels: (B, ...) stacked results of `preprocess`.

        Returns:
            (B, K, d) float32 on the CPU.

        Raises:
            FeatureError: if the network gives another shape, NaN or infinity.
        """
        with torch.inference_mode(), _plain_float32(self.device):
            # torch warns of arrays that it may not write to, as Pillow's are
            batch = torch.from_numpy(np.require(pixels, requirements="W"))
            features: Tensor = self(batch.to(self.device)).cpu()
        expected = (len(pixels), self.regions, self.width)
        if tuple(features.shape) != expected:
            raise FeatureError(
                f"backbone {self.name} gave features of shape {tuple(features.shape)} instead of "
                f"{expected}; choose a backbone with a fixed number of regions."
            )
        if not bool(torch.isfinite(features).all()):
            raise FeatureError(
                f"backbone {self.name} gave NaN or infinite features; check its weights."
            )
        return features

    def _freeze(self) -> None:
        """Evaluation mode, no gradients, and the memory format that convolutions run fastest in."""
        self.eval().requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def identity(self) -> dict[str, JsonValue]:
        """What a feature store records of its backbone: name, hash, preprocessing, K and d."""
        return {
            "backbone": self.name,
            "weights_hash": self.weights_hash,
            "preprocessing": self.preprocessing,
            "regions": self.regions,
            "width": self.width,
        }


def _plain_float32(device: torch.device) -> AbstractContextManager[None]:
    """On a GPU no TF32, which cuDNN takes by default, and the same bits each time."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


def hash_state(model: nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of the weights, in the order of the names."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def refuse_extreme_aspect(image: Image.Image) -> None:
    """Raise a DataError if an image is more than `MAX_ASPECT` times as long as wide."""
    if max(image.size) > MAX_ASPECT * min(image.size):
        raise DataError(
            f"image of {image.width} x {image.height} pixels: more than {MAX_ASPECT} times as "
            "long as wide; crop it."
        )
