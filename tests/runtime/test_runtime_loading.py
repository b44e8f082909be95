from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from user_itr import Embedder, load
from user_itr.errors import CheckpointError, DataError
from user_itr.pretrained import DEFAULT, shipped_model
from user_itr.runtime.encoder import FEW, OnnxEncoder


@pytest.fixture(scope="module")
def shipped() -> OnnxEncoder:
    return OnnxEncoder(shipped_model(DEFAULT))


def test_an_exported_model_takes_onnxruntime_unless_pytorch_is_asked_for():
    folder = shipped_model(DEFAULT)
    for light in (load(), load(folder), load(str(folder), device="cpu", runtime="onnxruntime")):
        assert isinstance(light, OnnxEncoder)
    assert isinstance(load(runtime="torch", device="cpu"), Embedder)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "nowhere: no such folder; give a checkpoint or a run"),
        ("shipped:nothing", "no such model ships; there is shipped:flickr8k"),
        (".", "is no checkpoint"),
    ],
)
def test_what_is_no_model_is_refused(name, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=said):
        load(name)


def test_a_search_by_words_opens_no_image_network():
    code = (
        "import sys; from user_itr import load; model = load(); model.encode_text(['a dog']);"
        "assert '_image' not in vars(model) and '_text' not in vars(model);"
        "assert not {'torch', 'transformers', 'rich', 'typer'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_sentence_has_the_same_embedding_before_and_after_preparation(shipped):
    alone = shipped.encode_text(["two dogs play in the snow"])
    padded = shipped.encode_text(["two dogs play in the snow", "a " * 100, *map(str, range(FEW))])
    again = shipped.encode_text("two dogs play in the snow")
    np.testing.assert_allclose(alone[0], padded[0], atol=1e-5)
    np.testing.assert_allclose(alone, again, atol=1e-5)
    assert "_text_as_written" not in vars(shipped)


def test_pictures_in_any_form_and_number(shipped, tmp_path):
    dice = np.random.default_rng(0)
    arrays = [dice.integers(0, 256, (40 + n, 60, 3), dtype=np.uint8) for n in range(9)]
    files = [tmp_path / f"{n}.png" for n in range(9)]
    for array, file in zip(arrays, files, strict=True):
        Image.fromarray(array).save(file)
    wanted = shipped.encode_images(files, batch_size=4)
    assert wanted.shape == (9, shipped.dim)
    np.testing.assert_allclose(shipped.encode_images(arrays), wanted, atol=1e-5)
    np.testing.assert_allclose(shipped.encode_images(files[3]), wanted[3:4], atol=1e-5)
    assert shipped.encode_images([]).shape == (0, shipped.dim)
    with pytest.raises(DataError):
        shipped.encode_images([Path("nowhere.jpg")])
