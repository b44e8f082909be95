"""Features that a GPU extracts: those of the CPU but for the last bits, and a store says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from user_itr.errors import FeatureError
from user_itr.features.backbones.efficientnet_lite import EfficientNetLite
from user_itr.features.extraction import extract_features
from user_itr.features.runtime import for_extraction
from user_itr.features.store import FeatureStore

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for number in range(6):
        coarse = random.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((240, 180)).save(folder / f"{number}.png")
    return [(path.name, path) for path in sorted(folder.iterdir())]


def test_features_agree_and_are_the_same_each_time(
    images: list[tuple[str, Path]], tmp_path: Path
) -> None:
    on_cpu = EfficientNetLite()
    on_gpu = for_extraction(EfficientNetLite())
    assert on_gpu.device.type == "cuda"
    pixels = np.stack([on_cpu.load(path) for _, path in images])
    wanted, found = on_cpu.encode(pixels), on_gpu.encode(pixels)
    assert found.device.type == "cpu"
    assert float((found - wanted).norm() / wanted.norm()) < 1e-5  # TF32 would be at 1e-3
    for name in ("one", "two"):
        extract_features(images, on_gpu, tmp_path / name, batch_size=4)
    one, two = (FeatureStore.open(tmp_path / name) for name in ("one", "two"))
    assert one.manifest.features_sha256 == two.manifest.features_sha256


def test_no_extraction_is_continued_by_another_device(
    images: list[tuple[str, Path]], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    extract_features(images, EfficientNetLite(), store, batch_size=2, limit_batches=1)
    with pytest.raises(FeatureError, match="another folder or --overwrite"):
        extract_features(images, for_extraction(EfficientNetLite()), store, batch_size=2)
    extract_features(images, EfficientNetLite(), store, batch_size=2)
    assert "cuda" not in FeatureStore.open(store).manifest.created_with
    with pytest.raises(FeatureError, match="computed by"):
        extract_features(images, for_extraction(EfficientNetLite()), store, batch_size=2)
