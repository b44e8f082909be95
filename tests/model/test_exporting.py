from __future__ import annotations

import math
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "training"))
sys.path.append(str(Path(__file__).parents[1] / "cli"))
from shell import Command
from tiny_runs import silent, tiny_settings, write_scan_set

from user_itr import load
from user_itr.errors import CheckpointError, DataError
from user_itr.model.calibration import Calibration
from user_itr.model.checkpoint import TrainedModel, load_model, save_model
from user_itr.model.exporting import export_model
from user_itr.model.split_embeddings import embed_split
from user_itr.pretrained import DEFAULT
from user_itr.training.preparation import prepare

LIMIT = 25_000_000
"""Bytes that a shipped model may have."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scan_set(tmp_path_factory.mktemp("scan") / "things")


@pytest.fixture(scope="module")
def model(data: Path) -> TrainedModel:
    return prepare(tiny_settings(data), silent).model


def embeddings(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images, captions = rng.normal(size=(9, 5)), rng.normal(size=(20, 5))
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    captions /= np.linalg.norm(captions, axis=1, keepdims=True)
    return images, captions, rng.integers(0, 9, 20)


def test_calibration_is_the_distribution_of_true_cosines():
    images, captions, owner = embeddings()
    cosines = [float(captions[m] @ images[n]) for m, n in enumerate(owner)]
    found = Calibration.fit(images, captions, owner)
    assert found.mean == pytest.approx(statistics.fmean(cosines))
    assert found.deviation == pytest.approx(statistics.pstdev(cosines))


@pytest.mark.parametrize("score", [-1.0, 0.2, 0.45, 0.5, 0.8, 1.0])
def test_percent_is_the_normal_distribution(score):
    found = Calibration(mean=0.45, deviation=0.1)
    assert found.percent(score) == round(100 * statistics.NormalDist(0.45, 0.1).cdf(score))


def test_percent_grows_with_the_score():
    found = Calibration(mean=0.4, deviation=0.05)
    values = [found.percent(score) for score in np.linspace(-1, 1, 200)]
    assert values == sorted(values)
    assert (values[0], found.percent(0.4), values[-1]) == (0, 50, 100)


def test_equal_scores_calibrate_nothing():
    same = np.ones((3, 1))
    with pytest.raises(DataError, match="equally well"):
        Calibration.fit(same, same, np.arange(3))


def test_an_exported_model_is_half_the_size_knows_no_paths_and_embeds_the_same(
    model, data, tmp_path
):
    save_model(tmp_path / "whole", model)
    embedded = embed_split(load(tmp_path / "whole"), "dev", no_progress)
    export_model(model, tmp_path / "exported", embedded)
    config = (tmp_path / "exported" / "config.json").read_text()
    assert str(data.parent) not in config
    sizes = [(tmp_path / n / "model.safetensors").stat().st_size for n in ("whole", "exported")]
    assert sizes[1] < 0.6 * sizes[0]
    exported = load(tmp_path / "exported")
    again = embed_split(exported, "dev", no_progress, data=data)
    np.testing.assert_allclose(again.images, embedded.images, atol=2e-3)
    np.testing.assert_allclose(again.captions, embedded.captions, atol=2e-3)
    assert exported.calibration == Calibration.fit(
        embedded.images, embedded.captions, embedded.split.caption_image
    )
    assert load(tmp_path / "whole").calibration is None


def test_without_a_split_the_calibration_stays(model, tmp_path):
    known = replace(model, calibration=Calibration(mean=0.3, deviation=0.1))
    export_model(known, tmp_path / "exported", half=False)
    exported = load_model(tmp_path / "exported")
    assert exported.calibration == known.calibration
    for name, tensor in model.encoder.state_dict().items():
        assert tensor.equal(exported.encoder.state_dict()[name]), name


def test_export_command(model, data, tmp_path, capfd):
    command = Command(capfd)
    save_model(tmp_path / "whole", model)
    assert command("export", tmp_path / "whole", tmp_path / "out").code == 0
    assert load(tmp_path / "out").calibration is not None
    assert "is there already" in command.mistake("export", tmp_path / "whole", tmp_path / "out")


def test_the_shipped_model_is_small_calibrated_and_trained():
    shipped = load()
    assert shipped.fingerprint == load(DEFAULT).fingerprint
    assert float(str(shipped.model.metrics["rsum"])) > 300
    assert shipped.calibration is not None
    assert 0.2 < shipped.calibration.mean < 0.8
    dog, dogs, car = shipped.encode_text(["a dog runs", "two dogs run", "a man rides a bicycle"])
    assert dog @ dogs > dog @ car
    assert math.isclose(float(np.linalg.norm(dog)), 1, rel_tol=1e-5)


def test_the_shipped_model_fits_its_limit_and_names_no_place():
    from user_itr.pretrained import shipped_model

    folder = shipped_model(DEFAULT)
    assert sum(file.stat().st_size for file in folder.iterdir()) < LIMIT
    settings = load_model(folder).settings
    assert settings.data.path is None
    assert settings.features.store is None


@pytest.mark.parametrize("name", ["shipped:nothing", "shipped:", "shipped:../model", "shipped:."])
def test_other_names_do_not_ship(name):
    with pytest.raises(CheckpointError, match="no such model ships; there is shipped:flickr8k"):
        load(name)


class no_progress:
    def __init__(self, title: str) -> None:
        pass

    def __enter__(self):
        return lambda done, total: None

    def __exit__(self, *_: object) -> None:
        pass
