from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from feature_helpers import QuadrantMeans, contents
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from user_itr.demo.sample_photos import copy_sample_photos
from user_itr.errors import ConfigError, FeatureError, MissingExtraError
from user_itr.features.backbones import onnx_backbone
from user_itr.features.backbones.efficientnet_lite import EfficientNetLite, weights_file
from user_itr.features.backbones.onnx_backbone import OnnxBackbone, exported_file
from user_itr.features.extraction import extract_features
from user_itr.features.guides.pooled import PooledGuide
from user_itr.features.runtime import with_runtime
from user_itr.features.store import FeatureStore
from user_itr.runtime.loading import as_runtime

Photos = Callable[..., list[tuple[str, Path]]]


class AnyBatch(QuadrantMeans):
    """`QuadrantMeans` in operations that an exported network can hold."""

    def forward(self, pixels: Tensor) -> Tensor:
        half = self.size // 2
        cells = pixels.float().reshape(-1, 2, half, 2, half, 3).mean(dim=(2, 4))
        return cells.flatten(1, 2) * self.scale


class Picky(QuadrantMeans):
    """Decides by the values of its input, which no exported network can."""

    def forward(self, pixels: Tensor) -> Tensor:
        return super().forward(pixels if int(pixels.float().sum()) % 2 else pixels + 1)


class OneBatch(QuadrantMeans):
    """Has a constant where the exporter saw a batch size."""

    def forward(self, pixels: Tensor) -> Tensor:
        return super().forward(pixels) + torch.zeros(int(pixels.shape[0]), 1, 1)


@pytest.fixture
def quadrants() -> AnyBatch:
    return AnyBatch()


@pytest.fixture(scope="module")
def sample_photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return copy_sample_photos(tmp_path_factory.mktemp("samples"))[:8]


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def plain_features(name: str, pixels: np.ndarray) -> Tensor:
    """The network as its package gives it: contiguous, nothing folded."""
    from efficientnet_lite_pytorch import EfficientNet

    plain = EfficientNet.from_name(name)
    plain.load_state_dict(torch.load(weights_file(name), weights_only=True))
    images = torch.from_numpy((pixels.astype(np.float32) - 127) / 128).permute(0, 3, 1, 2)
    with torch.no_grad():
        return plain.eval().extract_features(images.contiguous()).flatten(2).transpose(1, 2)


@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-lite2"])
def test_agrees_with_the_plain_network(name: str, sample_photos: list[Path]) -> None:
    backbone = EfficientNetLite(name)
    fast = with_runtime(backbone, "auto")
    assert fast.runtime == "onnxruntime"
    assert fast.identity() == backbone.identity()
    assert (fast.draft, fast.worker_preprocess) == (backbone.draft, backbone.worker_preprocess)
    pixels = np.stack([fast.load(path) for path in sample_photos])
    expected = plain_features(name, pixels)
    found = fast.encode(pixels)
    seen = expected.norm(dim=-1) > 0
    assert seen.float().mean() > 0.9
    assert F.cosine_similarity(found, expected, dim=-1)[seen].min() > 0.9999
    assert F.cosine_similarity(found.mean(1), expected.mean(1), dim=-1).min() > 0.9999
    torch.testing.assert_close(fast.encode(pixels[2:5]), found[2:5], atol=1e-4, rtol=1e-4)


def test_the_number_of_threads_changes_no_bit(
    lite0: EfficientNetLite, sample_photos: list[Path]
) -> None:
    pixels = np.stack([lite0.load(path) for path in sample_photos])
    alone = with_runtime(lite0, "auto").encode(pixels)
    before = torch.get_num_threads()
    torch.set_num_threads(before + 2)
    try:
        together = with_runtime(lite0, "auto").encode(pixels)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(alone, together)


def test_a_pooled_guide_is_exported_whole(sample_photos: list[Path]) -> None:
    guide = PooledGuide("efficientnet-lite0")
    fast = with_runtime(guide, "auto")
    assert fast.runtime == "onnxruntime"
    pixels = np.stack([fast.load(path) for path in sample_photos])
    expected, found = guide.encode(pixels), fast.encode(pixels)
    assert found.shape == (len(pixels), 1, 1280)
    assert F.cosine_similarity(found, expected, dim=-1).min() > 0.9999


def test_the_export_is_kept_and_a_damaged_one_is_made_again(
    quadrants: QuadrantMeans, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    expected = quadrants.encode(pixels)
    torch.testing.assert_close(OnnxBackbone(quadrants).encode(pixels), expected)
    file = exported_file(quadrants)
    assert own_cache in file.parents
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    whole = file.read_bytes()
    flipped = bytes([*whole[:-9], whole[-9] ^ 1, *whole[-8:]])
    for damaged in (whole[: len(whole) // 2], flipped, b""):
        file.write_bytes(damaged)
        torch.testing.assert_close(OnnxBackbone(quadrants).encode(pixels), expected)
        content = file.read_bytes()
        assert content[:32] == hashlib.sha256(content[32:]).digest()

    monkeypatch.setattr(onnx_backbone, "_export", None)  # from here on the file must do
    torch.testing.assert_close(OnnxBackbone(quadrants).encode(pixels), expected)
    other = AnyBatch(scale=2.0)
    assert exported_file(other) != file
    with pytest.raises(FeatureError, match="cannot take it"):
        OnnxBackbone(other)


def test_a_cache_that_cannot_be_written_stops_nothing(
    quadrants: QuadrantMeans, own_cache: Path
) -> None:
    own_cache.write_text("a file where the folder should be")
    pixels = np.zeros((2, 8, 8, 3), np.uint8)
    torch.testing.assert_close(OnnxBackbone(quadrants).encode(pixels), quadrants.encode(pixels))


@pytest.mark.parametrize("kind", [Picky, OneBatch])
def test_a_network_that_cannot_be_exported(
    kind: type[QuadrantMeans], caplog: pytest.LogCaptureFixture
) -> None:
    picky = kind()
    picky.faster_by_onnx = True
    with pytest.raises(FeatureError, match=r"quadrant-means: ONNX Runtime cannot take it \("):
        with_runtime(picky, "onnxruntime")
    with caplog.at_level(logging.WARNING):
        assert with_runtime(picky, "auto") is picky
    assert "It is computed by PyTorch instead." in caplog.text


def test_other_features_are_refused(
    quadrants: QuadrantMeans, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = onnx_backbone._run
    monkeypatch.setattr(onnx_backbone, "_run", lambda *inputs: run(*inputs) - 150)
    with pytest.raises(FeatureError, match=r"cosine of -[01]\.\d+ to PyTorch's"):
        OnnxBackbone(quadrants)
    assert not exported_file(quadrants).exists()


def test_the_choice_of_a_runtime(
    quadrants: QuadrantMeans, lite0: EfficientNetLite, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert with_runtime(lite0, "torch") is lite0
    assert with_runtime(quadrants, "auto") is quadrants  # nobody measured that it gains
    with pytest.raises(ConfigError, match="--runtime 'onnx': use auto, torch, onnxruntime"):
        as_runtime("onnx", "--runtime")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert with_runtime(lite0, "auto") is lite0
    with pytest.raises(MissingExtraError, match=r"\(onnxscript\); run `pip install 'user-itr\[fa"):
        with_runtime(lite0, "onnxruntime")


def test_a_store_tells_what_computed_it(
    quadrants: QuadrantMeans, photos: Photos, tmp_path: Path
) -> None:
    images = photos(7)
    fast = OnnxBackbone(quadrants)
    for name, backbone in (("torch", quadrants), ("onnx", fast)):
        assert extract_features(images, backbone, tmp_path / name, batch_size=2).complete
    exact, made = (FeatureStore.open(tmp_path / name) for name in ("torch", "onnx"))
    assert set(made.manifest.created_with) - set(exact.manifest.created_with) == {"onnxruntime"}
    assert made.manifest.fingerprint != exact.manifest.fingerprint
    assert made.matches(quadrants)
    assert exact.matches(fast)
    np.testing.assert_allclose(made.array, exact.array, atol=0.25)
    assert exact.array.max() > 100
    with pytest.raises(FeatureError, match=r"computed by numpy and onnxruntime .*--overwrite"):
        extract_features(images, quadrants, tmp_path / "onnx", batch_size=2)

    for _ in range(4):
        extract_features(images, fast, tmp_path / "resumed", batch_size=2, limit_batches=1)
    assert contents(tmp_path / "resumed") == contents(tmp_path / "onnx")


def test_large_jpegs_of_a_fast_backbone_are_decoded_at_a_fraction(
    lite0: EfficientNetLite, tmp_path: Path
) -> None:
    Image.new("RGB", (2000, 1500), (90, 120, 30)).save(tmp_path / "large.jpg")
    fast = with_runtime(lite0, "auto")
    assert np.array_equal(fast.load(tmp_path / "large.jpg"), lite0.load(tmp_path / "large.jpg"))
