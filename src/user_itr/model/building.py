"""Build modules from settings: the only place that maps a setting to a module."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from user_itr.config.settings import ImageSettings, ModelSettings, TextSettings
from user_itr.errors import ConfigError
from user_itr.model.dual_encoder import DualEncoder
from user_itr.model.enhancement import GlobalGuide, SelfGuide
from user_itr.model.image_encoder import ImageEncoder
from user_itr.model.pooling import GeneralizedPooling, MaxPooling, MeanPooling
from user_itr.model.projection import LinearProjection, RegionProjection
from user_itr.model.text_encoder import TextEncoder
from user_itr.model.token_encoders import (
    BiGRUTokens,
    TokenEncoder,
    TransformerTokens,
    build_transformer,
    load_transformer,
)

BIGRU = "bigru"
MOST_LAYERS = 1_000
"""Layers of a transformer."""

POOLINGS: dict[str, type[nn.Module]] = {
    "gpo": GeneralizedPooling,
    "mean": MeanPooling,
    "max": MaxPooling,
}


def build_dual_encoder(
    settings: ModelSettings,
    region_width: int,
    vocabulary: int,
    transformer: nn.Module | None = None,
    guide_width: int | None = None,
) -> DualEncoder:
    """Build the dual encoder, a pretrained text encoder's weights loaded, the rest random.

    Args:
        settings: of the model.
        region_width: d, width of the regions that the model will see.
        vocabulary: number of token ids, for a BiGRU.
        transformer: the text encoder's network, if the caller has it; otherwise loaded by name.
        guide_width: G, width of the guide embeddings of a model with CGE.

    Raises:
        ConfigError: if the model has CGE and there is no guide.
    """
    image = _build_image(settings.image, region_width, settings.embedding, guide_width)
    tokens = _build_tokens(settings.text, vocabulary, transformer)
    pooling = POOLINGS[settings.text.pooling]()
    text = TextEncoder(tokens, settings.embedding, settings.text.dropout, pooling)
    return DualEncoder(image, text)


def rebuild_dual_encoder(
    settings: ModelSettings,
    region_width: int,
    vocabulary: int,
    transformer_config: dict[str, Any] | None,
    guide_width: int | None = None,
) -> DualEncoder:
    """Build the dual encoder of a checkpoint: nothing pretrained is read, all weights random."""
    network = None if transformer_config is None else build_transformer(transformer_config)
    return build_dual_encoder(settings, region_width, vocabulary, network, guide_width)


def dual_encoder_size(
    settings: ModelSettings,
    region_width: int,
    vocabulary: int,
    transformer_config: dict[str, Any] | None,
    guide_width: int | None = None,
) -> tuple[int, int] | None:
    """Count the numbers of a checkpoint's encoder, without allocating memory for them.

    Arguments are those of `rebuild_dual_encoder`.

    Returns:
        The number without the transformer, and that of the transformer; None if the network cannot
        be built without memory.

    Raises:
        ConfigError: as `build_dual_encoder` does.
        ValueError: if the transformer has more layers than `MOST_LAYERS`.
    """
    layers = [value for key, value in (transformer_config or {}).items() if "layers" in key]
    if any(isinstance(count, int) and count > MOST_LAYERS for count in layers):
        raise ValueError(f"the text encoder has {max(layers):,} layers; at most {MOST_LAYERS}")
    # To split the layers, the whole is run, which needs memory; the numbers are the same.
    text = settings.text.model_copy(update={"trainable_layers": "all"})
    whole = settings.model_copy(update={"text": text})
    try:
        with torch.device("meta"):
            encoder = rebuild_dual_encoder(
                whole, region_width, vocabulary, transformer_config, guide_width
            )
    except NotImplementedError:
        return None
    total = sum(tensor.numel() for tensor in encoder.state_dict().values())
    tokens = encoder.text.tokens
    base = tokens.base if isinstance(tokens, TransformerTokens) else None
    inside = 0 if base is None else sum(t.numel() for t in base.state_dict().values())
    return total - inside, inside


def _build_image(
    settings: ImageSettings, width: int, embedding: int, guide_width: int | None
) -> ImageEncoder:
    # Do not reorder: the order of construction is the order of the random numbers.
    self_guide = global_guide = None
    if settings.self_guided:
        self_guide = SelfGuide(
            width,
            settings.guide_dropout,
            settings.guide_heads,
            settings.guide_norm_regions,
            settings.guide_init == "xavier",
        )
    projection = (
        LinearProjection(width, embedding)
        if settings.projection == "linear"
        else RegionProjection(width, embedding, settings.projection_dropout)
    )
    pooling = POOLINGS[settings.pooling]()
    if settings.clip_guided:
        if guide_width is None:
            raise ConfigError(
                f"model.image.enhancement = {settings.enhancement!r} needs a guide; give "
                "features.guide the name of a frozen image encoder."
            )
        global_guide = GlobalGuide(guide_width, width, embedding, settings.guide_residual)
    return ImageEncoder(
        projection,
        pooling,
        self_guide,
        global_guide,
        settings.attention_scale,
        settings.region_dropout,
    )


def _build_tokens(
    settings: TextSettings, vocabulary: int, transformer: nn.Module | None
) -> TokenEncoder:
    if settings.encoder == BIGRU:
        return BiGRUTokens(vocabulary, settings.gru_width, settings.word_width)
    network = load_transformer(settings.encoder) if transformer is None else transformer
    return TransformerTokens(network, settings.trainable_layers, settings.layer_dropout)
