from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tiny_vision import SQUARE, TINY, save, save_siglip_vision
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from user_itr.errors import DataError, FeatureError
from user_itr.features.backbones.base import hash_files
from user_itr.features.guides.registry import create_guide

TEXT: dict[str, Any] = {key: TINY[key] for key in list(TINY)[:4]} | {
    "vocab_size": 50,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def make(kind: str, folder: Path) -> tuple[Path, Any]:
    """Save a tiny random model of a kind, return its folder and the model."""
    torch.manual_seed(5)
    clip_processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SQUARE)
    if kind == "clip":
        config = transformers.CLIPConfig(text_config=TEXT, vision_config=TINY, projection_dim=24)
        model = transformers.CLIPModel(config)
        return save(folder, model, clip_processor), model
    if kind == "clip vision":
        config = transformers.CLIPVisionConfig(**TINY, projection_dim=24)
        model = transformers.CLIPVisionModelWithProjection(config)
        return save(folder, model, clip_processor), model
    if kind == "clip vision without projection":
        model = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**TINY))
        return save(folder, model, clip_processor), model
    if kind == "siglip":
        text = TEXT | {"projection_size": 16}
        config = transformers.SiglipConfig(text_config=text, vision_config=TINY)
        model = transformers.SiglipModel(config)
        return save(folder, model, SiglipImageProcessorPil(size=SQUARE)), model
    if kind == "siglip vision":
        saved = save_siglip_vision(folder)
        return saved, transformers.SiglipVisionModel.from_pretrained(saved)
    if kind == "chinese clip":
        text = TEXT | {"type_vocab_size": 2, "max_position_embeddings": 20}
        config = transformers.ChineseCLIPConfig(
            text_config=text, vision_config=TINY, projection_dim=24
        )
        model = transformers.ChineseCLIPModel(config)
        return save(folder, model, clip_processor), model
    if kind == "vit":
        model = transformers.ViTModel(transformers.ViTConfig(**TINY))
        return save(folder, model, ViTImageProcessorPil(size=SQUARE)), model
    assert kind == "resnet"
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
    )
    model = transformers.ResNetModel(config)
    processor = ConvNextImageProcessorPil(size={"shortest_edge": 32}, crop_pct=1.0)
    return save(folder, model, processor), model


def own_embedding(kind: str, model: Any, inputs: Any) -> torch.Tensor:
    """What transformers itself calls the embedding of an image."""
    if kind in ("clip", "siglip", "chinese clip"):
        return model.get_image_features(**inputs).pooler_output
    output = model(**inputs)
    return output.image_embeds if kind == "clip vision" else output.pooler_output.flatten(1)


@pytest.mark.parametrize(
    ("kind", "width"),
    [
        ("clip", 24),
        ("clip vision", 24),
        ("clip vision without projection", 16),
        ("siglip", 16),
        ("siglip vision", 16),
        ("chinese clip", 24),
        ("vit", 16),
        ("resnet", 16),
    ],
)
def test_equals_transformers_own_embedding(kind: str, width: int, tmp_path: Path) -> None:
    folder, model = make(kind, tmp_path / "model")
    random = np.random.default_rng(1)
    image = Image.fromarray(random.integers(0, 256, (40, 56, 3), dtype=np.uint8))
    image.save(tmp_path / "image.png")
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    inputs = processor(images=[image, image.rotate(180)], return_tensors="pt")
    with torch.no_grad():
        expected = own_embedding(kind, model.eval(), inputs)

    guide = create_guide(f"transformers:{folder}")
    pixels = np.stack([guide.load(tmp_path / "image.png"), guide.preprocess(image.rotate(180))])
    embedding = guide.encode(pixels)

    assert embedding.shape == (2, 1, width) == (2, guide.regions, guide.width)
    assert expected.std() > 0.01
    assert not torch.allclose(expected[0], expected[1], atol=1e-3)
    torch.testing.assert_close(embedding[:, 0], expected, atol=1e-6, rtol=1e-6)
    assert guide.name == f"transformers:{folder}"
    assert guide.weights_hash == hash_files([folder / "model.safetensors"])
    assert "torchvision" not in sys.modules


def test_only_the_image_half_of_a_clip_is_loaded(tmp_path: Path) -> None:
    whole = create_guide(f"transformers:{make('clip', tmp_path / 'whole')[0]}")
    half = create_guide(f"transformers:{make('clip vision', tmp_path / 'half')[0]}")
    assert [key for key, _ in whole.named_parameters()] == [
        key for key, _ in half.named_parameters()
    ]


def test_clips_embedding_is_not_the_mean_of_its_regions(tmp_path: Path) -> None:
    folder, _ = make("siglip", tmp_path / "model")
    own, mean = (create_guide(f"{kind}transformers:{folder}") for kind in ("", "pooled:"))
    pixels = own.preprocess(Image.radial_gradient("L").convert("RGB"))[None]
    assert own.width == mean.width
    assert not torch.allclose(own.encode(pixels), mean.encode(pixels), atol=1e-2)


@pytest.mark.parametrize("kind", ["no pooler", "segformer"])
def test_a_model_without_image_embedding(kind: str, tmp_path: Path) -> None:
    if kind == "no pooler":
        model = transformers.ViTForImageClassification(transformers.ViTConfig(**TINY))
    else:
        config = transformers.SegformerConfig(
            depths=[1] * 4, hidden_sizes=[8] * 4, decoder_hidden_size=8, num_attention_heads=[1] * 4
        )
        model = transformers.SegformerModel(config)
    folder = save(tmp_path / "m", model, ViTImageProcessorPil(size=SQUARE))
    with pytest.raises(FeatureError, match=r"no embedding of a whole image; .*pooled:"):
        create_guide(f"transformers:{folder}")
    assert create_guide(f"pooled:transformers:{folder}").regions == 1


def test_a_clip_that_lacks_its_projection_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder, _ = make("clip", tmp_path / "model")
    state = load_file(folder / "model.safetensors")
    del state["visual_projection.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FeatureError, match=r"lacks 1 weights .* visual_projection\.weight"):
        create_guide(f"transformers:{folder}")


def test_a_model_of_many_image_sizes_is_refused(tmp_path: Path) -> None:
    config = {key: value for key, value in TINY.items() if key != "image_size"}
    model = transformers.Siglip2VisionModel(transformers.Siglip2VisionConfig(**config))
    processor = Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    folder = save(tmp_path / "m", model, processor)
    with pytest.raises(FeatureError, match=r"patches of shape \(16, 192\) instead of an image"):
        create_guide(f"transformers:{folder}")


def test_thin_images_and_folders_that_are_none(tmp_path: Path) -> None:
    guide = create_guide(f"transformers:{make('clip', tmp_path / 'model')[0]}")
    with pytest.raises(DataError, match="1 x 101 pixels"):
        guide.preprocess(Image.new("RGB", (1, 101)))
    with pytest.raises(FeatureError, match="no such folder"):
        create_guide("transformers:./nowhere")
