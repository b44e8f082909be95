from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import (
    CAPTIONS,
    REGIONS,
    WIDTH,
    silent,
    tiny_settings,
    write_bert,
    write_picture_set,
    write_scan_set,
)

from user_itr.config.loading import load_settings
from user_itr.errors import ConfigError, DataError, FeatureError
from user_itr.features.store import FeatureStore
from user_itr.training.preparation import prepare


def test_precomputed_features_and_a_word_vocabulary(scan_set: Path) -> None:
    prepared = prepare(tiny_settings(scan_set), silent)
    assert len(prepared.train.images) == 24
    assert len(prepared.dev.captions) == 12 * CAPTIONS
    assert prepared.train.states is None
    assert prepared.model.compactor is None
    assert prepared.model.features == {
        "backbone": "precomputed",
        "weights_hash": "",
        "preprocessing": {},
        "regions": REGIONS,
        "width": WIDTH,
    }
    assert isinstance(prepared.train.regions, np.memmap)
    assert prepared.batches.batches_per_epoch == 9
    batch = next(prepared.batches.epoch(0))
    assert batch.regions.shape == (8, REGIONS, WIDTH)
    assert torch.equal(
        batch.regions, torch.from_numpy(np.load(scan_set / "train_ims.npy")[batch.image_owner])
    )


def test_the_seed_decides_the_model(scan_set: Path) -> None:
    def weights(*overrides: str) -> torch.Tensor:
        torch.manual_seed(int(torch.randint(1000, ())))
        prepared = prepare(tiny_settings(scan_set, *overrides), silent)
        return prepared.model.encoder.image.projection.linear.weight

    assert torch.equal(weights(), weights())
    assert not torch.equal(weights(), weights("training.seed=1"))


def test_compact_features_are_fitted_on_train_alone(tmp_path: Path) -> None:
    data = write_scan_set(tmp_path / "set")
    settings = tiny_settings(data, "features.width=5")
    first = prepare(settings, silent)
    assert first.train.regions.shape == (24, REGIONS, 5)
    assert first.train.regions.dtype == np.float16
    assert list(first.dev.rows) == list(range(12))
    raw = np.load(data / "dev_ims.npy")
    assert first.model.compactor is not None
    by_hand = (raw - first.model.compactor.mean.numpy()) @ first.model.compactor.projection.numpy()
    np.testing.assert_allclose(first.dev.regions, by_hand, atol=2e-3)
    np.save(data / "dev_ims.npy", raw + 100)
    second = prepare(settings, silent)
    assert np.array_equal(second.train.regions, first.train.regions)
    assert not np.allclose(second.dev.regions, first.dev.regions)


def test_images_are_extracted_into_the_cache_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_picture_set(tmp_path / "pictures")
    titles: list[str] = []

    @contextmanager
    def watched(title: str) -> Iterator[Callable[[int, int], None]]:
        yield lambda done, total: titles.append(title) if done == total else None

    settings = load_settings(
        None,
        ["features.grid=2", "features.width=8", "model.embedding=16", "training.batch_size=4"],
        data={"path": str(data)},
        model={"text": {"encoder": str(write_bert(tmp_path / "bert"))}},
    )
    first = prepare(settings, watched)
    extracting = ["extracting features"] * 2
    assert titles == [*extracting, "token states (train)", "token states (dev)"]
    stores = (tmp_path / "cache" / "user-itr" / "features").iterdir()
    assert sorted(len(FeatureStore.open(store)) for store in stores) == [4, 8]
    assert first.train.regions.shape == (8, 4, 8)
    assert first.model.features["backbone"] == "efficientnet-lite0"
    titles.clear()
    second = prepare(settings, watched)
    assert not titles
    assert np.array_equal(first.train.regions, second.train.regions)
    assert np.array_equal(first.train.states, second.train.states)
    assert first.data_key == second.data_key

    Image.new("RGB", (8, 8)).save(data / "images" / "new.png")
    with (data / "captions.csv").open("a") as stream:
        stream.write("new.png,another one,train\n")
    with pytest.raises(FeatureError, match=r"no features of 1 of 9 images: new\.png"):
        prepare(settings, silent)


def test_what_is_missing_is_named(tmp_path: Path, scan_set: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.path is not set; .* --data PATH"):
        prepare(load_settings(None), silent)
    with pytest.raises(DataError, match="nowhere"):
        prepare(tiny_settings(tmp_path / "nowhere"), silent)
    with pytest.raises(DataError, match="'nightly'"):
        prepare(tiny_settings(scan_set, "data.dev_split=nightly"), silent)
    with pytest.raises(FeatureError, match=r"features\.width: 17 is more than the features' 16"):
        prepare(tiny_settings(scan_set, "features.width=17"), silent)
    with pytest.raises(FeatureError, match="no square grid"):
        prepare(tiny_settings(scan_set, "features.grid=2"), silent)
    pictures = write_picture_set(tmp_path / "pictures")
    with pytest.raises(FeatureError, match=r"set features\.backbone"):
        prepare(tiny_settings(pictures), silent)
    with pytest.raises(ConfigError, match=r"model\.text\.encoder: .*no-such-model"):
        prepare(tiny_settings(scan_set, f"model.text.encoder={tmp_path}/no-such-model"), silent)
    alone = write_scan_set(tmp_path / "alone", train=1)
    with pytest.raises(ConfigError, match="no batch of two images"):
        prepare(tiny_settings(alone, "training.captions_per_image=3"), silent)


def test_splits_with_features_of_two_kinds(tmp_path: Path) -> None:
    data = write_scan_set(tmp_path / "set")
    np.save(data / "dev_ims.npy", np.load(data / "dev_ims.npy")[:, :, :8])
    with pytest.raises(FeatureError, match="features of train and dev are of different kinds"):
        prepare(tiny_settings(data), silent)
