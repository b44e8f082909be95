from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_vision import save_siglip_vision

from user_itr.data.captions import CaptionedImages
from user_itr.errors import FeatureError
from user_itr.features import regions
from user_itr.features.guides import storage
from user_itr.features.guides.registry import create_guide, guide_folder
from user_itr.features.regions import default_store, open_guides, open_regions
from user_itr.features.store import FeatureStore

BACKBONE = "efficientnet-lite0"


def split_of(folder: Path, split: str, colours: list[str]) -> CaptionedImages:
    folder.mkdir(exist_ok=True)
    for colour in colours:
        Image.new("RGB", (40, 30), colour).save(folder / f"{colour}.png")
    return CaptionedImages(
        name="colours",
        split=split,
        image_ids=tuple(f"{colour}.png" for colour in colours),
        captions=tuple(colours),
        caption_image=np.arange(len(colours)),
        image_paths=tuple(folder / f"{colour}.png" for colour in colours),
    )


@pytest.fixture
def siglip(tmp_path: Path) -> str:
    return f"transformers:{save_siglip_vision(tmp_path / 'siglip')}"


def test_splits_share_a_given_store_and_are_extracted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = split_of(tmp_path / "images", "train", ["red", "blue"])
    dev = split_of(tmp_path / "images", "dev", ["green"])
    store = tmp_path / "store"
    first = open_regions([train, dev], BACKBONE, tmp_path, store)
    assert len(FeatureStore.open(store)) == 3
    assert [len(r.rows) for r in first] == [2, 1]
    assert first[0].identity["backbone"] == BACKBONE
    assert FeatureStore.open(store).holds(dev.image_ids)
    assert not FeatureStore.open(store).holds(["no.png"])

    def refuse(spec: str) -> None:
        raise AssertionError(f"{spec} was loaded again")

    monkeypatch.setattr(regions, "create_backbone", refuse)
    again = open_regions([dev], BACKBONE, tmp_path, store)[0]
    np.testing.assert_array_equal(again.array[again.rows], first[1].array[first[1].rows])
    with pytest.raises(FeatureError, match="was made by backbone efficientnet-lite0"):
        open_regions([dev], "efficientnet-lite2", tmp_path, store)


def test_without_a_store_each_split_has_its_own_in_the_cache(tmp_path: Path) -> None:
    train = split_of(tmp_path / "images", "train", ["red"])
    test = split_of(tmp_path / "images", "test", ["green", "blue"])
    open_regions([train], BACKBONE, tmp_path)
    open_regions([test], BACKBONE, tmp_path)
    for split in (train, test):
        store = FeatureStore.open(default_store(tmp_path, split.split, BACKBONE))
        assert store.manifest.image_ids == split.image_ids


def test_a_set_without_images_or_features_is_refused(tmp_path: Path) -> None:
    split = split_of(tmp_path / "images", "train", ["red"])
    with pytest.raises(FeatureError, match=r"holds images, and .* give SCAN's folder .* by --data"):
        open_regions([split], regions.PRECOMPUTED, tmp_path)
    bare = replace(split, image_paths=None)
    with pytest.raises(FeatureError, match="brings no precomputed features"):
        open_regions([bare], BACKBONE, tmp_path)


def test_a_precomputed_file_is_mapped_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "train_ims.npy", np.arange(24, dtype=np.float32).reshape(3, 2, 4))
    split = CaptionedImages(
        name="scan",
        split="train",
        image_ids=("a", "b"),
        captions=("x", "y"),
        caption_image=np.array([0, 1]),
        feature_file=tmp_path / "train_ims.npy",
        feature_rows=np.array([2, 0]),
    )
    [found] = open_regions([split], BACKBONE, tmp_path)
    assert isinstance(found.array, np.memmap)
    assert found.array[found.rows][0, 0, 0] == 16
    assert found.identity == {
        "backbone": "precomputed",
        "weights_hash": "",
        "preprocessing": {},
        "regions": 2,
        "width": 4,
    }


@pytest.mark.parametrize("given", [True, False])
def test_guides_lie_beside_the_regions_and_are_extracted_once(
    given: bool, tmp_path: Path, siglip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = [
        split_of(tmp_path / "images", "train", ["red", "blue"]),
        split_of(tmp_path / "images", "dev", ["green"]),
    ]
    store = tmp_path / "store" if given else None
    raw = open_regions(splits, BACKBONE, tmp_path, store)
    guides = open_guides(splits, siglip, tmp_path, store, None, raw)
    network = create_guide(siglip)
    for split, guide, beside in zip(splits, guides, raw, strict=True):
        pixels = np.stack([network.load(path) for path in split.image_paths or ()])
        assert isinstance(guide.array, np.memmap)
        np.testing.assert_array_equal(
            guide.array[guide.rows], network.encode(pixels).half().numpy()
        )
        np.testing.assert_array_equal(guide.rows, beside.rows)
        assert guide.identity == network.identity()
        folder = store or default_store(tmp_path, split.split, BACKBONE)
        assert FeatureStore.open(guide_folder(folder, siglip)).holds(split.image_ids)

    def refuse(spec: str) -> None:
        raise AssertionError(f"{spec} was loaded again")

    monkeypatch.setattr(storage, "create_guide", refuse)
    again = open_guides(splits[1:], siglip, tmp_path, store, None, raw[1:])
    np.testing.assert_array_equal(again[0].array, guides[1].array)


def test_a_store_may_hold_more_than_the_splits_at_hand(tmp_path: Path, siglip: str) -> None:
    """As a store of a whole corpus does in training: the guides then lie in the cache folder."""
    folder, store = tmp_path / "images", tmp_path / "store"
    train, dev, test = (
        split_of(folder, split, colours)
        for split, colours in (("train", ["red", "blue"]), ("dev", ["green"]), ("test", ["white"]))
    )
    open_regions([train, dev, test], BACKBONE, tmp_path, store)
    network = create_guide(siglip)
    for splits in ([train, dev], [test]):
        raw = open_regions(splits, BACKBONE, tmp_path, store)
        for split, guide in zip(
            splits, open_guides(splits, siglip, tmp_path, store, None, raw), strict=True
        ):
            pixels = np.stack([network.load(path) for path in split.image_paths or ()])
            np.testing.assert_array_equal(
                guide.array[guide.rows], network.encode(pixels).half().numpy()
            )
            apart = default_store(tmp_path, split.split, f"guide-{siglip}")
            assert FeatureStore.open(apart).manifest.image_ids == split.image_ids
    assert not guide_folder(store, siglip).exists()

    everything = [train, dev, test]
    raw = open_regions(everything, BACKBONE, tmp_path, store)
    open_guides(everything, siglip, tmp_path, store, None, raw)
    beside = FeatureStore.open(guide_folder(store, siglip))
    assert beside.holds(("red.png", "green.png", "white.png"))


def test_the_backbones_own_mean_needs_no_images(tmp_path: Path) -> None:
    split = split_of(tmp_path / "images", "train", ["red", "blue"])
    raw = open_regions([split], BACKBONE, tmp_path)
    for path in split.image_paths or ():
        path.unlink()
    [guide] = open_guides([split], BACKBONE, tmp_path, None, None, raw)
    means = raw[0].array.astype(np.float64).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(guide.array, means, rtol=1e-3, atol=1e-6)
    assert guide.identity["weights_hash"] == raw[0].identity["weights_hash"]


def test_a_set_that_brings_its_features_has_no_guide(tmp_path: Path, siglip: str) -> None:
    np.save(tmp_path / "train_ims.npy", np.zeros((1, 2, 4), np.float32))
    split = CaptionedImages(
        name="scan",
        split="train",
        image_ids=("a",),
        captions=("x",),
        caption_image=np.array([0]),
        feature_file=tmp_path / "train_ims.npy",
        feature_rows=np.array([0]),
    )
    raw = open_regions([split], BACKBONE, tmp_path)
    with pytest.raises(
        FeatureError, match=r"scan \(train\): comes with features and has no images"
    ):
        open_guides([split], siglip, tmp_path, None, None, raw)
