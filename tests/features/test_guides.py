from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

from user_itr.errors import FeatureError, MissingExtraError
from user_itr.features.backbones.efficientnet_lite import EfficientNetLite, weights_file
from user_itr.features.guides.pooled import PooledGuide, pooled_embedding
from user_itr.features.guides.registry import (
    create_guide,
    guide_folder,
    guide_names,
    pooled_backbone,
)


@pytest.fixture
def noise() -> Image.Image:
    coarse = np.random.default_rng(2).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((80, 60), Image.Resampling.BICUBIC)


def test_the_mean_is_of_float16_regions_in_float32() -> None:
    regions = torch.tensor([[[1.0, 60000.0, 7e4], [1.0 + 2**-12, 60000.0, 7e4], [2.0, 0.0, 7e4]]])
    pooled = pooled_embedding(regions)
    assert pooled.dtype == torch.float16
    # 1 + 2**-12 is 1 in float16; 60000 + 60000 does not fit in float16; 7e4 is clipped
    assert pooled.tolist() == [[np.float16(4 / 3), np.float16(40000), 65504]]
    torch.testing.assert_close(pooled_embedding(regions.clamp(max=65504).half()), pooled)


def test_lites_guide_is_its_own_pooled_vector_before_the_classifier(noise: Image.Image) -> None:
    guide = create_guide("efficientnet-lite0")
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(weights_file("efficientnet-lite0"), weights_only=True))
    seen = {}
    network._fc.register_forward_pre_hook(lambda module, inputs: seen.update(pooled=inputs[0]))
    pixels = np.asarray(noise.resize((224, 224), Image.Resampling.BICUBIC), np.float32)
    with torch.inference_mode():
        network.eval()(torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1)[None])

    embedding = guide.encode(guide.preprocess(noise)[None])

    assert embedding.shape == (1, 1, 1280)
    assert seen["pooled"].std() > 0.1
    torch.testing.assert_close(embedding[0], seen["pooled"], atol=1e-3, rtol=2e-3)


def test_a_pooled_guide_is_the_mean_over_its_backbones_regions(
    noise: Image.Image, lite0: EfficientNetLite
) -> None:
    guide = create_guide("pooled:efficientnet-lite0")
    assert isinstance(guide, PooledGuide)
    pixels = np.stack([guide.preprocess(noise), guide.preprocess(noise.rotate(90))])
    regions = lite0.encode(pixels)
    np.testing.assert_array_equal(pixels[0], lite0.preprocess(noise))
    assert torch.equal(guide.encode(pixels)[:, 0], pooled_embedding(regions).float())
    assert guide.identity() == {
        "backbone": "pooled:efficientnet-lite0",
        "weights_hash": lite0.weights_hash,
        "preprocessing": {**lite0.preprocessing, "pooled_regions": 49},
        "regions": 1,
        "width": 1280,
    }


@pytest.mark.parametrize(
    ("spec", "backbone"),
    [
        ("efficientnet-lite2", "efficientnet-lite2"),
        ("timm:resnet18", "timm:resnet18"),
        ("pooled:efficientnet-lite2", "efficientnet-lite2"),
        ("pooled:transformers:a/b", "transformers:a/b"),
        ("transformers:a/b", None),
        ("open_clip:ViT-B-32@openai", None),
    ],
)
def test_which_guides_are_means_of_regions(spec: str, backbone: str | None) -> None:
    assert pooled_backbone(spec) == backbone


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("efficientnet-lite9", "did you mean 'efficientnet-lite"),
        ("openclip:ViT-B-32", "did you mean 'open_clip:'"),
        ("poled:", "did you mean 'pooled:'"),
        ("zzz", "guide 'zzz' is unknown; choose"),
    ],
)
def test_unknown_names_list_what_there_is(spec: str, hint: str) -> None:
    with pytest.raises(FeatureError) as caught:
        create_guide(spec)
    assert hint in str(caught.value)
    assert all(name in str(caught.value) for name in guide_names())


def test_a_guide_that_was_not_fetched_is_said() -> None:
    with pytest.raises(FeatureError, match="run `user-itr models get nobody/clip`"):
        create_guide("nobody/clip")


def test_the_mean_of_an_unknown_backbone() -> None:
    with pytest.raises(FeatureError, match="backbone 'efficientnet-lite7' is unknown"):
        create_guide("pooled:efficientnet-lite7")


def test_folders_of_guides_are_readable_safe_and_distinct(tmp_path: Path) -> None:
    specs = [
        "efficientnet-lite0",
        "transformers:/models/clip",
        "transformers:/models-clip",
        "transformers:models/clip",
        "transformers:" + "very/" * 100 + "long",
        "open_clip:ViT-B-32@laion2b_s34b_b79k",
        "transformers:../..",
    ]
    folders = [guide_folder(tmp_path, spec) for spec in specs]
    assert folders[0] == tmp_path / "guides" / "efficientnet-lite0"
    assert folders[4].name.startswith("transformers-ver--")
    assert folders[5].name.startswith("open_clip-ViT-B-32-laion2b_s34b_b79k-")
    assert len(set(folders)) == len(folders)
    for folder in folders:
        assert folder.parent == tmp_path / "guides"
        assert len(folder.name) < 64
        folder.mkdir(parents=True)


def test_open_clip_without_open_clip_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'user-itr\[train,open_clip\]'"):
        create_guide("open_clip:ViT-B-32@openai")


@pytest.mark.parametrize("name", ["ViT-B-32@lost.safetensors", "ViT-B-32", "lost/folder"])
def test_open_clip_s_weights_have_to_be_there(name: str) -> None:
    with pytest.raises(FeatureError, match=r"is not there|give open_clip:MODEL@WEIGHTS"):
        create_guide(f"open_clip:{name}")
