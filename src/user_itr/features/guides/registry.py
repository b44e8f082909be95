"""From the name of a guide to the guide."""

from __future__ import annotations

import difflib
import hashlib
import re
from pathlib import Path

from user_itr.errors import CheckpointError, FeatureError
from user_itr.features.backbones.base import Backbone
from user_itr.features.backbones.efficientnet_lite import INPUT_SIZES
from user_itr.hub.names import known_name, resolve_model
from user_itr.runtime.dual_encoders.layout import is_published
from user_itr.runtime.dual_encoders.names import pair_of

GUIDES_FOLDER = "guides"
POOLED = "pooled:"
OPEN_FAMILIES = (
    "timm:NAME",
    "pooled:BACKBONE",
    "transformers:PATH_OR_NAME",
    "open_clip:MODEL@PRETRAINED_OR_FILE",
)


def guide_names() -> tuple[str, ...]:
    """The names that `create_guide` takes; upper-case words stand for the caller's own."""
    return (*INPUT_SIZES, *OPEN_FAMILIES)


def pooled_backbone(spec: str) -> str | None:
    """The backbone whose regions a guide averages, or None for an encoder of its own.

    Where that is the backbone of the regions at hand, `pooled_embedding` of those regions is the
    guide, and no second network is needed.
    """
    if spec.startswith(POOLED):
        return spec.removeprefix(POOLED)
    return spec if spec in INPUT_SIZES or spec.startswith("timm:") else None


def create_guide(spec: str) -> Backbone:
    """Build the guide that `spec` names: a frozen encoder with one region, the whole image.

    Args:
        spec: a backbone "efficientnet-lite0" (or 1, 2), "timm:NAME" or "pooled:BACKBONE" for the
            mean of its regions; "transformers:PATH_OR_NAME" or "open_clip:MODEL@PRETRAINED" for
            the model's own image embedding; the folder or name of a published dual encoder, for
            its own as well.

    Raises:
        FeatureError: if there is no such guide, or its weights cannot be loaded.
        MissingExtraError: if it needs a package that is not installed.
    """
    require_guide_name(spec)
    backbone = pooled_backbone(spec)
    if backbone is not None:
        from user_itr.features.guides.pooled import PooledGuide

        return PooledGuide(backbone, spec)
    family, _, rest = _whole_name(spec).partition(":")
    if family == "transformers":
        from user_itr.features.guides.transformers_embedding import TransformersEmbedding

        return TransformersEmbedding(rest)
    from user_itr.features.guides.open_clip_embedding import OpenClipEmbedding

    return OpenClipEmbedding(rest)


def require_guide_name(spec: str) -> None:
    """Make sure that `spec` is of a kind that `create_guide` knows, without loading anything.

    Raises:
        FeatureError: if it is not.
    """
    if _whole_name(spec) != spec and not _is_published_model(spec):
        raise FeatureError(
            f"guide {spec!r} is unknown{_suggestion(spec)}; choose one of "
            f"{', '.join(guide_names())}."
        )


def guide_folder(store: Path, spec: str) -> Path:
    """Where a region store keeps the embeddings of a guide: STORE/guides/SLUG.

    The slug is the spec, safe for file names; a spec that it cannot hold whole gets a hash too.
    """
    spec = _whole_name(spec)
    slug = re.sub(r"[^\w.-]+", "-", spec)
    if len(slug) > 48:
        slug = f"{slug[:16]}--{slug[-30:]}"
    if slug != spec:
        slug = f"{slug.strip('-.')}-{hashlib.sha256(spec.encode()).hexdigest()[:8]}"
    return store / GUIDES_FOLDER / slug


def _whole_name(spec: str) -> str:
    """A guide's name with its family: a model's folder or name alone is one of transformers.

    Of a pair it is the side of the images.
    """
    pair = pair_of(spec)
    if pair is not None:
        spec = pair[1]
    known = pooled_backbone(spec) is not None or spec.startswith(("transformers:", "open_clip:"))
    return spec if known else f"transformers:{spec}"


def _is_published_model(spec: str) -> bool:
    try:
        return is_published(resolve_model(spec).path)
    except CheckpointError as error:
        if known_name(spec) is None:
            return False
        raise FeatureError(str(error)) from None


def _suggestion(spec: str) -> str:
    if Path(spec).is_dir() or "/" in spec:
        return f" (did you mean 'transformers:{spec}'?)"
    families = [family.partition(":")[0] + ":" for family in OPEN_FAMILIES]
    close = difflib.get_close_matches(spec.lower(), [*INPUT_SIZES, *families], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
