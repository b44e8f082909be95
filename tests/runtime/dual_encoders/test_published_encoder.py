from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import transformers_oracle as oracle
from odd_photographs import photographs
from onnxruntime.quantization import quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16
from tiny_dual_encoders import FAMILIES, TEXTS

from user_itr import load
from user_itr.errors import CheckpointError, ConfigError
from user_itr.runtime.dual_encoders.encoder import PublishedEncoder
from user_itr.runtime.pictures import FEW


@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_are_those_of_transformers(family, published, checkpoints):
    encoder = load(published[family])
    assert isinstance(encoder, PublishedEncoder)
    network, processing = oracle.model(checkpoints[family]), oracle.processor(checkpoints[family])
    wanted = [
        oracle.text_vector(network, oracle.tokens(family, checkpoints[family], text))
        for text in TEXTS
    ]
    np.testing.assert_allclose(encoder.encode_text(TEXTS), wanted, atol=1e-5)
    images = photographs()
    wanted = [oracle.image_vector(network, processing, image) for image in images]
    np.testing.assert_allclose(encoder.encode_images(images), wanted, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_has_one_embedding_alone_in_a_batch_and_after_preparation(family, published):
    encoder = load(published[family])
    alone = np.concatenate([encoder.encode_text(text) for text in TEXTS])
    many = encoder.encode_text([*TEXTS, *map(str, range(FEW)), *TEXTS])
    np.testing.assert_allclose(many[: len(TEXTS)], alone, atol=1e-5)
    np.testing.assert_array_equal(many[-len(TEXTS) :], many[: len(TEXTS)])
    assert encoder.encode_text([]).shape == (0, encoder.dim)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_and_its_onnx_files_say_the_same_of_themselves(family, published, checkpoints):
    made, given = load(checkpoints[family]), load(published[family])
    assert made.graphs != given.graphs
    assert made.dim == given.dim
    assert made.description == given.description
    assert made.fingerprint != given.fingerprint  # weights, and files that compute them
    assert made.fingerprint == load(checkpoints[family]).fingerprint


def test_the_fingerprint_tells_weights_pixels_and_tokens(published, tmp_path):
    seen = {load(published["clip"]).fingerprint}
    changes = {
        "preprocessor_config.json": ('"shortest_edge": 32', '"shortest_edge": 40'),
        "tokenizer_config.json": ('"model_max_length": 77', '"model_max_length": 70'),
        "onnx/text_model.onnx_data": None,
    }
    for number, (name, change) in enumerate(changes.items()):
        folder = shutil.copytree(published["clip"], tmp_path / str(number))
        assert load(folder).fingerprint in seen
        content = (folder / name).read_bytes()
        if change is None:
            content = bytes([content[0] ^ 1]) + content[1:]
        else:
            assert change[0].encode() in content
            content = content.replace(*(part.encode() for part in change))
        (folder / name).write_bytes(content)
        seen.add(load(folder).fingerprint)
    assert len(seen) == 1 + len(changes)


def test_pixels_for_worker_processes_are_the_encoder_s(published):
    encoder = load(published["clip"])
    work = pickle.loads(pickle.dumps(encoder.worker_preprocess))
    pixels = np.stack([work(image.convert("RGB")) for image in photographs()])
    assert pixels.dtype == np.uint8
    rgb = [image.convert("RGB") for image in photographs()]
    np.testing.assert_array_equal(encoder.encode_pixels(pixels), encoder.encode_images(rgb))


def _in_one_file(folder: Path) -> None:
    """Join both graphs as Optimum does for a model's whole."""
    parts = [onnx.load(folder / "onnx" / f"{side}_model.onnx") for side in ("text", "vision")]
    parts = [
        onnx.compose.add_prefix(part, f"{n}_", rename_inputs=False, rename_outputs=False)
        for n, part in enumerate(parts)
    ]
    whole = onnx.compose.merge_models(*parts, io_map=[])
    shutil.rmtree(folder / "onnx")
    (folder / "onnx").mkdir()
    onnx.save_model(whole, folder / "onnx" / "model.onnx")


@pytest.mark.parametrize("family", ["siglip", "chinese_clip"])
def test_one_file_of_both_sides_gives_the_same_embeddings(family, published, tmp_path):
    apart = load(published[family])
    folder = shutil.copytree(published[family], tmp_path / family)
    _in_one_file(folder)
    whole = load(folder)
    assert whole.graphs.in_one_file
    np.testing.assert_allclose(whole.encode_text(TEXTS), apart.encode_text(TEXTS), atol=1e-5)
    images = photographs()
    np.testing.assert_allclose(whole.encode_images(images), apart.encode_images(images), atol=1e-5)


def with_int8(folder: Path) -> Path:
    """Add quantised variants to a folder."""
    for side in ("text", "vision"):
        quantize_dynamic(
            folder / "onnx" / f"{side}_model.onnx", folder / "onnx" / f"{side}_model_int8.onnx"
        )
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_int8_of_every_family_is_near(family, published, tmp_path):
    folder = with_int8(shutil.copytree(published[family], tmp_path / family))
    exact, small = load(folder), load(folder / "onnx" / "text_model_int8.onnx")
    images = photographs()[:3]
    for made, wanted in (
        (small.encode_text(TEXTS), exact.encode_text(TEXTS)),
        (small.encode_images(images), exact.encode_images(images)),
    ):
        assert 0.95 < (made * wanted).sum(axis=1).min() < 1


def test_a_precision_is_chosen_by_its_file(published, tmp_path):
    folder = with_int8(shutil.copytree(published["clip"], tmp_path / "clip"))
    exact = load(folder)
    for file in ("text_model_int8.onnx", "vision_model_int8.onnx"):
        small = load(folder / "onnx" / file)
        assert small.graphs.text.name == "text_model_int8.onnx"
        assert small.description == f"{exact.description}, int8"
        assert small.fingerprint != exact.fingerprint
    cosines = (small.encode_text(TEXTS) * exact.encode_text(TEXTS)).sum(axis=1)
    assert 0.98 < cosines.min() < 1
    for file in (folder / "onnx").glob("*_model.onnx*"):
        file.unlink()
    assert load(folder).description == small.description
    (folder / "onnx" / "vision_model_int8.onnx").unlink()
    with pytest.raises(CheckpointError, match=r"vision_model_int8\.onnx: is missing"):
        load(folder / "onnx" / "text_model_int8.onnx")


def test_half_precision_is_fed_with_it(published, tmp_path):
    folder = shutil.copytree(published["siglip"], tmp_path / "siglip")
    for side in ("text", "vision"):
        file = folder / "onnx" / f"{side}_model.onnx"
        half = convert_float_to_float16(onnx.load(file))
        file.unlink()
        onnx.save_model(half, folder / "onnx" / f"{side}_model_fp16.onnx")
    exact, half = load(published["siglip"]), load(folder)
    made = half.encode_images(photographs())
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, exact.encode_images(photographs()), atol=5e-3)
    np.testing.assert_allclose(half.encode_text(TEXTS), exact.encode_text(TEXTS), atol=5e-3)


def test_a_search_by_words_opens_the_text_encoder_alone(published):
    encoder = load(published["siglip"])
    encoder.encode_text("a dog")
    assert not {"_vision", "_image", "_text"} & set(vars(encoder))


def test_graphs_of_another_model_are_refused(published, tmp_path):
    folder = shutil.copytree(published["clip"], tmp_path / "mixed")
    for file in (published["siglip"] / "onnx").iterdir():
        shutil.copy(file, folder / "onnx")
    with pytest.raises(CheckpointError, match="same model"):
        load(folder).encode_text("a dog")


def test_projections_that_are_missing_are_named(published, tmp_path):
    folder = shutil.copytree(published["clip"], tmp_path / "clip")
    file = folder / "onnx" / "text_model.onnx"
    graph = onnx.load(file)
    output = graph.graph.output[0]
    for node in graph.graph.node:
        node.output[:] = ["pooler_output" if n == output.name else n for n in node.output]
    output.name = "pooler_output"
    onnx.save_model(graph, file)
    with pytest.raises(CheckpointError, match="has no output text_embeds"):
        load(folder).encode_text("a dog")


def test_a_damaged_graph_is_named(published, tmp_path):
    folder = shutil.copytree(published["clip"], tmp_path / "clip")
    file = folder / "onnx" / "text_model.onnx"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(CheckpointError, match=r"text_model\.onnx: ONNX Runtime cannot take it"):
        load(folder).encode_text("a dog")


def test_pytorch_is_not_asked_to_compute_one(published):
    with pytest.raises(ConfigError, match="ONNX Runtime alone"):
        load(published["clip"], runtime="torch")


def test_words_that_a_tokenizer_can_only_spell_are_told(published):
    model = load(published["clip"])
    assert model.unknown_words("a dog and كلب") == ["كلب"]
    assert model.unknown_words("") == model.unknown_words("two dogs in the snow") == []
    assert load(published["chinese_clip"]).unknown_words("一只狗") == []
