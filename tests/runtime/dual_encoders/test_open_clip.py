"""Models of open_clip, against open_clip itself where it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from odd_photographs import photographs
from tiny_dual_encoders import TEXTS

import user_itr
from user_itr import load
from user_itr.data.pictures import as_rgb
from user_itr.errors import CheckpointError, MissingExtraError
from user_itr.features.guides.registry import create_guide
from user_itr.runtime.dual_encoders.open_clip_text import clean


@pytest.mark.parametrize(
    ("text", "cleaning", "wanted"),
    [
        ("  A  Dog\n&amp; a CAT ", "lower", "a dog & a cat"),
        ("&amp;lt;b&gt;", "lower", "<b>"),
        ("“déjà” ‘vu’ ﬁn ﬅ ŉ Ǆ", "whitespace", "\"déjà\" 'vu' fin ſt 'n DŽ"),
        ("Ｈｅｌｌｏ　ｶﾞ", "whitespace", "Hello ガ"),
        ("e\u0301\x00\ufeff\x0b.", "whitespace", "é."),
        ("A red_car, isn't it?!", "canonicalize", "a red car isnt it"),
        ("", "lower", ""),
        ("一只狗 👩‍👩‍👧", "lower", "一只狗 👩‍👩‍👧"),
    ],
)
def test_texts_are_cleaned_as_open_clip_cleans_them(text, cleaning, wanted):
    assert clean(text, cleaning) == wanted


@pytest.mark.parametrize("name", ["ViT-B-32", "@openai", "", "/"])
def test_a_name_without_its_parts_is_refused(name):
    with pytest.raises(CheckpointError, match="open_clip:MODEL@WEIGHTS"):
        load(f"open_clip:{name}")


def test_without_open_clip_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'user-itr\[train,open_clip\]'"):
        load("open_clip:ViT-B-32@openai")


MODEL = {
    "embed_dim": 12,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},
    "text_cfg": {"vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
}
PIXELS = {
    "mean": [0.5] * 3,
    "std": [0.5] * 3,
    "resize_mode": "squash",
    "interpolation": "bilinear",
}


@pytest.fixture(scope="module", params=["file", "folder"])
def tiny(request, tmp_path_factory):
    """A small model's name, and open_clip's own network, transform and tokenizer."""
    open_clip = pytest.importorskip("open_clip")
    home = tmp_path_factory.mktemp("open_clip")
    (home / "tiny.json").write_text(json.dumps(MODEL))
    open_clip.add_model_config(home / "tiny.json")
    torch.manual_seed(4)
    weights = home / "open_clip_pytorch_model.bin"
    torch.save(open_clip.create_model("tiny").state_dict(), weights)
    if request.param == "file":
        ours, theirs = f"tiny@{weights}", ("tiny", str(weights))
    else:
        config = {"model_cfg": MODEL, "preprocess_cfg": PIXELS}
        (home / "open_clip_config.json").write_text(json.dumps(config))
        ours, theirs = str(home), (f"local-dir:{home}", None)
    network, transform = open_clip.create_model_from_pretrained(theirs[0], pretrained=theirs[1])
    return f"open_clip:{ours}", network.eval(), transform, open_clip.get_tokenizer(theirs[0])


def unit(values: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(values).numpy()


def test_embeddings_are_those_of_open_clip(tiny):
    name, network, transform, tokenizer = tiny
    encoder = load(name)
    assert encoder.description.startswith("open_clip ")
    assert encoder.description.endswith(", 12 wide")
    images = [as_rgb(image) for image in photographs() if max(image.size) < 1000]
    with torch.inference_mode():
        wanted = unit(network.encode_image(torch.stack([transform(one) for one in images])))
        texts = unit(network.encode_text(tokenizer(list(TEXTS))))
    np.testing.assert_allclose(encoder.encode_images(images), wanted, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_text(TEXTS), texts, atol=1e-5)
    made = encoder.text_inputs(TEXTS)["input_ids"]
    np.testing.assert_array_equal(made, tokenizer(list(TEXTS)).numpy())


def test_a_guide_is_the_image_embedding_before_it_is_made_unit_norm(tiny):
    name, network, transform, _ = tiny
    guide = create_guide(name)
    image = as_rgb(photographs()[0])
    with torch.inference_mode():
        wanted = network.encode_image(transform(image)[None])
        made = guide(torch.from_numpy(guide.preprocess(image)[None]))
    torch.testing.assert_close(made[:, 0], wanted)


def test_what_was_written_needs_neither_open_clip_nor_pytorch(tiny):
    name = tiny[0]
    wanted = load(name).encode_text("a dog")[0]
    code = (
        "import sys; sys.modules.update(torch=None, transformers=None, open_clip=None)\n"
        f"from user_itr import load\nprint(load({name!r}).encode_text(['a dog'])[0].tolist())"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(user_itr.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("open_clip:ViT-B-32@no_such_tag", "neither a file nor a tag of open_clip"),
        ("open_clip:ViT-B-32@laion400m_e32", "not on this machine, and user-itr does not download"),
        ("open_clip:ViT-B-32@{file}.lost.bin", "lost.bin is not there"),
        ("open_clip:NoSuchModel@{file}", "open_clip cannot load it"),
        ("open_clip:ViT-B-32@{file}", "open_clip cannot load it"),
    ],
)
def test_what_is_not_there_is_refused(name, said, tmp_path):
    pytest.importorskip("open_clip")
    torch.save({"x": torch.zeros(1)}, tmp_path / "weights.bin")
    with pytest.raises(CheckpointError, match=said):
        load(name.format(file=tmp_path / "weights.bin"))
