"""What computes a backbone: PyTorch, or ONNX Runtime where it is faster."""

from __future__ import annotations

import logging
from importlib.util import find_spec

import torch

from user_itr.errors import ConfigError, FeatureError, MissingExtraError
from user_itr.features.backbones.base import Backbone
from user_itr.runtime.loading import Runtime

PACKAGES = ("onnxruntime", "onnx", "onnxscript")
"""One runs a network, two write it down."""

logger = logging.getLogger(__name__)


def best_device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def for_extraction(backbone: Backbone, runtime: Runtime = "torch") -> Backbone:
    """The backbone as features are extracted with it: on a GPU where there is one.

    ONNX Runtime computes on the CPU, so a backbone for it stays there. Errors are those of
    `with_runtime`.
    """
    if runtime != "onnxruntime":
        backbone = backbone.to(best_device())
    return with_runtime(backbone, runtime)


def with_runtime(backbone: Backbone, runtime: Runtime) -> Backbone:
    """The backbone computed by a runtime, on the device where its weights are.

    Both compute in float32 and agree to a cosine above 0.9999; the last bits differ.

    Raises:
        ConfigError: if ONNX Runtime is asked for and the weights are not on the CPU.
        FeatureError: if ONNX Runtime is asked for and cannot take this network.
        MissingExtraError: if ONNX Runtime is asked for and not installed.
    """
    if runtime == "torch":
        return backbone
    from user_itr.features.backbones.onnx_backbone import OnnxBackbone

    absent = [name for name in PACKAGES if find_spec(name) is None]
    device = backbone.device
    if runtime == "auto":
        if absent or device.type != "cpu" or not backbone.faster_by_onnx:
            return backbone
        try:
            return OnnxBackbone(backbone)
        except FeatureError as error:
            logger.warning("%s It is computed by PyTorch instead.", error)
            return backbone
    if absent:
        raise MissingExtraError(
            f"runtime onnxruntime needs more packages ({', '.join(absent)}); run "
            "`pip install 'user-itr[train]'`."
        )
    if device.type != "cpu":
        raise ConfigError(f"runtime onnxruntime computes on the CPU, not on {device}; use torch.")
    return OnnxBackbone(backbone)
