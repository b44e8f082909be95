"""From settings to modules: the one place that knows which setting becomes which module."""

from __future__ import annotations

from typing import Any

from torch import nn

from user_itr.config.settings import ModelSettings, TextSettings
from user_itr.model.dual_encoder import DualEncoder
from user_itr.model.image_encoder import ImageEncoder
from user_itr.model.text_encoder import TextEncoder
from user_itr.model.token_encoders import (
    BiGRUTokens,
    TokenEncoder,
    TransformerTokens,
    build_transformer,
    load_transformer,
)

BIGRU = "bigru"


def build_dual_encoder(
    settings: ModelSettings,
    region_width: int,
    vocabulary: int,
    transformer: nn.Module | None = None,
) -> DualEncoder:
    """Build the dual encoder, a pretrained text encoder's weights loaded, the rest random.

    Args:
        settings: of the model.
        region_width: d, width of the regions that the model will see.
        vocabulary: number of token ids, for a BiGRU.
        transformer: the text encoder's network where the caller has it; loaded by name otherwise.
    """
    image = ImageEncoder(
        region_width,
        settings.embedding,
        settings.image.enhancement,
        guide_dropout=settings.image.guide_dropout,
        projection_dropout=settings.image.projection_dropout,
        attention_scale=settings.image.attention_scale,
        region_dropout=settings.image.region_dropout,
    )
    tokens = _build_tokens(settings.text, vocabulary, transformer)
    return DualEncoder(image, TextEncoder(tokens, settings.embedding, settings.text.dropout))


def rebuild_dual_encoder(
    settings: ModelSettings,
    region_width: int,
    vocabulary: int,
    transformer_config: dict[str, Any] | None,
) -> DualEncoder:
    """Build the dual encoder of a checkpoint: nothing pretrained is read, all weights random."""
    network = None if transformer_config is None else build_transformer(transformer_config)
    return build_dual_encoder(settings, region_width, vocabulary, network)


def _build_tokens(
    settings: TextSettings, vocabulary: int, transformer: nn.Module | None
) -> TokenEncoder:
    if settings.encoder == BIGRU:
        return BiGRUTokens(vocabulary, settings.gru_width, settings.word_width)
    network = load_transformer(settings.encoder) if transformer is None else transformer
    return TransformerTokens(network, settings.trainable_layers, settings.layer_dropout)
