from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_helpers import QuadrantMeans

from user_itr.errors import FeatureError
from user_itr.features.backbones.base import hash_files
from user_itr.features.store import FeatureManifest, FeatureStore, write_json

IDS = ("c.jpg", "a.jpg", "b/é.png")


@pytest.fixture
def folder(tmp_path: Path, quadrants: QuadrantMeans) -> Path:
    array = np.arange(36, dtype=np.float16).reshape(3, 4, 3)
    np.save(tmp_path / "features.npy", array)
    manifest = FeatureManifest(
        **quadrants.identity(),  # type: ignore[arg-type]
        batch_size=2,
        fingerprint="0" * 64,
        features_sha256=hash_files([tmp_path / "features.npy"]),
        created_with={"torch": "2"},
        skipped=({"image_id": "bad.jpg", "reason": "cut short"},),  # type: ignore[arg-type]
        image_ids=IDS,
    )
    write_json(tmp_path / "manifest.json", manifest)
    return tmp_path


def edit(folder: Path, **fields: Any) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_reads_what_was_written(folder: Path) -> None:
    store = FeatureStore.open(folder)
    assert len(store) == 3
    assert store.manifest.image_ids == IDS
    assert isinstance(store.array, np.memmap)
    assert store.array.dtype == np.float16
    rows = store.rows(["b/é.png", "c.jpg", "b/é.png"])
    assert rows.dtype == np.int64
    assert rows.tolist() == [2, 0, 2]
    assert store.array[rows[0], 0, 0] == 24
    assert store.rows([]).tolist() == []
    store.verify()


def test_absent_images_are_named_with_the_reason(folder: Path) -> None:
    with pytest.raises(FeatureError) as caught:
        FeatureStore.open(folder).rows(["a.jpg", "bad.jpg", "w", "x", "y", "z"])
    message = str(caught.value)
    assert "5 of 6 images: bad.jpg (skipped: cut short), w, x, ...; extract" in message


def test_matches_the_backbone_that_made_it(folder: Path) -> None:
    store = FeatureStore.open(folder)
    moved = QuadrantMeans()
    moved.name = "elsewhere"
    assert store.matches(moved)
    other = QuadrantMeans(scale=2.0, size=16)
    assert not store.matches(other)
    assert store.differences(other) == ("weights_hash", "preprocessing")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format_version": 2}, "format version 2 is newer than this program's 1; update"),
        ({"format_version": 0}, "field format_version: .* got 0"),
        ({"colour": "red"}, "field colour: Extra inputs are not permitted, got 'red'"),
        ({"weights_hash": "abc"}, "field weights_hash: .* got 'abc'"),
        ({"regions": 0}, "field regions: .* got 0"),
        ({"image_ids": list(IDS[:2])}, r"float16 \(3, 4, 3\) .* tells of float16 \(2, 4, 3\)"),
        ({"width": 4}, r"float16 \(3, 4, 4\)"),
        ({"skipped": [{"image_id": "x"}]}, r"field skipped\.0\.reason: Field required"),
    ],
)
def test_bad_manifests_are_refused(folder: Path, fields: dict[str, Any], message: str) -> None:
    edit(folder, **fields)
    with pytest.raises(FeatureError, match=message):
        FeatureStore.open(folder)


@pytest.mark.parametrize("text", ["{", "[]", "", '"x"'])
def test_a_manifest_that_is_no_object_is_refused(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(FeatureError, match=r"manifest\.json: .*--overwrite"):
        FeatureStore.open(folder)


@pytest.mark.parametrize("kept", [0, 5, 100, 199])
def test_a_truncated_array_is_refused(folder: Path, kept: int) -> None:
    file = folder / "features.npy"
    assert file.stat().st_size == 200
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(FeatureError, match=r"features\.npy: damaged or cut short"):
        FeatureStore.open(folder)


def test_other_damage_of_the_array(folder: Path) -> None:
    file = folder / "features.npy"
    whole = file.read_bytes()
    file.write_bytes(whole + b"tail")
    with pytest.raises(FeatureError, match="4 bytes more"):
        FeatureStore.open(folder)
    np.save(file, np.zeros((3, 4, 3), np.float32))
    with pytest.raises(FeatureError, match="holds float32"):
        FeatureStore.open(folder)
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(FeatureError, match="damaged"):
        FeatureStore.open(folder)
    file.write_bytes(whole[:-1] + b"\x01")
    with pytest.raises(FeatureError, match="SHA-256 is"):
        FeatureStore.open(folder).verify()
    file.unlink()
    with pytest.raises(FeatureError, match="no such file"):
        FeatureStore.open(folder)


def test_no_store_and_an_unfinished_one(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"no feature store .* `user-itr features extract`"):
        FeatureStore.open(tmp_path / "nowhere")
    (tmp_path / "progress.json").write_text("{}")
    with pytest.raises(FeatureError, match="not finished; run the same"):
        FeatureStore.open(tmp_path)
