from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from user_itr.cli.features import app
from user_itr.errors import ConfigError, DataError, FeatureError, UserItrError
from user_itr.features.store import FeatureStore

GUIDE = "pooled:efficientnet-lite0"
NAMES = ["one.jpg", "z.png", "b/two.png"]


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, UserItrError):
        raise result.exception
    return result


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    random = np.random.default_rng(0)
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((50, 40)).save(folder / name)
    return folder


def test_a_folder_of_images(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    result = run("extract", photos, out, "--batch-size", 2)
    assert result.exit_code == 0, result.output
    assert "3 of 3 images, 49 regions of width 1280, 0.4 MB of float16" in result.stdout
    store = FeatureStore.open(out)
    assert list(store.manifest.image_ids) == NAMES
    assert store.array.shape == (3, 49, 1280)

    again = run("extract", photos, out, "--batch-size", 2, "--format", "folder")
    assert again.exit_code == 0
    assert "3 of 3 images (3 of them earlier)" in again.stdout

    with pytest.raises(FeatureError, match=r"in batches of 2, not 3; .*--overwrite"):
        run("extract", photos, out, "--batch-size", 3)
    assert run("extract", photos, out, "--batch-size", 3, "--overwrite").exit_code == 0
    assert FeatureStore.open(out).manifest.batch_size == 3


def test_a_store_by_onnx_runtime(photos: Path, tmp_path: Path) -> None:
    result = run("extract", photos, tmp_path / "fast", "--runtime", "onnxruntime", "--guide", GUIDE)
    assert result.exit_code == 0, result.output
    told = run("info", tmp_path / "fast").stdout
    assert "onnxruntime" in next(line for line in told.splitlines() if "created with" in line)
    run("extract", photos, tmp_path / "exact", "--guide", GUIDE)
    fast, exact = (FeatureStore.open(tmp_path / name) for name in ("fast", "exact"))
    assert "onnxruntime" not in exact.manifest.created_with
    np.testing.assert_allclose(fast.array, exact.array, atol=0.02)
    with pytest.raises(ConfigError, match="--runtime 'fast': use auto, torch, onnxruntime"):
        run("extract", photos, tmp_path / "other", "--runtime", "fast")


def test_skipped_images_are_listed_and_set_the_exit_code(photos: Path, tmp_path: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"nothing")
    for _ in range(2):
        result = run("extract", photos, tmp_path / "store", "--workers", 1)
        assert result.exit_code == 1
        assert re.search(r"^skipped bad\.jpg: cannot be decoded", result.stderr, re.MULTILINE)
        assert "1 of 4 images skipped" in result.stderr
        assert "3 of 4 images" in result.stdout
    assert str(tmp_path) not in (tmp_path / "store" / "manifest.json").read_text()
    info = run("info", tmp_path / "store")
    assert re.search(r"^skipped +bad\.jpg: cannot be decoded", info.stdout, re.MULTILINE)


def test_info_prints_the_manifest(photos: Path, tmp_path: Path) -> None:
    run("extract", photos, tmp_path / "store")
    manifest = FeatureStore.open(tmp_path / "store").manifest
    result = run("info", tmp_path / "store", "--verify")
    assert result.exit_code == 0
    fields = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in result.stdout.splitlines())
    assert fields["images"] == "3"
    assert fields["skipped"] == "0"
    assert fields["backbone"] == "efficientnet-lite0"
    assert fields["weights SHA-256"] == manifest.weights_hash
    assert fields["array SHA-256"] == f"{manifest.features_sha256} (verified)"

    file = tmp_path / "store" / "features.npy"
    file.write_bytes(file.read_bytes()[:-2] + b"ab")
    assert run("info", tmp_path / "store").exit_code == 0
    with pytest.raises(FeatureError, match="SHA-256"):
        run("info", tmp_path / "store", "--verify")


def test_a_captioned_set(photos: Path, tmp_path: Path) -> None:
    lines = [f"{name}#{k}\tcaption {k}" for name in NAMES[:2] for k in range(2)]
    root = tmp_path / "corpus"
    root.mkdir()
    photos.rename(root / "Images")
    (root / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    (root / "Flickr_8k.trainImages.txt").write_text("z.png\n")
    (root / "Flickr_8k.devImages.txt").write_text("one.jpg\n")
    assert run("extract", root, tmp_path / "all").exit_code == 0
    assert FeatureStore.open(tmp_path / "all").manifest.image_ids == ("z.png", "one.jpg")
    (root / "Flickr_8k.trainImages.txt").write_text("z.png\nlost.jpg\n")
    result = run("extract", root, tmp_path / "all")
    assert result.exit_code == 0
    assert re.search(r"^1 problems in .*lost\.jpg", result.stderr, re.MULTILINE)
    assert run("extract", root, tmp_path / "dev", "--split", "dev").exit_code == 0
    assert FeatureStore.open(tmp_path / "dev").manifest.image_ids == ("one.jpg",)
    with pytest.raises(DataError, match="no split 'tset'"):
        run("extract", root, tmp_path / "none", "--split", "tset")


def test_sources_that_are_none(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    with pytest.raises(DataError, match="nowhere"):
        run("extract", tmp_path / "nowhere", out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image files"):
        run("extract", tmp_path / "empty", out)
    (photos / "captions.txt").write_text("these are the captions of a layout nobody knows\n")
    with pytest.raises(DataError):
        run("extract", photos, out)
    assert run("extract", photos, out, "--format", "folder").exit_code == 0


def test_file_names_that_are_no_utf8(photos: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(os.fsencode(photos) + b"/caf\xe9.jpg")
    try:
        (photos / "one.jpg").rename(odd)
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    assert run("extract", photos, tmp_path / "store").exit_code == 0
    store = FeatureStore.open(tmp_path / "store")
    assert store.manifest.image_ids == ("caf\\xe9.jpg", "z.png", "b/two.png")


def test_a_precomputed_set_has_no_images(tmp_path: Path) -> None:
    folder = tmp_path / "precomp"
    folder.mkdir()
    np.save(folder / "dev_ims.npy", np.zeros((1, 36, 4), np.float32))
    (folder / "dev_caps.txt").write_text("a dog\n")
    with pytest.raises(FeatureError, match="comes with features and has no images"):
        run("extract", folder, tmp_path / "store")


def test_unknown_backbone_and_no_store(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="did you mean 'efficientnet-lite"):
        run("extract", photos, tmp_path / "store", "--backbone", "efficientnet-lite")
    with pytest.raises(FeatureError, match=r"no feature store"):
        run("info", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_guide_beside_the_regions(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    assert run("extract", photos, out).exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    result = run("extract", photos, out, "--guide", "efficientnet-lite2")
    assert result.exit_code == 0, result.output
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert f"{out}: 3 of 3 images (3 of them earlier), 49 regions" in result.stdout
    folder = out / "guides" / "efficientnet-lite2"
    assert f"{folder}: 3 of 3 images, one vector of width 1280, 0.0 MB" in result.stdout
    assert FeatureStore.open(folder).array.shape == (3, 1, 1280)
    assert FeatureStore.open(folder).manifest.backbone == "efficientnet-lite2"

    result = run("extract", photos, out, "--guide", "efficientnet-lite0")
    assert result.exit_code == 0, result.output
    lines = run("info", out, "--verify").stdout.splitlines()
    assert [re.sub(r"\s{2,}", " | ", line) for line in lines if line.startswith("guide")] == [
        f"guide | {name}: 3 images, width 1280, in guides/{name}"
        for name in ("efficientnet-lite0", "efficientnet-lite2")
    ]

    file = folder / "features.npy"
    file.write_bytes(file.read_bytes()[:-2] + b"ab")
    with pytest.raises(FeatureError, match="SHA-256"):
        run("info", out, "--verify")
    (folder / "manifest.json").write_text("{")
    with pytest.raises(FeatureError, match=r"guides/efficientnet-lite2/manifest\.json"):
        run("info", out)


def test_an_unknown_guide_is_named_before_the_regions_are_made(
    photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(FeatureError, match=r"guide 'efficientnet-lit' is unknown \(did you mean"):
        run("extract", photos, tmp_path / "store", "--guide", "efficientnet-lit")
    assert not (tmp_path / "store").exists()
