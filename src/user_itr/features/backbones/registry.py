"""From the name of a backbone to the backbone."""

from __future__ import annotations

import difflib
from pathlib import Path

from user_itr.errors import FeatureError
from user_itr.features.backbones.base import Backbone
from user_itr.features.backbones.efficientnet_lite import INPUT_SIZES, EfficientNetLite

OPEN_FAMILIES = ("transformers:PATH_OR_NAME", "timm:NAME", "timm:NAME@WEIGHTS.safetensors")


def backbone_names() -> tuple[str, ...]:
    """The names that `create_backbone` takes; upper-case words stand for the caller's own."""
    return (*INPUT_SIZES, *OPEN_FAMILIES)


def create_backbone(spec: str) -> Backbone:
    """Build the backbone that `spec` names, weights loaded, in evaluation mode, on the CPU.

    Args:
        spec: "efficientnet-lite0" (or 1, 2), "transformers:PATH_OR_NAME" or "timm:NAME".

    Raises:
        FeatureError: if there is no such backbone, or its weights cannot be loaded.
        MissingExtraError: if it needs a package that is not installed.
    """
    family, colon, rest = spec.partition(":")
    if spec in INPUT_SIZES:
        return EfficientNetLite(spec)
    if family == "transformers" and colon:
        from user_itr.features.backbones.transformers_vision import TransformersVision

        return TransformersVision(rest)
    if family == "timm" and colon:
        from user_itr.features.backbones.timm_backbone import TimmBackbone

        return TimmBackbone(rest)
    raise FeatureError(
        f"backbone {spec!r} is unknown{_suggestion(spec)}; choose one of "
        f"{', '.join(backbone_names())}."
    )


def _suggestion(spec: str) -> str:
    if Path(spec).is_dir() or "/" in spec:
        return f" (did you mean 'transformers:{spec}'?)"
    close = difflib.get_close_matches(spec.lower(), [*INPUT_SIZES, "transformers:", "timm:"], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
