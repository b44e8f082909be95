from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from feature_helpers import QuadrantMeans, broken, contents, quadrant_oracle
from PIL import Image

from user_itr.errors import ConfigError, FeatureError
from user_itr.features.extraction import extract_features
from user_itr.features.store import FeatureStore

Photos = Callable[..., list[tuple[str, Path]]]


def test_features_are_the_backbones(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans
) -> None:
    images = photos(7)
    calls: list[tuple[int, int]] = []
    report = extract_features(
        images,
        quadrants,
        tmp_path / "store",
        batch_size=3,
        progress=lambda done, total: calls.append((done, total)),
    )
    store = FeatureStore.open(tmp_path / "store")
    expected = np.stack([quadrant_oracle(path) for _, path in images])
    np.testing.assert_allclose(store.array, expected, atol=0.07)  # half a unit of float16 at 255
    assert store.manifest.image_ids == tuple(image_id for image_id, _ in images)
    assert calls == [(0, 7), (3, 7), (6, 7), (7, 7)]
    assert (report.images, report.resumed, report.skipped, report.complete) == (7, 0, (), True)
    assert sorted(contents(tmp_path / "store")) == ["features.npy", "manifest.json"]
    assert store.manifest.backbone == "quadrant-means"
    store.verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("weights", r"backbone quadrant-means \(weights_hash differ"),
        ("size", "preprocessing differ"),
        ("images", "of other images .5, not these 4"),
        ("batch", "in batches of 2, not 3"),
        ("order", "in another order"),
        ("file", "before their files changed"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_another_request_is_refused_unless_overwritten(
    tmp_path: Path,
    photos: Photos,
    quadrants: QuadrantMeans,
    change: str,
    message: str,
    finished: bool,
) -> None:
    images = photos(5)
    out = tmp_path / "store"
    stop = None if finished else 1
    extract_features(images, quadrants, out, batch_size=2, limit_batches=stop)
    before = contents(out)
    backbone, size = quadrants, 2
    if change == "weights":
        backbone = QuadrantMeans(scale=2.0)
    elif change == "size":
        backbone = QuadrantMeans(size=16)
    elif change == "images":
        images = images[:4]
    elif change == "batch":
        size = 3
    elif change == "order":
        images = images[::-1]
    else:
        Image.new("RGB", (50, 50)).save(images[0][1])
    with pytest.raises(FeatureError, match="another folder or --overwrite") as caught:
        extract_features(images, backbone, out, batch_size=size)
    if finished:
        assert caught.match(message)
    assert contents(out) == before

    extract_features(images, backbone, out, batch_size=size, overwrite=True)
    extract_features(images, backbone, tmp_path / "fresh", batch_size=size)
    assert contents(out) == contents(tmp_path / "fresh")


def test_undecodable_images_are_skipped_and_told(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans
) -> None:
    images = photos(5)
    truncated = tmp_path / "cut.png"
    truncated.write_bytes(images[0][1].read_bytes()[:60])
    listed = [broken(tmp_path), *images, ("cut.png", truncated), ("gone.jpg", tmp_path / "gone")]
    report = extract_features(listed, quadrants, tmp_path / "s", batch_size=1)
    assert [image.image_id for image in report.skipped] == ["broken.jpg", "cut.png", "gone.jpg"]
    assert "no such image file" in report.skipped[2].reason
    assert str(tmp_path) not in (tmp_path / "s" / "manifest.json").read_text()
    store = FeatureStore.open(tmp_path / "s")
    expected = np.stack([quadrant_oracle(path) for _, path in images])
    np.testing.assert_allclose(store.array[store.rows([i for i, _ in images])], expected, atol=0.07)
    with pytest.raises(FeatureError, match=r"gone\.jpg \(skipped: no such"):
        store.rows(["gone.jpg"])


def test_exif_orientation_is_honoured(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans
) -> None:
    [(_, upright)] = photos(1)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise for viewing
    turned = Image.open(upright).transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "turned.png", exif=exif)
    turned.save(tmp_path / "untagged.png")
    images = [(name, tmp_path / name) for name in ("turned.png", "untagged.png")]
    extract_features([("upright", upright), *images], quadrants, tmp_path / "s")
    array = FeatureStore.open(tmp_path / "s").array
    np.testing.assert_array_equal(array[0], array[1])
    assert np.abs(array[0] - array[2]).max() > 1


def test_float16_range(tmp_path: Path, photos: Photos) -> None:
    images = photos(2)
    extract_features(images, QuadrantMeans(scale=-1e6), tmp_path / "s")
    array = FeatureStore.open(tmp_path / "s").array
    assert np.isfinite(array).all()
    assert array.min() == -65504
    with pytest.raises(FeatureError, match="NaN"):
        extract_features(images, QuadrantMeans(scale=float("nan")), tmp_path / "n")


def test_a_backbone_that_breaks_its_word_is_refused(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans
) -> None:
    quadrants.regions = 5
    with pytest.raises(FeatureError, match=r"shape \(2, 4, 3\) instead of \(2, 5, 3\)"):
        extract_features(photos(2), quadrants, tmp_path / "s")


def test_requests_that_make_no_sense(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans
) -> None:
    images = photos(2)
    out = tmp_path / "s"
    with pytest.raises(ConfigError, match="batch size is 0"):
        extract_features(images, quadrants, out, batch_size=0)
    with pytest.raises(ConfigError, match="workers is -1"):
        extract_features(images, quadrants, out, workers=-1)
    with pytest.raises(FeatureError, match="no images"):
        extract_features([], quadrants, out)
    with pytest.raises(FeatureError, match=r"000\.png occurs 2 times"):
        extract_features([*images, images[0]], quadrants, out)
    assert not out.exists()
    with pytest.raises(FeatureError, match="none of the 1 images could be decoded"):
        extract_features([broken(tmp_path)], quadrants, out)
    (tmp_path / "file").write_text("")
    with pytest.raises(FeatureError, match="is no folder"):
        extract_features(images, quadrants, tmp_path / "file")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(FeatureError, match=r"cannot be made .*symbolic links"):
        extract_features(images, quadrants, tmp_path / "loop" / "store")


def test_an_array_of_the_users_is_not_touched(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans
) -> None:
    out = tmp_path / "s"
    out.mkdir()
    np.save(out / "features.npy", np.ones(3))
    before = contents(out)
    with pytest.raises(FeatureError, match=r"features\.npy: is in the way"):
        extract_features(photos(2), quadrants, out)
    assert contents(out) == before


def test_no_more_than_the_batches_ahead_are_decoded(
    tmp_path: Path, photos: Photos, quadrants: QuadrantMeans, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []
    plain = quadrants.load

    def load(path: Path) -> np.ndarray:
        loaded.append(path)
        return plain(path)

    monkeypatch.setattr(quadrants, "load", load)
    ahead: list[int] = []
    extract_features(
        photos(20),
        quadrants,
        tmp_path / "s",
        batch_size=2,
        progress=lambda done, total: ahead.append(len(loaded) - done),
    )
    assert len(loaded) == 20
    assert max(ahead) <= 4
