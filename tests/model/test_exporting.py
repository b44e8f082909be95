from __future__ import annotations

import json
import math
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "training"))
sys.path.append(str(Path(__file__).parents[1] / "cli"))
sys.path.append(str(Path(__file__).parents[1] / "hub"))
from hub_server import running_hub
from shell import Command
from tiny_runs import silent, tiny_settings, write_bert, write_scan_set

from user_itr import Embedder, ImageIndex, load
from user_itr.config.loading import load_settings
from user_itr.data.captions import CaptionedImages
from user_itr.data.images import load_image
from user_itr.demo.sample_photos import PHOTOS, copy_sample_photos
from user_itr.errors import CheckpointError, ConfigError
from user_itr.features.backbones.registry import create_backbone
from user_itr.features.compact import Compactor
from user_itr.features.guides.registry import create_guide
from user_itr.hub.fetching import fetch_model
from user_itr.model.building import build_dual_encoder
from user_itr.model.checkpoint import TrainedModel, load_model, save_model
from user_itr.model.exporting import LEAST_COSINE, export_model, with_views
from user_itr.model.graphs import ImageGraph
from user_itr.model.onnx_files import Precision
from user_itr.model.split_embeddings import SplitEmbeddings
from user_itr.model.tokenizer import CaptionTokenizer
from user_itr.model.vocabulary import Vocabulary
from user_itr.pretrained import DEFAULT, shipped_model
from user_itr.runtime.encoder import OnnxEncoder
from user_itr.search.encoder import Encoder
from user_itr.search.query import search
from user_itr.training.preparation import prepare

PRECISIONS: tuple[Precision, ...] = ("float16", "float32")

LIMIT = 75_000_000
"""Bytes that a shipped model may have."""


@pytest.fixture(scope="module")
def precomputed(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    data = write_scan_set(tmp_path_factory.mktemp("scan") / "things")
    return prepare(tiny_settings(data), silent).model


CAPTIONS = [
    "a dog runs over the snow and into the lake",
    "dog",
    "",
    "two dogs",
    "a dog runs over the snow, and a dog runs over the snow, and a dog runs into the lake",
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainedModel]:
    """Untrained models: a BiGRU; a transformer guided by its backbone; by another, of views."""
    backbone = create_backbone("efficientnet-lite0")
    bert = write_bert(tmp_path_factory.mktemp("bert"))
    found = {}
    for kind, encoder, guide, extra in (
        ("bigru", "bigru", None, ["model.image.enhancement=self", "model.text.pooling=mean"]),
        ("guided", str(bert), "efficientnet-lite0", ["model.image.pooling=max"]),
        (
            "views",
            str(bert),
            "efficientnet-lite2",
            ["model.text.trainable_layers=1", "features.views=[whole, mirror, centre-80]"],
        ),
    ):
        overrides = ["features.grid=3", "features.width=32", "model.embedding=24", *extra]
        if guide is not None:
            overrides += [f"features.guide={guide}", "model.image.enhancement=both"]
        text = {"encoder": encoder, "gru_width": 16, "word_width": 8, "max_tokens": 12}
        settings = load_settings(None, overrides, model={"text": text})
        torch.manual_seed(0)
        compactor = Compactor(backbone.regions, backbone.width, 3, 32)
        raw = np.random.default_rng(0).normal(size=(20, backbone.regions, backbone.width)).clip(0)
        compactor.fit(raw, np.arange(20))
        tokenizer = (
            CaptionTokenizer.from_words(CAPTIONS, 12, 1)
            if encoder == "bigru"
            else CaptionTokenizer.pretrained(encoder, 12)
        )
        network = build_dual_encoder(
            settings.model, 32, tokenizer.vocabulary_size, guide_width=guide and 1280
        )
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                torch.nn.init.normal_(module.running_mean)
                torch.nn.init.uniform_(module.running_var, 0.5, 2)
        identity = None if guide is None else create_guide(guide).identity()
        model = TrainedModel(
            settings, network.eval(), compactor, tokenizer, backbone.identity(), identity
        )
        vocabulary = Vocabulary.of(CAPTIONS, often=1)
        found[kind] = replace(model, fingerprint=kind, vocabulary=vocabulary)
    return found


@pytest.fixture(scope="module")
def exported(
    models: dict[str, TrainedModel], photos: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, Precision], tuple[Path, float]]:
    """The folder of a model's export, made once, and its least cosine."""
    place = tmp_path_factory.mktemp("exported")

    @cache
    def make(kind: str, precision: Precision) -> tuple[Path, float]:
        model, folder = models[kind], place / f"{kind}-{precision}"
        embedded = split_embeddings(Embedder(model, "cpu", "torch"), photos)
        return folder, export_model(model, folder, embedded, precision=precision)

    return make


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return copy_sample_photos(tmp_path_factory.mktemp("photos"))[:6]


def split_embeddings(encoder: Encoder, photos: list[Path]) -> SplitEmbeddings:
    split = CaptionedImages(
        "photos",
        "dev",
        tuple(path.name for path in photos),
        tuple(CAPTIONS),
        np.arange(len(CAPTIONS)),
        tuple(photos),
    )
    images = encoder.encode_pixels(
        np.stack([encoder.preprocess(load_image(path, draft=encoder.draft)) for path in photos])
    )
    return SplitEmbeddings(split, images, encoder.encode_text(CAPTIONS))


def edit(folder: Path, **values: object) -> None:
    file = folder / "exported.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_a_model_without_an_image_network_is_refused(precomputed, tmp_path):
    with pytest.raises(CheckpointError, match="has no image network"):
        export_model(precomputed, tmp_path / "exported")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        ("bigru", "float16"),
        ("guided", "float16"),
        ("views", "float16"),
        ("bigru", "float32"),
        ("bigru", "int8"),
    ],
)
def test_an_export_embeds_as_pytorch_does(models, photos, exported, kind, precision):
    folder, cosine = exported(kind, precision)
    light, embedder = OnnxEncoder(folder), Embedder(models[kind], "cpu", "torch")
    least = LEAST_COSINE[precision]
    assert cosine >= least
    for count in (1, 2, len(CAPTIONS)):
        ours, theirs = light.encode_text(CAPTIONS[:count]), embedder.encode_text(CAPTIONS[:count])
        assert ours.dtype == np.float32
        assert (ours * theirs).sum(axis=1).min() >= least
        np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    ours, theirs = light.encode_images(photos), embedder.encode_images(photos)
    assert (ours * theirs).sum(axis=1).min() >= least
    pixels = np.stack([light.preprocess(load_image(path, draft=light.draft)) for path in photos])
    assert pixels.dtype == embedder.preprocess(Image.open(photos[0])).dtype
    np.testing.assert_allclose(light.encode_pixels(pixels), ours, atol=1e-6)
    assert light.draft == embedder.draft
    assert (light.fingerprint == models[kind].fingerprint) == (precision != "int8")


@pytest.mark.parametrize("guide", [True, False])
def test_the_graph_of_views_is_what_pytorch_embeds(models, photos, guide):
    """By the backbone's own pooled vector of the whole photo, and without a guide."""
    model = with_views(models["guided" if guide else "bigru"], ("whole", "mirror-centre-80"))
    embedder = Embedder(model, "cpu", "torch")
    pixels = np.stack([embedder.preprocess(Image.open(path)) for path in photos])
    with torch.inference_mode():
        found = ImageGraph(model, embedder.backbone, None).eval()(torch.from_numpy(pixels))
    np.testing.assert_allclose(found, embedder.encode_images(photos), atol=1e-5)


def test_a_model_of_other_views_is_another_model(models, photos, tmp_path):
    model = replace(models["bigru"], metrics={"rsum": 1.0})
    assert with_views(model, ["whole"]) is model
    viewed = with_views(model, ["whole", "mirror"])
    embedded = split_embeddings(Embedder(viewed, "cpu", "torch"), photos)
    export_model(viewed, tmp_path / "exported", embedded)
    light, again = load(tmp_path / "exported"), load_model(tmp_path / "exported")
    assert light.fingerprint == again.fingerprint == viewed.fingerprint != model.fingerprint
    assert again.settings.features.views == ("whole", "mirror")
    rsum = again.metrics["rsum"]
    assert isinstance(rsum, float)
    assert f", 2 views, dev rsum {rsum:.1f}" in light.description
    assert rsum != 1.0
    described = json.loads((tmp_path / "exported" / "exported.json").read_text("utf-8"))
    assert (described["format_version"], described["views"]) == (2, ["whole", "mirror"])
    for views in (["mirror"], ["whole", "upside-down"]):
        with pytest.raises(ConfigError, match="view"):
            with_views(model, views)


def test_the_views_are_part_of_a_checkpoints_fingerprint(models, tmp_path):
    model = models["bigru"]
    features = model.settings.features.model_copy(update={"views": ("whole", "mirror")})
    settings = model.settings.model_copy(update={"features": features})
    save_model(tmp_path / "one", model)
    save_model(tmp_path / "two", replace(model, settings=settings))
    one, two = load_model(tmp_path / "one"), load_model(tmp_path / "two")
    assert one.fingerprint != two.fingerprint


def test_an_export_with_one_view_is_read_by_earlier_releases(exported):
    described = json.loads((exported("bigru", "float16")[0] / "exported.json").read_text("utf-8"))
    assert described["format_version"] == 1
    assert "views" not in described


def test_many_sentences_are_those_of_one_at_a_time(exported):
    folder, _ = exported("guided", "float16")
    texts = [f"{caption} {number}" for number in range(30) for caption in CAPTIONS]
    many, light = OnnxEncoder(folder).encode_text(texts), OnnxEncoder(folder)
    one = np.concatenate([light.encode_text([text]) for text in texts])
    np.testing.assert_allclose(one, many, atol=1e-5)
    assert light.encode_text([]).shape == (0, light.dim)


def test_an_exported_model_is_a_checkpoint_of_the_same_fingerprint_without_paths(
    models, photos, exported
):
    model = models["bigru"]
    folder, _ = exported("bigru", "float16")
    assert str(photos[0].parent) not in "".join(
        file.read_bytes().decode("latin-1") for file in folder.iterdir()
    )
    sizes = [(exported("bigru", p)[0] / "model.safetensors").stat().st_size for p in PRECISIONS]
    assert sizes[0] < 0.6 * sizes[1]
    again, light = load_model(folder), load(folder)
    assert isinstance(light, OnnxEncoder)
    assert model.fingerprint == again.fingerprint == light.fingerprint
    whole = load(folder, runtime="torch")
    assert isinstance(whole, Embedder)
    for one in (light, whole):
        assert one.unknown_words("a dog and a spaceship") == ["spaceship"]
    for name, tensor in model.encoder.state_dict().items():
        if tensor.is_floating_point():
            half = tensor.half().to(tensor.dtype)
            assert half.equal(again.encoder.state_dict()[name]), name


def test_an_export_is_uploaded_as_it_is_and_loads_by_its_name(exported, tmp_path, monkeypatch):
    folder, _ = exported("guided", "float16")
    endings = {".json", ".onnx", ".safetensors", ".bin", ".md", ".txt"}
    assert {file.suffix for file in folder.iterdir()} == endings
    card = (folder / "README.md").read_text("utf-8")
    assert "image to text R@1" in card
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        hub.put("me/ours", {file.name: file.read_bytes() for file in folder.iterdir()})
        fetch_model("me/ours")
    ours = load("me/ours")
    assert ours.fingerprint == load(folder).fingerprint
    assert np.array_equal(ours.encode_text(CAPTIONS), load(folder).encode_text(CAPTIONS))
    assert load_model("me/ours").fingerprint == ours.fingerprint


def test_an_index_of_the_checkpoint_is_searched_by_the_export(models, photos, exported, tmp_path):
    whole = Embedder(models["bigru"], "cpu", "torch")
    index = ImageIndex.create_or_open(tmp_path / "index", whole, tmp_path / "whole")
    index.update(photos[0].parent, whole)
    light = load(exported("bigru", "float16")[0])
    hits = search(index, light, image=photos[1], exclude_itself=False)
    assert hits[0].path == photos[1]
    assert hits[0].score == pytest.approx(1, abs=1e-3)


def test_an_int8_export_has_figures_of_its_own(photos, exported):
    folder, _ = exported("bigru", "int8")
    light = load(folder)
    assert re.search(r", int8, dev rsum [\d.]+$", light.description)
    assert light.unknown_words("a dog and a spaceship") == ["spaceship"]
    with pytest.raises(CheckpointError, match="int8 export"):
        load(folder, runtime="torch")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "frozen.bin").unlink(), "frozen.bin: is missing"),
        (lambda folder: (folder / "frozen.bin").write_bytes(b"short"), "frozen.bin: has 5 bytes"),
        (lambda folder: (folder / "exported.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "exported.json").write_text("{}"), "exported.json: fingerprint"),
        (lambda folder: edit(folder, format_version=3), "reads up to 2; upgrade"),
        (lambda folder: edit(folder, files={"../other": 1}), "is missing"),
        (
            lambda folder: edit(folder, regions={"width": 10**9, "height": 1, "resample": 3}),
            "width",
        ),
    ],
)
def test_a_damaged_export_is_refused_with_a_sentence(exported, tmp_path, damage, said):
    shutil.copytree(exported("bigru", "float16")[0], tmp_path / "exported")
    damage(tmp_path / "exported")
    with pytest.raises(CheckpointError, match=re.escape(said)):
        load(tmp_path / "exported")


def test_a_graph_that_onnxruntime_cannot_take_is_refused(exported, tmp_path):
    shutil.copytree(exported("bigru", "float16")[0], tmp_path / "exported")
    text = tmp_path / "exported" / "text.onnx"
    text.write_bytes(bytes(text.stat().st_size))
    with pytest.raises(CheckpointError, match="ONNX Runtime cannot take it"):
        load(tmp_path / "exported").encode_text(["a dog"])


def test_weights_outside_of_the_folder_are_refused(exported, tmp_path):
    shutil.copytree(exported("bigru", "float16")[0], tmp_path / "exported")
    shutil.copy(tmp_path / "exported" / "frozen.bin", tmp_path / "weights.bin")
    text = tmp_path / "exported" / "text.onnx"
    graph = onnx.load(text, load_external_data=False)
    for tensor in graph.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../weights.bin"
    onnx.save(graph, text)
    edit(text.parent, files={"text.onnx": text.stat().st_size})
    with pytest.raises(CheckpointError, match="ONNX Runtime cannot take it"):
        load(text.parent).encode_text(["a dog"])


def test_export_command(models, tmp_path, capfd):
    command = Command(capfd)
    save_model(tmp_path / "whole", models["bigru"])
    words = ("export", tmp_path / "whole", tmp_path / "out", "--no-calibrate")
    assert "use float16, float32 or int8" in command.mistake(*words, "--precision", "int4")
    assert "--license 'my own'" in command.mistake(*words, "--license", "my own")
    assert re.search(r"embeddings (0\.999|1\.000)", command(*words).out)
    assert load(tmp_path / "out").encode_text(["a dog"]).shape == (1, 24)
    assert "is there already" in command.mistake(*words)


@pytest.mark.parametrize("calibration", [None, {"mean": 0.4, "deviation": 0.05}])
def test_exports_of_earlier_releases_load(exported, tmp_path, calibration):
    """They had a calibration, and no vocabulary."""
    shutil.copytree(exported("bigru", "float16")[0], tmp_path / "exported")
    folder = tmp_path / "exported"
    (folder / "vocabulary.txt").unlink()
    files = json.loads((folder / "exported.json").read_text())["files"]
    del files["vocabulary.txt"]
    edit(folder, calibration=calibration, files=files)
    assert load(folder).unknown_words("a spaceship") == []
    assert load(folder, runtime="torch").unknown_words("a spaceship") == []


def test_the_shipped_model_is_small_and_trained():
    shipped = load()
    assert isinstance(shipped, OnnxEncoder)
    assert shipped.fingerprint == load(DEFAULT).fingerprint
    dog, dogs, car = shipped.encode_text(["a dog runs", "two dogs run", "a man rides a bicycle"])
    assert dog @ dogs > dog @ car
    assert math.isclose(float(np.linalg.norm(dog)), 1, rel_tol=1e-5)


def test_the_shipped_model_is_its_checkpoint():
    model = load_model(DEFAULT)
    assert float(str(model.metrics["rsum"])) > 300
    shipped, embedder = load(), Embedder(model, "cpu", "torch")
    assert shipped.fingerprint == embedder.fingerprint
    assert shipped.description == embedder.description
    assert (shipped.encode_text(CAPTIONS) * embedder.encode_text(CAPTIONS)).sum(1).min() > 0.9999
    images = sorted(PHOTOS.glob("*.jpg"))[:3]
    assert (shipped.encode_images(images) * embedder.encode_images(images)).sum(1).min() > 0.9999


def test_the_shipped_model_fits_its_limit_names_no_place_and_has_its_licences():
    folder = shipped_model(DEFAULT)
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < LIMIT
    settings = load_model(folder).settings
    assert settings.data.path is None
    assert settings.features.store is None
    notice = (folder / "NOTICE.md").read_text("utf-8")
    for licence in (folder / "licenses").iterdir():
        assert f"`licenses/{licence.name}`" in notice


@pytest.mark.parametrize("name", ["shipped:nothing", "shipped:", "shipped:../model", "shipped:."])
def test_other_names_do_not_ship(name):
    with pytest.raises(CheckpointError, match="no such model ships; there is shipped:flickr8k"):
        load(name)
