from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tiny_vision import SQUARE, TINY, save
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from user_itr.errors import DataError, FeatureError
from user_itr.features.backbones.base import hash_files
from user_itr.features.backbones.registry import create_backbone
from user_itr.features.backbones.transformers_vision import TransformersVision


def make(kind: str, folder: Path) -> tuple[Path, Any]:
    """Save a tiny random model of a kind, return its folder and its vision part."""
    torch.manual_seed(5)
    clip_processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SQUARE)
    if kind == "vit":
        model = transformers.ViTModel(transformers.ViTConfig(**TINY))
        return save(folder, model, ViTImageProcessorPil(size=SQUARE)), model
    if kind == "registers":
        config = transformers.Dinov2WithRegistersConfig(**TINY, num_register_tokens=4)
        model = transformers.Dinov2WithRegistersModel(config)
        return save(folder, model, ViTImageProcessorPil(size=SQUARE)), model
    if kind == "swin":
        config = transformers.SwinConfig(
            image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4
        )
        model = transformers.SwinModel(config)
        return save(folder, model, ViTImageProcessorPil(size=SQUARE)), model
    if kind == "clip vision":
        model = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**TINY))
        return save(folder, model, clip_processor), model
    if kind == "clip":
        text = {key: TINY[key] for key in list(TINY)[:4]} | {
            "vocab_size": 50,
            "bos_token_id": 1,
            "eos_token_id": 2,
        }
        config = transformers.CLIPConfig(text_config=text, vision_config=TINY)
        model = transformers.CLIPModel(config)
        return save(folder, model, clip_processor), model.vision_model
    assert kind == "resnet"
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
    )
    model = transformers.ResNetModel(config)
    processor = ConvNextImageProcessorPil(size={"shortest_edge": 32}, crop_pct=1.0)
    return save(folder, model, processor), model


@pytest.mark.parametrize(
    ("kind", "dropped", "regions", "width"),
    [
        ("vit", 1, 16, 16),
        ("registers", 5, 16, 16),
        ("swin", 0, 16, 16),
        ("clip vision", 1, 16, 16),
        ("clip", 1, 16, 16),
        ("resnet", 0, 16, 16),
    ],
)
def test_equals_the_models_own_output(
    kind: str, dropped: int, regions: int, width: int, tmp_path: Path
) -> None:
    folder, model = make(kind, tmp_path / "model")
    random = np.random.default_rng(1)
    image = Image.fromarray(random.integers(0, 256, (40, 56, 3), dtype=np.uint8))
    backbone = create_backbone(f"transformers:{folder}")
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    inputs = processor(images=[image, image.rotate(180)], return_tensors="pt")
    with torch.no_grad():
        hidden = model.eval()(**inputs).last_hidden_state
    expected = hidden.flatten(2).mT if hidden.ndim == 4 else hidden[:, dropped:]

    batch = np.stack([backbone.preprocess(image), backbone.preprocess(image.rotate(180))])
    features = backbone.encode(batch)

    assert (backbone.regions, backbone.width) == (regions, width) == tuple(expected.shape[1:])
    assert backbone.preprocessing["dropped_tokens"] == dropped
    assert features.std() > 0.01
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-4)
    assert backbone.weights_hash == hash_files([folder / "model.safetensors"])
    assert "torchvision" not in sys.modules


def test_identity_is_json(tmp_path: Path) -> None:
    backbone = TransformersVision(str(make("clip vision", tmp_path / "model")[0]))
    identity = backbone.identity()
    assert json.loads(json.dumps(identity)) == identity
    assert identity["preprocessing"]["processor"]["crop_size"] == SQUARE


def test_a_checkpoint_without_pooler_loads_the_same_twice(tmp_path: Path) -> None:
    torch.manual_seed(2)
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**TINY, num_labels=3))
    folder = save(tmp_path / "m", model, ViTImageProcessorPil(size=SQUARE))
    first, second = TransformersVision(str(folder)), TransformersVision(str(folder))
    pixels = first.preprocess(Image.new("RGB", (20, 20), (200, 30, 90)))[None]
    assert first.weights_hash == second.weights_hash
    assert torch.equal(first.encode(pixels), second.encode(pixels))


def test_sharded_weights(tmp_path: Path) -> None:
    model = transformers.ViTModel(transformers.ViTConfig(**TINY))
    folder = save(tmp_path / "m", model, ViTImageProcessorPil(size=SQUARE), max_shard_size="8KB")
    shards = list(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert TransformersVision(str(folder)).weights_hash == hash_files(shards)


def test_thin_images(tmp_path: Path) -> None:
    backbone = TransformersVision(str(make("clip vision", tmp_path / "model")[0]))
    assert backbone.preprocess(Image.new("RGB", (1, 40))).shape == (3, 32, 32)
    assert backbone.preprocess(Image.new("RGB", (3, 5))).shape == (3, 32, 32)
    with pytest.raises(DataError, match="1 x 101 pixels"):
        backbone.preprocess(Image.new("RGB", (1, 101)))


def test_a_processor_that_keeps_the_aspect_ratio_is_refused(tmp_path: Path) -> None:
    folder, _ = make("clip vision", tmp_path / "model")
    CLIPImageProcessorPil(size={"shortest_edge": 32}, do_center_crop=False).save_pretrained(folder)
    with pytest.raises(FeatureError, match="scales by aspect ratio"):
        TransformersVision(str(folder))


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder, _ = make("vit", tmp_path / "model")
    state = load_file(folder / "model.safetensors")
    dropped = next(key for key in state if "layer" in key and key.endswith("weight"))
    del state[dropped]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FeatureError, match="lacks 1 weights"):
        TransformersVision(str(folder))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no weights", "no model.safetensors"),
        ("cut weights", "cannot be loaded"),
        ("no processor", "cannot be loaded .* preprocessor_config.json"),
        ("bad config", "cannot be loaded"),
    ],
)
def test_damaged_folders(damage: str, message: str, tmp_path: Path) -> None:
    folder, _ = make("vit", tmp_path / "model")
    weights = folder / "model.safetensors"
    if damage == "no weights":
        weights.unlink()
    elif damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "no processor":
        (folder / "preprocessor_config.json").unlink()
    else:
        (folder / "config.json").write_text("{")
    with pytest.raises(FeatureError, match=message):
        TransformersVision(str(folder))


@pytest.mark.parametrize(
    "source", ["./nowhere", "/no/where/at/all", "~/no-such-folder", "a/b/c", ""]
)
def test_a_path_that_is_no_folder_is_never_looked_up(source: str) -> None:
    with pytest.raises(FeatureError, match="no such folder"):
        TransformersVision(source)


def test_hub_names_are_read_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(FeatureError, match="run `user-itr models get nobody/tiny-vit`"):
        TransformersVision("nobody/tiny-vit")

    folder, _ = make("vit", tmp_path / "model")
    repository = tmp_path / "hub" / "models--nobody--tiny-vit"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, repository / "snapshots" / ("0" * 40))
    backbone = TransformersVision("nobody/tiny-vit")
    assert backbone.name == "transformers:nobody/tiny-vit"
    assert backbone.weights_hash == hash_files([folder / "model.safetensors"])

    (repository / "snapshots" / ("0" * 40) / "model.safetensors").unlink()
    with pytest.raises(FeatureError, match=r"get nobody/tiny-vit/model\.safetensors"):
        TransformersVision("nobody/tiny-vit")
