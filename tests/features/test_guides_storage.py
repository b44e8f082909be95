from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from feature_helpers import QuadrantMeans, broken, contents, quadrant_oracle
from tiny_vision import save_siglip_vision

from user_itr.errors import FeatureError
from user_itr.features.backbones.efficientnet_lite import EfficientNetLite
from user_itr.features.extraction import extract_features
from user_itr.features.guides import storage
from user_itr.features.guides.pooled import PooledGuide, pooled_embedding
from user_itr.features.guides.registry import create_guide, guide_folder
from user_itr.features.guides.storage import extract_guide, open_guide, stored_guides
from user_itr.features.store import FeatureStore

Images = list[tuple[str, Path]]
Photos = Callable[..., Images]

MEAN = "pooled:quadrant-means"


@pytest.fixture
def siglip(tmp_path: Path) -> str:
    return f"transformers:{save_siglip_vision(tmp_path / 'siglip')}"


def region_store(images: Images, backbone: QuadrantMeans, out: Path) -> FeatureStore:
    extract_features(images, backbone, out, overwrite=True)
    return FeatureStore.open(out)


def stop_at(count: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == count:
            raise KeyboardInterrupt

    return progress


def test_the_mean_of_stored_regions_by_hand(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans
) -> None:
    images = photos(3)
    store = region_store([*images, broken(tmp_path)], quadrants, tmp_path / "s")
    guide = open_guide(store, MEAN, {})
    expected = [quadrant_oracle(path).mean(axis=0) for _, path in images]
    assert guide.path == guide_folder(tmp_path / "s", MEAN)
    assert guide.manifest.image_ids == store.manifest.image_ids
    assert guide.array.dtype == np.float16
    np.testing.assert_allclose(guide.array[:, 0], expected, rtol=1e-3)
    guide.verify()


def test_stored_regions_and_the_network_give_the_same_guide(
    tmp_path: Path, photos: Photos, lite0: EfficientNetLite
) -> None:
    images = photos(5)
    extract_features(images, lite0, tmp_path / "s", batch_size=2)
    store = FeatureStore.open(tmp_path / "s")
    averaged = open_guide(store, "efficientnet-lite0", {})
    network = PooledGuide("efficientnet-lite0")
    extract_features(images, network, tmp_path / "network", batch_size=2)
    through = FeatureStore.open(tmp_path / "network")

    regions = torch.from_numpy(np.array(store.array))
    assert torch.equal(torch.from_numpy(np.array(averaged.array[:, 0])), pooled_embedding(regions))
    assert averaged.manifest.identity() == network.identity() == through.manifest.identity()
    assert averaged.array.std() > 0.1
    np.testing.assert_allclose(averaged.array, through.array, rtol=2e-3, atol=2e-4)


def test_a_stopped_mean_continues_to_the_same_bytes(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "BLOCK", 2)
    images = photos(5)
    whole = region_store(images, quadrants, tmp_path / "whole")
    parts = region_store(images, quadrants, tmp_path / "parts")
    report = extract_guide(whole, MEAN, {})
    assert (report.images, report.resumed, report.complete) == (5, 0, True)
    with pytest.raises(KeyboardInterrupt):
        extract_guide(parts, MEAN, {}, progress=stop_at(4))
    assert extract_guide(parts, MEAN, {}).resumed == 4
    folders = [guide_folder(store.path, MEAN) for store in (whole, parts)]
    assert contents(folders[0]) == contents(folders[1])


def test_the_mean_is_taken_again_when_the_regions_are_others(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans
) -> None:
    images = photos(2)
    before = np.array(open_guide(region_store(images, quadrants, tmp_path / "s"), MEAN, {}).array)
    store = region_store(images, QuadrantMeans(scale=2.0), tmp_path / "s")
    after = open_guide(store, MEAN, {})
    np.testing.assert_array_equal(after.array, 2 * before)
    file = after.path / "features.npy"
    made = file.stat().st_mtime_ns
    open_guide(store, MEAN, {})
    assert file.stat().st_mtime_ns == made


def test_another_encoder_looks_at_the_stores_images_in_its_order(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans, siglip: str
) -> None:
    images = photos(5)
    bad = broken(tmp_path)
    store = region_store([*images[:2], bad, *images[2:]], quadrants, tmp_path / "s")
    guide = open_guide(store, siglip, dict(reversed([*images, bad])))
    network = create_guide(siglip)
    pixels = np.stack([network.load(path) for _, path in images])
    assert guide.manifest.image_ids == store.manifest.image_ids == tuple(i for i, _ in images)
    assert guide.manifest.identity() == network.identity()
    assert guide.array.shape == (5, 1, 16)
    np.testing.assert_array_equal(guide.array, network.encode(pixels).half().numpy())


def test_a_stopped_encoder_continues_to_the_same_bytes(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans, siglip: str
) -> None:
    images = photos(5)
    whole = region_store(images, quadrants, tmp_path / "whole")
    parts = region_store(images, quadrants, tmp_path / "parts")
    extract_guide(whole, siglip, dict(images), batch_size=2)
    with pytest.raises(KeyboardInterrupt):
        extract_guide(parts, siglip, dict(images), batch_size=2, progress=stop_at(2))
    with pytest.raises(FeatureError, match="is not finished"):
        FeatureStore.open(guide_folder(parts.path, siglip))
    assert stored_guides(parts.path) == []
    assert extract_guide(parts, siglip, dict(images), batch_size=2).resumed == 2
    folders = [guide_folder(store.path, siglip) for store in (whole, parts)]
    assert contents(folders[0]) == contents(folders[1])


def test_guides_lie_side_by_side(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans, siglip: str
) -> None:
    images = photos(2)
    store = region_store(images, quadrants, tmp_path / "s")
    assert stored_guides(store.path) == []
    for spec in (siglip, MEAN):
        open_guide(store, spec, dict(images))
    assert [guide.manifest.backbone for guide in stored_guides(store.path)] == [MEAN, siglip]
    FeatureStore.open(tmp_path / "s").verify()


def test_a_store_with_images_that_nobody_knows(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans, siglip: str
) -> None:
    images = photos(3)
    store = region_store(images, quadrants, tmp_path / "s")
    with pytest.raises(FeatureError, match=r"holds 2 images .*, first 001\.jpg; .*--guide"):
        open_guide(store, siglip, dict(images[:1]))
    assert not guide_folder(store.path, siglip).exists()


def test_a_guide_of_other_images_is_refused(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans, siglip: str
) -> None:
    images = photos(3)
    open_guide(region_store(images[:2], quadrants, tmp_path / "s"), siglip, dict(images))
    store = region_store(images, quadrants, tmp_path / "s")
    with pytest.raises(FeatureError, match=r"guide of other images .*remove this folder"):
        open_guide(store, siglip, dict(images))
    manifest = guide_folder(store.path, siglip) / "manifest.json"
    skipped = {"image_id": images[2][0], "reason": "too thin"}
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"skipped": [skipped]}))
    guide = open_guide(store, siglip, dict(images))
    with pytest.raises(FeatureError, match=r"002\.png \(skipped: too thin\)"):
        guide.rows(store.manifest.image_ids)
