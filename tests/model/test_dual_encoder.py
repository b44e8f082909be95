from __future__ import annotations

import torch
from tiny_transformers import VOCABULARY, tiny_transformer

from user_itr.config.loading import load_settings
from user_itr.config.settings import ModelSettings
from user_itr.model.building import build_dual_encoder, rebuild_dual_encoder
from user_itr.model.dual_encoder import DualEncoder
from user_itr.model.pooling import GeneralizedPooling, MeanPooling
from user_itr.model.projection import LinearProjection, RegionProjection
from user_itr.model.token_encoders import BiGRUTokens, TransformerTokens
from user_itr.objective.building import build_objective


def settings(**text: object) -> ModelSettings:
    return ModelSettings.model_validate(
        {
            "embedding": 12,
            "image": {"guide_dropout": 0.1, "projection_dropout": 0.2, "attention_scale": 3.0},
            "text": {"encoder": "bigru", "gru_width": 7, "word_width": 5, "dropout": 0.3, **text},
        }
    )


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    region_mask = torch.arange(4) < torch.tensor([[4], [2], [1]])
    token_mask = torch.arange(5) < torch.tensor([[5], [3], [2], [1], [4]])
    tokens = torch.randint(1, VOCABULARY, (5, 5), generator=generator)
    return torch.randn(3, 4, 6, generator=generator), region_mask, tokens, token_mask


def test_each_modality_goes_through_its_branch() -> None:
    model = build_dual_encoder(settings(), 6, VOCABULARY).eval()
    regions, region_mask, tokens, token_mask = inputs()
    images, captions = model(regions, region_mask, tokens, token_mask)
    assert images.shape == (3, 12)
    assert captions.shape == (5, 12)
    assert torch.equal(images, model.image(regions, region_mask))
    assert torch.equal(captions, model.text(tokens, token_mask))
    for embeddings in (images, captions):
        torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(len(embeddings)))


def test_settings_become_modules() -> None:
    model = build_dual_encoder(settings(), 6, VOCABULARY)
    assert model.image.guide is not None
    assert model.image.guide.dropout.p == 0.1
    assert model.image.projection.dropout.p == 0.2
    assert model.image.attention_scale == 3.0
    assert model.text.dropout.p == 0.3
    assert isinstance(model.text.tokens, BiGRUTokens)
    assert model.text.tokens.embedding.weight.shape == (VOCABULARY, 5)
    assert model.text.tokens.width == 7
    plain = ModelSettings.model_validate(
        {"image": {"enhancement": "none"}, "text": {"encoder": "bigru"}}
    )
    assert build_dual_encoder(plain, 6, VOCABULARY).image.guide is None


def test_a_transformer_is_wrapped_as_the_settings_say() -> None:
    network = tiny_transformer("bert")
    chosen = settings(encoder="any", trainable_layers=2, layer_dropout=0.25)
    model = build_dual_encoder(chosen, 6, VOCABULARY, network)
    tokens = model.text.tokens
    assert isinstance(tokens, TransformerTokens)
    assert tokens.base is network
    assert len(tokens.layers) == 2
    drops = {m.p for m in tokens.layers.modules() if isinstance(m, torch.nn.Dropout)}
    assert drops == {0.25}


def test_rebuilding_needs_no_pretrained_weights() -> None:
    for chosen, network in (
        (settings(), None),
        (settings(encoder="/no/such/folder", trainable_layers=1), tiny_transformer("bert")),
    ):
        config = None if network is None else network.config.to_dict()
        model = build_dual_encoder(chosen, 6, VOCABULARY, network).eval()
        again: DualEncoder = rebuild_dual_encoder(chosen, 6, VOCABULARY, config).eval()
        again.load_state_dict(model.state_dict())
        for a, b in zip(model(*inputs()), again(*inputs()), strict=True):
            assert torch.equal(a, b)


def test_baselines_are_presets() -> None:
    """VSE++ and VSE-infinity: which modules their settings give, and which objective."""
    plus = load_settings("flickr8k-vse++")
    model = build_dual_encoder(plus.model, 6, VOCABULARY)
    assert isinstance(model.image.projection, LinearProjection)
    assert isinstance(model.image.pooling, MeanPooling)
    assert isinstance(model.text.tokens, BiGRUTokens)
    assert isinstance(model.text.pooling, MeanPooling)

    infinity = load_settings("flickr8k-vse-infinity")
    model = build_dual_encoder(infinity.model, 6, VOCABULARY)
    assert isinstance(model.image.projection, RegionProjection)
    assert isinstance(model.image.pooling, GeneralizedPooling)
    assert isinstance(model.text.tokens, TransformerTokens)
    assert isinstance(model.text.pooling, GeneralizedPooling)

    for preset in (plus, infinity):
        assert preset.model.image.enhancement == "none"
        assert preset.objective.kind == "triplet"
        assert preset.objective.negatives == "hardest"
        assert not build_objective(preset.objective).uses_momentum
    user = load_settings("flickr8k")
    same = {"backbone", "grid", "width", "mirror", "crop"}
    assert user.features.model_dump(include=same) == infinity.features.model_dump(include=same)
    assert user.model.text == infinity.model.text
    assert user.training == infinity.training
