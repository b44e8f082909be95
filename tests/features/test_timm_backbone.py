from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from user_itr.errors import FeatureError

timm = pytest.importorskip("timm", reason="the extra `timm` is not installed")

from user_itr.features.backbones.timm_backbone import TimmBackbone  # noqa: E402


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224"])
def test_equals_the_models_own_features(name: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False).eval()
    file = tmp_path / "weights.safetensors"
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, file)
    backbone = TimmBackbone(f"{name}@{file}")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8))
    data = timm.data.resolve_model_data_config(model)
    pixels = backbone.preprocess(image)
    assert pixels.shape == (*data["input_size"][1:], 3)
    mean, std = (np.array(data[key], np.float32) for key in ("mean", "std"))
    normal = torch.from_numpy((pixels / np.float32(255) - mean) / std).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = model.forward_features(normal)
    expected = expected.flatten(2).mT if expected.ndim == 4 else expected[:, 1:]
    features = backbone.encode(pixels[None])
    assert features.shape == (1, backbone.regions, backbone.width)
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=1e-4)


def test_refuses_weights_of_another_model(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(FeatureError, match="do not fit"):
        TimmBackbone(f"resnet10t@{tmp_path / 'w.safetensors'}")


def test_unknown_model() -> None:
    with pytest.raises(FeatureError, match="cannot create"):
        TimmBackbone("resnet_of_nobody@x.safetensors")
