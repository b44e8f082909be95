from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from tiny_runs import assert_same, resume, silent, start, write_picture_set

from user_itr.config.loading import load_settings
from user_itr.config.settings import Settings
from user_itr.data.readers import load_captions
from user_itr.errors import ConfigError, FeatureError
from user_itr.evaluation.metrics import evaluate_embeddings
from user_itr.features.backbones.registry import create_backbone
from user_itr.features.compact import Compactor
from user_itr.features.regions import Regions, open_regions
from user_itr.features.store import FeatureStore
from user_itr.features.viewed import ViewedBackbone, open_view
from user_itr.features.views import View
from user_itr.model.embedder import load
from user_itr.model.split_embeddings import embed_split
from user_itr.training.preparation import prepare
from user_itr.training.views import RandomViews

SIDE, WIDTH = 5, 4


def view(value: float) -> Regions:
    """Three images; region k of image i is value + 100 i + k everywhere."""
    array = np.empty((3, SIDE * SIDE, WIDTH), np.float16)
    for row, image in enumerate((2, 0, 1)):
        array[row] = value + 100 * image + np.arange(SIDE * SIDE)[:, None]
    return Regions(array, np.array([1, 2, 0]), {})


def test_each_image_takes_a_view_of_its_own() -> None:
    source = RandomViews([view(0), view(1000)])
    images = np.array([0, 1, 2, 1, 0, 2] * 20)
    got = source(images, np.random.default_rng(0))
    assert got.dtype == torch.float32
    first = got[:, 0, 0].numpy()
    assert np.array_equal(first % 1000, 100 * images)
    assert 0.3 < (first >= 1000).mean() < 0.7
    assert torch.equal(got, source(images, np.random.default_rng(0)))
    assert not torch.equal(got, source(images, np.random.default_rng(1)))


@given(crop=st.sampled_from([0.01, 0.4, 0.7, 0.99]), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_windows_are_windows_of_the_grid(crop: float, seed: int) -> None:
    """Every result is one of all windows that the share allows, typed as a double loop."""
    compactor = Compactor(SIDE * SIDE, WIDTH, 2, None)
    got = RandomViews([view(0)], compactor, crop)(np.array([1]), np.random.default_rng(seed))
    grid = torch.arange(25.0).view(1, 1, SIDE, SIDE) + 100
    least = int(np.ceil(crop * SIDE))
    allowed = []
    for high in range(least, SIDE + 1):
        for wide in range(least, SIDE + 1):
            for top in range(SIDE - high + 1):
                for left in range(SIDE - wide + 1):
                    window = grid[:, :, top : top + high, left : left + wide]
                    allowed.append(F.adaptive_avg_pool2d(window, 2).flatten())
    assert any(torch.allclose(got[0, :, 0], one) for one in allowed)


def test_without_a_window_it_is_what_the_model_sees_at_evaluation() -> None:
    compactor = Compactor(SIDE * SIDE, WIDTH, 2, None)
    plain = view(0)
    expected = compactor.apply_to(plain.array, plain.rows)
    got = RandomViews([plain], compactor, 1.0)(np.arange(3), np.random.default_rng(0))
    assert np.array_equal(got.numpy(), expected.astype(np.float32))


def test_a_share_sees_what_it_would_among_all_images() -> None:
    compactor = Compactor(SIDE * SIDE, WIDTH, 2, None)
    views = RandomViews([view(0), view(1)], compactor, 0.5)
    images = np.array([2, 0, 1, 2, 1, 0])
    for seed in range(5):
        whole = views(images, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        assert torch.equal(views(images, rng, slice(2, 5)), whole[2:5])
        other = np.random.default_rng(seed)
        views(images, other)
        assert rng.random() == other.random()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_picture_set(tmp_path_factory.mktemp("views") / "data")


def lite0_settings(data: Path, store: Path, *more: str) -> Settings:
    return load_settings(
        None,
        [
            "features.grid=2",
            "features.width=8",
            "features.mirror=true",
            "features.crop=0.6",
            "model.embedding=16",
            "model.text.encoder=bigru",
            "model.text.gru_width=8",
            "model.text.word_width=8",
            "model.text.min_word_count=1",
            "momentum.queue_length=5",
            "training.epochs=2",
            "training.batch_size=4",
            *more,
        ],
        data={"path": str(data)},
        features={"store": str(store)},
    )


def test_mirrored_features_are_those_of_mirrored_files(pictures: Path, tmp_path: Path) -> None:
    split = load_captions(pictures, "train")
    assert split.image_paths is not None
    [regions] = open_regions([split], "efficientnet-lite0", pictures, tmp_path / "store")
    mirror = View("mirror")
    mirrored = open_view(mirror, split, regions, pictures, tmp_path / "store")
    backbone = create_backbone("efficientnet-lite0")
    for row, path in zip(mirrored.rows[:2], split.image_paths[:2], strict=True):
        with Image.open(path) as image:
            turned = ImageOps.mirror(image.convert("RGB"))
        expected = backbone.encode(backbone.preprocess(turned)[None])[0].half().numpy()
        np.testing.assert_allclose(mirrored.array[row], expected, atol=2e-2)
    assert not np.allclose(mirrored.array[:], regions.array[:], atol=0.1)
    store = FeatureStore.open(tmp_path / "store" / "mirror")
    assert store.matches(ViewedBackbone(backbone, mirror))
    assert not store.matches(ViewedBackbone(backbone, View("centre-85")))


def test_training_measures_the_views_that_search_sees(pictures: Path, tmp_path: Path) -> None:
    names = "features.views=[whole, mirror, centre-60]"
    settings = lite0_settings(pictures, tmp_path / "store", names, "training.epochs=1")
    trainer = start(settings, tmp_path / "run")
    metrics = trainer.fit()
    assert metrics is not None
    assert len(trainer.prepared.dev.views) == 2
    embedder = load(tmp_path / "run", "cpu", "torch")
    embedded = embed_split(embedder, "dev", silent)
    split = embedded.split
    found = evaluate_embeddings(embedded.images, embedded.captions, split.caption_image)
    assert found.rsum == pytest.approx(metrics.rsum)
    assert split.image_paths is not None
    seen = embedder.encode_images(list(split.image_paths))
    np.testing.assert_allclose(embedded.images, seen, atol=1e-5)
    plain = lite0_settings(pictures, tmp_path / "store", "training.epochs=1")
    assert start(plain, tmp_path / "plain").prepared.dev.views == ()


def test_a_run_on_views_resumes_to_the_same_end(pictures: Path, tmp_path: Path) -> None:
    settings = lite0_settings(pictures, tmp_path / "store")
    prepared = prepare(settings, silent)
    assert len(prepared.train.regions) == len(FeatureStore.open(tmp_path / "store"))
    batch = next(prepared.batches.epoch(0))
    assert batch.regions.shape == (4, 4, 8)
    assert prepared.dev.regions.shape[1:] == (4, 8)

    whole = start(settings, tmp_path / "whole")
    whole.fit()
    first = start(settings, tmp_path / "parts")
    first._train_epoch()
    first._end_epoch()
    second = resume(tmp_path / "parts")
    second.fit()
    assert_same(second.state(), whole.state())


def test_bad_views(pictures: Path, scan_set: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"features\.crop needs features\.grid"):
        load_settings(None, ["features.crop=0.8"])
    settings = lite0_settings(
        scan_set,
        tmp_path / "store",
        "features.backbone=precomputed",
        "features.grid=null",
        "features.crop=1",
    )
    with pytest.raises(FeatureError, match="has no images to see another way"):
        prepare(settings, silent)
    settings = lite0_settings(pictures, tmp_path / "store")
    prepare(settings, silent)
    manifest = tmp_path / "store" / "mirror" / "manifest.json"
    manifest.write_text(manifest.read_text("utf-8").replace('"view": "mirror"', '"view": "other"'))
    with pytest.raises(FeatureError, match="remove this folder"):
        prepare(settings, silent)
