from __future__ import annotations

import json
import pickle
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

sys.path.append(str(Path(__file__).parents[1] / "training"))
from tiny_runs import REGIONS, WIDTH, silent, tiny_settings, write_bert, write_scan_set

from user_itr import load
from user_itr.errors import CheckpointError
from user_itr.model.checkpoint import (
    TrainedModel,
    load_model,
    resolve_checkpoint,
    save_model,
    write_model,
)
from user_itr.training.preparation import prepare

CAPTIONS = ["a dog and a ball", "the small boat", "dog", "", "an okapi and a hat and a hat"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scan_set(tmp_path_factory.mktemp("scan") / "things")


def trained(data: Path, *overrides: str) -> TrainedModel:
    """A model whose every weight, statistic included, is another than a new one's."""
    model = prepare(tiny_settings(data, *overrides), silent).model
    torch.manual_seed(7)
    with torch.no_grad():
        for name, tensor in model.encoder.state_dict().items():
            if tensor.is_floating_point() and ".base." not in name:
                tensor.copy_(0.1 * torch.randn(tensor.shape).abs() + 0.01)
    model.metrics = {"epoch": 3, "rsum": 321.5}
    return model


@pytest.fixture(scope="module")
def model(data: Path) -> TrainedModel:
    return trained(data, "features.width=6")


@pytest.fixture
def saved(tmp_path: Path, model: TrainedModel) -> Path:
    save_model(tmp_path / "saved", model)
    return tmp_path / "saved"


def embeddings(model: TrainedModel) -> tuple[np.ndarray, np.ndarray]:
    regions = np.random.default_rng(0).normal(size=(5, REGIONS, WIDTH)).astype(np.float32)
    with torch.inference_mode():
        model.encoder.eval()
        seen = torch.from_numpy(regions)
        images = model.encoder.image(seen if model.compactor is None else model.compactor(seen))
        captions = model.tokenizer(CAPTIONS)
        texts = model.encoder.text(*captions.padded(np.arange(len(CAPTIONS))))
    return images.numpy(), texts.numpy()


@pytest.mark.parametrize("layers", [None, 0, 1, "all"])
def test_a_saved_model_computes_the_same(
    data: Path, tmp_path: Path, layers: int | str | None
) -> None:
    overrides = ["features.width=6"]
    if layers is not None:
        bert = write_bert(tmp_path / "bert")
        overrides += [f"model.text.encoder={bert}", f"model.text.trainable_layers={layers}"]
    model = trained(data, *overrides)
    save_model(tmp_path / "new" / "saved", model)
    wanted = embeddings(model)
    if layers is not None:
        shutil.rmtree(bert)
    moved = (tmp_path / "new").rename(tmp_path / "moved") / "saved"
    again = load_model(moved)
    for found, want in zip(embeddings(again), wanted, strict=True):
        assert np.array_equal(found, want)
    assert again.settings == model.settings
    assert again.metrics == model.metrics
    assert again.features == model.features
    assert not again.encoder.training
    frozen = {n for n, p in model.encoder.named_parameters() if not p.requires_grad}
    assert frozen == {n for n, p in again.encoder.named_parameters() if not p.requires_grad}
    config = json.loads((moved / "config.json").read_text())
    assert str(tmp_path) not in json.dumps(config["transformer"])
    assert {path.name for path in moved.iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }


def test_the_packaged_encoder_is_named_and_not_copied(data: Path, tmp_path: Path) -> None:
    overrides = ["model.text.encoder=minilm", "model.text.cache=false", "features.width=6"]
    model = trained(data, *overrides, "model.text.trainable_layers=1")
    save_model(tmp_path / "saved", model)
    weights = tmp_path / "saved" / "model.safetensors"
    names = set(load_file(weights))
    assert not any(".base." in name for name in names)
    assert any(name.startswith("model.text.tokens.layers.0.") for name in names)
    assert weights.stat().st_size < 10e6  # the package's own are 90 MB
    again = load_model(tmp_path / "saved")
    for found, want in zip(embeddings(again), embeddings(model), strict=True):
        assert np.array_equal(found, want)

    config = tmp_path / "saved" / "config.json"
    values = json.loads(config.read_text())
    values["packaged_weights"]["sha256"] = "0" * 64
    config.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="other weights of 'minilm' than those of the ins"):
        load_model(tmp_path / "saved")


def test_the_fingerprint_stands_for_what_is_computed(
    model: TrainedModel, tmp_path: Path, saved: Path
) -> None:
    fingerprint = load_model(saved).fingerprint
    assert len(fingerprint) == 64
    settings = model.settings.model_copy(
        update={"training": model.settings.training.model_copy(update={"epochs": 9})}
    )
    other = replace(model, settings=settings, metrics={"rsum": 1.0})
    (tmp_path / "other").mkdir()
    assert write_model(tmp_path / "other", other) == fingerprint
    assert load_model(tmp_path / "other").fingerprint == fingerprint
    for change in ({"weights_hash": "f" * 64}, {"preprocessing": {"size": 3}}):
        (tmp_path / "features").mkdir(exist_ok=True)
        changed = replace(model, features={**model.features, **change})
        assert write_model(tmp_path / "features", changed) != fingerprint
    weight = model.encoder.text.linear.weight
    with torch.no_grad():
        weight[0, 0] += 1e-6
    (tmp_path / "weights").mkdir()
    changed_fingerprint = write_model(tmp_path / "weights", model)
    with torch.no_grad():
        weight[0, 0] -= 1e-6
    assert changed_fingerprint != fingerprint


def edit(saved: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = saved / "config.json"
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(format_version=2), "format version 2, this release reads up to 1; upg"),
        (lambda v: v.update(licence="MIT"), "config.json: licence: Extra inputs"),
        (lambda v: v.pop("settings"), "config.json: settings: Field required"),
        (lambda v: v["settings"]["model"].update(depth=3), "unknown key model.depth"),
        (lambda v: v["settings"]["training"].update(epochs=0), "training.epochs = 0"),
        (lambda v: v["features"].pop("width"), "cannot be put together"),
        (lambda v: v["features"].update(width="wide"), "cannot be put together"),
        (lambda v: v["features"].update(width=99), "size mismatch"),
        (lambda v: v.update(vocabulary=3), "size mismatch"),
        (lambda v: v["settings"]["model"].update(embedding=32), "size mismatch"),
        (lambda v: v["settings"]["features"].update(width=None), "cannot be put together"),
        (lambda v: v["settings"]["features"].update(grid=2), "no square grid"),
        (lambda v: v["settings"]["model"]["text"].update(encoder="some/name"), "no architecture"),
        (lambda v: v.update(weights_sha256="0" * 64), "does not match the hash in config.json"),
    ],
)
def test_a_changed_configuration_is_one_sentence(
    saved: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    load_model(saved)
    edit(saved, change)
    with pytest.raises(CheckpointError) as refused:
        load_model(saved)
    sentence = str(refused.value)
    assert message in sentence
    assert str(saved) in sentence
    assert "\n" not in sentence


def test_damaged_and_missing_files(saved: Path) -> None:
    good = {path.name: path.read_bytes() for path in saved.iterdir()}
    for name in ("model.safetensors", "tokenizer.json"):
        (saved / name).unlink()
        with pytest.raises(CheckpointError, match=rf"{name}: is missing; copy"):
            load_model(saved)
        (saved / name).write_bytes(good[name])
    weights = bytearray(good["model.safetensors"])
    weights[-1] ^= 1
    (saved / "model.safetensors").write_bytes(weights)
    with pytest.raises(CheckpointError, match="does not match the hash"):
        load_model(saved)
    (saved / "model.safetensors").write_bytes(good["model.safetensors"])
    for text in ("", "{}", "no json"):
        (saved / "tokenizer.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"tokenizer\.json: is no tokenizer"):
            load_model(saved)
    for content in (b"{", b"\xff\xfe", b"[1]", b"null"):
        (saved / "config.json").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"config\.json: "):
            load_model(saved)


def replace_weights(saved: Path) -> None:
    """The hash that the configuration holds, made to fit what lies there now."""
    digest = sha256((saved / "model.safetensors").read_bytes()).hexdigest()
    edit(saved, lambda values: values.update(weights_sha256=digest))


def test_weights_that_do_not_fit_the_model(saved: Path) -> None:
    file = saved / "model.safetensors"
    tensors = load_file(file)
    first = sorted(name for name in tensors if name.startswith("model.image."))[0]
    save_file({name: t for name, t in tensors.items() if name != first}, file)
    replace_weights(saved)
    with pytest.raises(CheckpointError, match=first.removeprefix("model.")):
        load_model(saved)
    save_file(tensors | {"model.image.extra": torch.ones(2)}, file)
    replace_weights(saved)
    with pytest.raises(CheckpointError, match=r"image\.extra"):
        load_model(saved)


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path(MARKER),))


MARKER = ""


def test_a_pickle_is_refused_and_not_run(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    global MARKER
    MARKER = str(tmp_path / "executed")
    pickled = pickle.dumps(Malicious())
    pickle.loads(pickled)
    assert Path(MARKER).exists()
    Path(MARKER).unlink()
    for write in (
        lambda file: file.write_bytes(pickled),
        lambda file: torch.save({"model": Malicious()}, file),
    ):
        write(saved / "model.safetensors")
        replace_weights(saved)
        with pytest.raises(CheckpointError, match="is no safetensors file"):
            load_model(saved)
        assert not Path(MARKER).exists()


def test_loading_unpickles_nothing(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was unpickled")

    for module, name in (
        (pickle, "load"),
        (pickle, "loads"),
        (pickle, "Unpickler"),
        (torch, "load"),
    ):
        monkeypatch.setattr(module, name, refuse)
    load_model(saved)


def test_saving_is_whole_or_not_at_all(
    model: TrainedModel, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in saved.iterdir()}
    with pytest.raises(CheckpointError, match="is there already"):
        save_model(saved, model)
    assert before == {path: path.read_bytes() for path in saved.iterdir()}
    broken = replace(model, metrics={"rsum": object()})  # type: ignore[dict-item]
    with pytest.raises(ValueError):
        save_model(tmp_path / "broken", broken)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_the_checkpoint_that_a_path_means(model: TrainedModel, tmp_path: Path) -> None:
    run = tmp_path / "run"
    save_model(run / "checkpoints" / "a", model)
    save_model(run / "checkpoints" / "b", model)
    assert resolve_checkpoint(run / "checkpoints" / "a") == run / "checkpoints" / "a"
    with pytest.raises(CheckpointError, match=r"run: is no checkpoint .* and no run"):
        load(run)
    with pytest.raises(CheckpointError, match="nowhere: no such folder"):
        load(tmp_path / "nowhere")
    (run / "run.json").write_text('{"last": "b", "best": "a"}')
    assert resolve_checkpoint(run) == run / "checkpoints" / "a"
    assert load(str(run)).fingerprint == load(run / "checkpoints" / "a").fingerprint
    for text, message in (
        ('{"last": "b", "best": null}', "no evaluated checkpoint yet"),
        ('{"last": "b"}', r"run\.json: is damaged"),
        ("[]", r"run\.json: is damaged"),
        ('{"best": "c"}', r"c/config\.json: cannot be read \(No such file"),
    ):
        (run / "run.json").write_text(text)
        with pytest.raises(CheckpointError, match=message):
            load(run)
