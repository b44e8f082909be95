from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

sys.path.append(str(Path(__file__).parents[1] / "training"))
from tiny_runs import silent, tiny_settings, write_bert, write_scan_set

from user_itr import Embedder, ImageIndex, load
from user_itr.config.loading import load_settings
from user_itr.errors import CheckpointError, ConfigError, DataError
from user_itr.features.backbones.efficientnet_lite import EfficientNetLite
from user_itr.features.compact import Compactor
from user_itr.features.extraction import extract_features
from user_itr.features.guides.registry import create_guide
from user_itr.features.store import FeatureStore
from user_itr.model.building import build_dual_encoder
from user_itr.model.checkpoint import TrainedModel, save_model
from user_itr.model.tokenizer import CaptionTokenizer
from user_itr.training.preparation import prepare

CAPTIONS = [
    "a dog runs over the snow and into the lake",
    "dog",
    "",
    "two dogs",
    "a dog runs over the snow",
    "two dogs",
]


@pytest.fixture(scope="module")
def backbone() -> EfficientNetLite:
    return EfficientNetLite("efficientnet-lite0")


@pytest.fixture(scope="module")
def model(backbone: EfficientNetLite) -> TrainedModel:
    """A model of images with compact features, random weights and statistics that matter."""
    settings = load_settings(
        None,
        ["features.grid=3", "features.width=32", "model.embedding=24"],
        model={"text": {"encoder": "bigru", "gru_width": 16, "word_width": 8}},
    )
    torch.manual_seed(0)
    compactor = Compactor(backbone.regions, backbone.width, 3, 32)
    raw = np.random.default_rng(0).normal(size=(20, backbone.regions, backbone.width)).clip(0)
    compactor.fit(raw, np.arange(20))
    tokenizer = CaptionTokenizer.from_words(CAPTIONS, 12, 1)
    encoder = build_dual_encoder(settings.model, 32, tokenizer.vocabulary_size)
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return TrainedModel(settings, encoder, compactor, tokenizer, backbone.identity())


@pytest.fixture(scope="module")
def embedder(model: TrainedModel) -> Embedder:
    return Embedder(model, "cpu", "torch")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Small and large files, also such that decode at a part of their size or lie on their side."""
    folder = tmp_path_factory.mktemp("photos")
    sideways = Image.Exif()
    sideways[0x0112] = 6
    random = np.random.default_rng(1)
    paths = []
    for name, size, options in (
        ("a.png", (90, 60), {}),
        ("b.jpg", (300, 200), {"quality": 95}),
        ("c.jpg", (1900, 1300), {"quality": 95}),
        ("d.jpg", (1000, 950), {"quality": 90, "exif": sideways}),
        ("e.png", (1500, 1200), {}),
        ("f.png", (64, 64), {"exif": sideways}),
    ):
        coarse = random.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize(size, Image.Resampling.NEAREST)
        image.save(folder / name, **options)
        paths.append(folder / name)
    return paths


def test_images_by_hand(
    model: TrainedModel, embedder: Embedder, backbone: EfficientNetLite, photos: list[Path]
) -> None:
    found = embedder.encode_images(photos)
    assert found.dtype == np.float32
    assert found.shape == (len(photos), 24)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert model.compactor is not None
    for path, embedding in zip(photos, found, strict=True):
        with torch.inference_mode():
            raw = backbone(torch.from_numpy(backbone.load(path)[None].copy()))
            compact = model.compactor(raw.half().float()).half().float()
            by_hand = model.encoder.image(compact)[0]
        np.testing.assert_allclose(embedding, by_hand, atol=5e-5)  # float16 may round otherwise
    assert np.abs(found @ found.T - 1)[~np.eye(len(found), dtype=bool)].min() > 1e-3


@pytest.mark.parametrize("guide", [None, "efficientnet-lite0", "efficientnet-lite2"])
def test_several_views_by_hand(
    backbone: EfficientNetLite, photos: list[Path], guide: str | None
) -> None:
    """Each view is seen as a photograph of its own, but guided by the whole one."""
    one = guided_model(backbone, guide)
    features = one.settings.features.model_copy(update={"views": ("whole", "mirror-centre-80")})
    several = replace(one, settings=one.settings.model_copy(update={"features": features}))
    embedder = Embedder(several, "cpu", "torch")
    assert ", 2 views" in embedder.description
    alone = Embedder(one, "cpu", "torch")
    images = [Image.open(path).convert("RGB") for path in (photos[0], photos[4])]
    for image, found in zip(images, embedder.encode_images(images), strict=True):
        width, height = image.size
        centre = image.crop((width // 10, height // 10, width * 9 // 10, height * 9 // 10))
        seen = [backbone.preprocess(view) for view in (image, ImageOps.mirror(centre))]
        regions = backbone.encode(np.stack(seen)).half().numpy()
        vectors = None
        if guide is not None:
            network = create_guide(guide)
            whole = network.encode(network.preprocess(image)[None]).half().numpy()[:, 0]
            vectors = np.repeat(whole, 2, axis=0)
        total = alone.encode_regions(regions, guides=vectors).sum(axis=0)
        np.testing.assert_allclose(found, total / np.linalg.norm(total), atol=5e-5)
    pixels = embedder.preprocess(images[0])
    assert (pixels if pixels.dtype.names is None else pixels["regions"]).shape[0] == 2


def guided_model(backbone: EfficientNetLite, guide: str | None) -> TrainedModel:
    """An untrained model without compact features, guided or not."""
    overrides = ["model.embedding=24", "model.image.enhancement=self"]
    if guide is not None:
        overrides[1:] = ["model.image.enhancement=both", f"features.guide={guide}"]
    text = {"encoder": "bigru", "gru_width": 16, "word_width": 8}
    settings = load_settings(None, overrides, model={"text": text})
    tokenizer = CaptionTokenizer.from_words(CAPTIONS, 12, 1)
    torch.manual_seed(0)
    encoder = build_dual_encoder(
        settings.model,
        backbone.width,
        tokenizer.vocabulary_size,
        guide_width=None if guide is None else 1280,
    )
    identity = None if guide is None else create_guide(guide).identity()
    return TrainedModel(settings, encoder.eval(), None, tokenizer, backbone.identity(), identity)


def test_image_file_index_and_feature_store_agree(
    model: TrainedModel, embedder: Embedder, photos: list[Path], tmp_path: Path
) -> None:
    files = embedder.encode_images(photos)
    extract_features([(p.name, p) for p in photos], embedder.backbone, tmp_path / "store")
    store = FeatureStore.open(tmp_path / "store")
    stored = embedder.encode_regions(store.array, store.rows([p.name for p in photos]))
    np.testing.assert_allclose(files, stored, atol=1e-6)

    index = ImageIndex.create_or_open(tmp_path / "index", embedder, "model")
    index.update(photos[0].parent, embedder)
    kept = files.astype(np.float16).astype(np.float32)  # as an index keeps embeddings
    kept /= np.linalg.norm(kept, axis=1, keepdims=True)
    np.testing.assert_allclose(kept, files, rtol=2**-10, atol=1e-6)
    for path, embedding in zip(photos, files, strict=True):
        hits = {hit.path.name: hit.score for hit in index.search(embedding, len(photos))}
        for other, wanted in zip(photos, kept @ embedding, strict=True):
            assert hits[other.name] == pytest.approx(wanted, abs=1e-6)
        assert hits[path.name] == pytest.approx(1, abs=1e-6)


def test_an_index_of_one_runtime_is_searched_by_the_other(
    model: TrainedModel, photos: list[Path], tmp_path: Path
) -> None:
    exact, fast = Embedder(model, "cpu", "torch"), Embedder(model, "cpu", "onnxruntime")
    assert (exact.backbone.runtime, fast.backbone.runtime) == ("torch", "onnxruntime")
    assert exact.fingerprint == fast.fingerprint
    embedded = [one.encode_images(photos) for one in (exact, fast)]
    assert not np.array_equal(*embedded)
    assert np.einsum("nd,nd->n", *embedded).min() > 0.9999
    for maker, seeker in ((exact, fast), (fast, exact)):
        where = tmp_path / maker.backbone.runtime
        ImageIndex.create_or_open(where, maker, "model").update(photos[0].parent, maker)
        index = ImageIndex.create_or_open(where, seeker, "model")
        assert index.update(photos[0].parent, seeker).encoded == 0
        for path, query in zip(photos, seeker.encode_images(photos), strict=True):
            [best] = index.search(query, 1)
            assert best.path.name == path.name
            assert best.score == pytest.approx(1, abs=1e-4)


def test_one_input_one_path(embedder: Embedder, photos: list[Path]) -> None:
    """A file, its bytes, an opened picture and an array of one photograph are one vector."""
    files = embedder.encode_images(photos)
    assert np.array_equal(embedder.encode_images([Image.open(path) for path in photos]), files)
    assert np.array_equal(embedder.encode_images([path.read_bytes() for path in photos]), files)
    mixed = [photos[0], str(photos[1]), *(Image.open(path) for path in photos[2:])]
    np.testing.assert_allclose(embedder.encode_images(iter(mixed)), files, atol=5e-5)
    arrays = [np.asarray(ImageOps.exif_transpose(Image.open(path))) for path in photos]
    for path, array, wanted in zip(photos, arrays, files, strict=True):
        [found] = embedder.encode_images(array)
        same = path.suffix == ".png" or max(array.shape) < 1_000  # decoded at its full size
        assert found @ wanted >= (1 - 1e-5 if same else 0.99)


def test_one_image_and_one_caption(embedder: Embedder, photos: list[Path]) -> None:
    wanted = embedder.encode_images([photos[1]])
    for one in (photos[1], str(photos[1]), Image.open(photos[1]), photos[1].read_bytes()):
        assert np.array_equal(embedder.encode_images(one), wanted)
    assert np.array_equal(embedder.encode_text("two dogs"), embedder.encode_text(["two dogs"]))
    for wrong in (None, 3, [None], [photos[0], {}]):
        with pytest.raises(DataError, match=r"images: .* is (not|neither) a picture"):
            embedder.encode_images(wrong)
    for wrong in (None, 3, b"two dogs", ["two dogs", None]):
        with pytest.raises(DataError, match=r"captions: .* give (strings|a string)"):
            embedder.encode_text(wrong)


def test_batch_size_and_order_change_nothing(embedder: Embedder, photos: list[Path]) -> None:
    images = embedder.encode_images(photos)
    texts = embedder.encode_text(CAPTIONS)
    assert texts.shape == (6, 24)
    assert np.array_equal(texts[3], texts[5])
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-6)
    for size in (1, 4):
        np.testing.assert_allclose(embedder.encode_images(photos, size), images, atol=5e-5)
        np.testing.assert_allclose(embedder.encode_text(CAPTIONS, size), texts, atol=1e-5)
    order = [4, 0, 3, 1, 2, 5]
    np.testing.assert_allclose(
        embedder.encode_text([CAPTIONS[i] for i in order]), texts[order], atol=1e-6
    )
    for number, caption in enumerate(CAPTIONS):
        np.testing.assert_allclose(embedder.encode_text([caption])[0], texts[number], atol=1e-5)

    regions = np.random.default_rng(2).normal(size=(7, 49, 1280)).astype(np.float16)
    whole = embedder.encode_regions(regions)
    rows = np.array([6, 0, 0, 3])
    np.testing.assert_allclose(embedder.encode_regions(regions, rows, 3), whole[rows], atol=1e-5)


def test_nothing_gives_nothing(embedder: Embedder) -> None:
    for empty in (
        embedder.encode_images([]),
        embedder.encode_text([]),
        embedder.encode_regions(np.empty((0, 49, 1280), np.float16)),
    ):
        assert empty.shape == (0, 24)
        assert empty.dtype == np.float32


def test_files_that_are_no_images(embedder: Embedder, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8 no more")
    for name, message in (("bad.jpg", "cannot be decoded"), ("lost.jpg", "no such image file")):
        with pytest.raises(DataError, match=f"{name}: {message}"):
            embedder.encode_images([tmp_path / name])


def test_a_model_of_precomputed_features_takes_no_images(tmp_path: Path) -> None:
    data = write_scan_set(tmp_path / "set")
    model = prepare(tiny_settings(data), silent).model
    save_model(tmp_path / "saved", model)
    embedder = load(tmp_path / "saved", "cpu")
    assert embedder.description == "precomputed, bigru, 24 wide"
    regions = np.load(data / "dev_ims.npy")
    assert embedder.encode_regions(regions).shape == (12, 24)
    with pytest.raises(CheckpointError, match="precomputed region features and has no image back"):
        embedder.encode_images([Image.new("RGB", (9, 9))])


def test_a_backbone_with_other_weights_is_refused(model: TrainedModel) -> None:
    other = replace(model, features={**model.features, "weights_hash": "0" * 64})
    with pytest.raises(CheckpointError, match="backbone efficientnet-lite0: its weights differ"):
        Embedder(other, "cpu").encode_images([Image.new("RGB", (9, 9))])


def test_description_and_identity(model: TrainedModel, tmp_path: Path) -> None:
    scored = replace(model, metrics={"rsum": 312.34})
    save_model(tmp_path / "saved", scored)
    embedder = load(str(tmp_path / "saved"), "cpu")
    assert embedder.description == "efficientnet-lite0, bigru, 24 wide, dev rsum 312.3"
    assert embedder.dim == 24
    assert embedder.fingerprint == load(tmp_path / "saved", "cpu").fingerprint != ""


def test_a_transformer_reads_captions_in_any_order(tmp_path: Path) -> None:
    data = write_scan_set(tmp_path / "set")
    bert = write_bert(tmp_path / "bert")
    settings = tiny_settings(data, f"model.text.encoder={bert}", "model.text.cache=false")
    embedder = Embedder(prepare(settings, silent).model, "cpu")
    captions = ["a dog and a ball and a hat", "cat", "", "the old boat", "cat"]
    whole = embedder.encode_text(captions)
    for size in (1, 2):
        np.testing.assert_allclose(embedder.encode_text(captions, size), whole, atol=1e-5)
    np.testing.assert_allclose(embedder.encode_text(captions[::-1]), whole[::-1], atol=1e-6)


@pytest.mark.parametrize("layers", [0, 1, "all"])
def test_captions_in_bfloat16(tmp_path: Path, layers: int | str) -> None:
    bert = write_bert(tmp_path / "bert")
    settings = tiny_settings(
        write_scan_set(tmp_path / "set"),
        f"model.text.encoder={bert}",
        "model.text.cache=false",
        f"model.text.trainable_layers={layers}",
    )
    model = prepare(settings, silent).model
    captions = ["a dog and a ball and a hat", "cat", "", "the old boat", "cat"]
    exact = Embedder(model, "cpu").encode_text(captions)
    fast = Embedder(model, "cpu", text_dtype="bfloat16").encode_text(captions)
    assert fast.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(fast, axis=1), 1, atol=1e-5)
    assert 0.99 < (exact * fast).sum(axis=1).min() < 0.9999999


def test_a_bigru_has_no_bfloat16(model: TrainedModel) -> None:
    with pytest.raises(ConfigError, match="only in float32"):
        Embedder(model, "cpu", text_dtype="bfloat16")


def test_equal_captions_are_encoded_once(embedder: Embedder) -> None:
    captions = ["a dog", "a dog runs", "a dog", "a cat and a dog", "a dog runs", "a cat"]
    encoded: list[int] = []
    text, told = embedder.encoder.text, []
    hook = text.register_forward_pre_hook(lambda _, inputs: encoded.append(len(inputs[0])))
    got = embedder.encode_text(captions, 3, lambda done, total: told.append((done, total)))
    hook.remove()
    assert sum(encoded) == 4
    assert told == [(3, 4), (4, 4)]
    assert np.array_equal(got[0], got[2])
    assert np.array_equal(got[1], got[4])
    for caption, row in zip(captions, got, strict=True):
        np.testing.assert_allclose(embedder.encode_text([caption])[0], row, atol=1e-6)
