"""A CLIP of sentence-transformers, and the text encoder that was trained to go with it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import sentence_transformers
import transformers_oracle as oracle
from odd_photographs import photographs
from tiny_dual_encoders import TEXTS
from tiny_sentence_models import save_images, save_texts

from user_itr import ImageIndex, load
from user_itr.cli import main
from user_itr.errors import CheckpointError
from user_itr.features.guides.registry import guide_folder
from user_itr.hub.names import recorded_name
from user_itr.runtime.dual_encoders.names import is_composed, pair_of
from user_itr.runtime.dual_encoders.sentence_modules import read_modules, read_text_modules
from user_itr.search.query import search_text


@pytest.fixture(scope="module")
def sides(checkpoints, published, tmp_path_factory):
    home = tmp_path_factory.mktemp("sides")
    return save_texts(home / "texts", 12), save_images(checkpoints["clip"], home / "images")


@pytest.fixture(scope="module")
def pair(sides):
    return load("+".join(map(str, sides)))


def test_texts_are_those_of_sentence_transformers(pair, sides):
    theirs = sentence_transformers.SentenceTransformer(str(sides[0]))
    wanted = [theirs.encode(text, normalize_embeddings=True) for text in TEXTS]
    np.testing.assert_allclose(pair.encode_text(TEXTS), wanted, atol=1e-5)
    alone = np.concatenate([pair.encode_text(text) for text in TEXTS])
    np.testing.assert_allclose(alone, wanted, atol=1e-5)


def test_images_are_those_of_the_clip(pair, published):
    images = photographs()
    wanted = load(published["clip"]).encode_images(images)
    np.testing.assert_allclose(pair.encode_images(images), wanted, atol=1e-5)


def test_the_clip_of_sentence_transformers_is_a_model_by_itself(sides, published, checkpoints):
    alone, plain = load(sides[1]), load(published["clip"])
    np.testing.assert_allclose(alone.encode_text(TEXTS), plain.encode_text(TEXTS), atol=1e-5)
    words = alone._text_processor.tokenizer(TEXTS)
    theirs = oracle.tokenizer("clip", checkpoints["clip"])
    for row, text in enumerate(TEXTS):
        made = words.ids[words.offsets[row] : words.offsets[row + 1]]
        np.testing.assert_array_equal(made, theirs(text, truncation=True)["input_ids"])


def test_a_pair_says_what_it_is(pair, sides, published):
    assert pair.description == "CLIP 0_CLIPModel with texts by texts, 12 wide"
    assert pair.fingerprint not in {load(sides[1]).fingerprint, load(published["clip"]).fingerprint}
    assert pair.fingerprint == load("+".join(map(str, sides))).fingerprint


def test_an_index_remembers_both_folders(pair, sides, tmp_path, monkeypatch):
    monkeypatch.chdir(sides[0].parent)
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, image in enumerate(photographs()[:2]):
        image.save(photos / f"{number}.png")
    index = ImageIndex.create_or_open(tmp_path / "index", pair, "texts+images")
    index.update(photos, pair)
    assert index.manifest.model == f"{sides[0]}+{sides[1]}"
    assert len(search_text(index, load(index.manifest.model), "ein Hund", k=9)) == 2


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([*map(str, words)])
    return int(end.value.code or 0)


def test_commands_take_a_pair(sides, tmp_path, monkeypatch, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    lines = ["image,caption,split"]
    for number, image in enumerate(photographs()[:2]):
        image.save(photos / f"{number}.png")
        lines.append(f"{number}.png,Bild {number},test")
    (photos / "captions.csv").write_text("\n".join(lines))
    monkeypatch.chdir(sides[0].parent)
    assert run("index", photos, "--model", "texts+images", "--index", tmp_path / "index") == 0
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert run("search", "ein Hund", "--index", "index", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["results"]) == 2
    assert run("evaluate", "+".join(map(str, sides)), "--data", photos) == 0
    assert "rsum" in capsys.readouterr().out
    assert guide_folder(tmp_path, f"x+{sides[1]}") == guide_folder(tmp_path, str(sides[1]))


@pytest.mark.parametrize(
    "change",
    [
        {"pooling": "cls"},
        {"activation_function": None},
        {"bias": True},
    ],
)
def test_other_poolings_and_layers(change, sides, tmp_path):
    from torch import nn

    if "activation_function" in change:
        change = {"activation_function": nn.Tanh()}
    folder = save_texts(tmp_path / "texts", 12, **change)
    theirs = sentence_transformers.SentenceTransformer(str(folder))
    wanted = theirs.encode(list(TEXTS[:3]), normalize_embeddings=True)
    made = load(f"{folder}+{sides[1]}").encode_text(TEXTS[:3])
    np.testing.assert_allclose(made, wanted, atol=1e-5)


def test_sides_of_different_widths_are_refused(sides, published, tmp_path):
    with pytest.raises(CheckpointError, match=r"gives texts a width of 12, and .* one of 16"):
        load(f"{sides[0]}+{published['siglip']}")


def write(folder, name, values):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values))


PARTS = ["Transformer", "Pooling", "Dense"]


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("modules.json", {"a": 1}, "is not a list of parts"),
        ("modules.json", [{"path": "../x", "type": "sentence_transformers.A"}], "lies elsewhere"),
        ("modules.json", [{"path": "x", "type": "own_code.Part"}], "asks to run code of its own"),
        ("modules.json", [{"path": "", "type": "sentence_transformers.Pooling"}], "has Pooling; "),
        ("1_Pooling/config.json", {"pooling_mode": "max", "embedding_dimension": 16}, "pools"),
        ("1_Pooling/config.json", {"pooling_mode": "mean"}, "no embedding_dimension"),
        ("2_Dense/config.json", {"in_features": 16}, "out_features: Field required"),
        (
            "2_Dense/config.json",
            {"in_features": 16, "out_features": 12, "activation_function": "own.Code"},
            "activation_function is own.Code",
        ),
        ("sentence_bert_config.json", {"do_lower_case": True}, "do_lower_case"),
    ],
)
def test_parts_that_are_not_known_are_refused(name, values, said, sides, tmp_path):
    folder = shutil.copytree(sides[0], tmp_path / "texts")
    write(folder, name, values)
    with pytest.raises(CheckpointError, match=said):
        load(f"{folder}+{sides[1]}")


def test_parts_without_weights_are_refused(sides, tmp_path):
    folder = shutil.copytree(sides[0], tmp_path / "texts")
    (folder / "2_Dense" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="lacks weights"):
        load(f"{folder}+{sides[1]}")
    (folder / "2_Dense" / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load(f"{folder}+{sides[1]}")


def test_a_text_encoder_alone_is_refused_with_its_remedy(sides):
    with pytest.raises(CheckpointError, match=r"model_type is 'distilbert'.*\+IMAGE_FOLDER"):
        load(sides[0])


def test_a_pair_is_told_from_a_folder_with_a_plus_in_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b+c", "a+b"):
        (tmp_path / name).mkdir()
    assert pair_of("a+b") is None
    assert pair_of("a+b+c") == ("a", "b+c")
    assert pair_of("x+y") == ("x", "y")
    assert pair_of("s3://x+y") is None
    assert pair_of("open_clip:x@a+b") is None
    assert not is_composed("a")
    assert recorded_name("a+b+c") == f"{tmp_path / 'a'}+{tmp_path / 'b+c'}"
    assert recorded_name("open_clip:ViT@a") == f"open_clip:ViT@{tmp_path / 'a'}"
    assert recorded_name("open_clip:ViT@openai") == "open_clip:ViT@openai"
    assert recorded_name("open_clip:a") == f"open_clip:{tmp_path / 'a'}"
    with pytest.raises(CheckpointError, match="y: no such folder"):
        load("a+y")


def test_what_modules_say(sides):
    modules = read_text_modules(sides[0])
    assert (modules.pooling, modules.dim, modules.max_tokens) == ("mean", 12, 40)
    assert [one.kind for one in read_modules(sides[1])] == ["CLIPModel"]
    assert read_modules(sides[0] / "2_Dense") == []
