"""Large ONNX files, kept once more with their weights beside them."""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import pytest
from tiny_dual_encoders import TEXTS

from user_itr import load
from user_itr.errors import CheckpointError
from user_itr.runtime.dual_encoders import unpacked
from user_itr.runtime.dual_encoders.hashes import cache_folder
from user_itr.runtime.dual_encoders.unpacked import weights_beside


@pytest.fixture
def folder(published, tmp_path, monkeypatch):
    """A CLIP whose files hold their weights, and are large enough."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(unpacked, "LEAST", 10_000)
    made = shutil.copytree(published["clip"], tmp_path / "clip")
    for file in sorted((made / "onnx").glob("*.onnx")):
        graph = onnx.load(file)
        (file.parent / f"{file.name}_data").unlink()
        onnx.save_model(graph, file)
    return made


def test_texts_have_the_same_embeddings(folder, published):
    wanted = load(published["clip"]).encode_text(TEXTS)
    file = folder / "onnx" / "text_model.onnx"
    copy = weights_beside(file)
    assert copy != file
    assert copy.stat().st_size < file.stat().st_size / 2
    assert weights_beside(file) == copy
    np.testing.assert_allclose(load(folder).encode_text(TEXTS), wanted, atol=1e-6)


def test_a_changed_file_is_written_anew(folder):
    file = folder / "onnx" / "text_model.onnx"
    first = weights_beside(file)
    shutil.copy(folder / "onnx" / "vision_model.onnx", file)
    assert weights_beside(file) != first


def test_small_files_and_those_with_weights_beside_stay_where_they_are(published):
    file = published["clip"] / "onnx" / "text_model.onnx"
    assert weights_beside(file) == file


def test_without_room_the_file_serves_as_it_is(folder, tmp_path):
    (tmp_path / "cache").write_bytes(b"a file in its place")
    file = folder / "onnx" / "text_model.onnx"
    assert weights_beside(file) == file
    assert len(load(folder).encode_text("a dog")) == 1


def test_a_damaged_file_is_named_and_leaves_nothing(folder):
    file = folder / "onnx" / "text_model.onnx"
    file.write_bytes(file.read_bytes()[:-20_000])
    with pytest.raises(CheckpointError, match=r"clip/onnx/text_model\.onnx: ONNX Runtime cannot"):
        load(folder).encode_text("a dog")
    assert not list((cache_folder() / "unpacked").iterdir())
