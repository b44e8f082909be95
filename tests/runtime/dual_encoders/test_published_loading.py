from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import transformers_oracle as oracle
from safetensors.torch import load_file
from tiny_dual_encoders import FAMILIES, TEXTS, save_dual_encoder

import user_itr
from user_itr import load
from user_itr.errors import CheckpointError

TINY_TEXTS = TEXTS[:3]


def without_torch(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    blocked = "import sys; sys.modules.update(torch=None, transformers=None, onnx=None)\n"
    source = str(Path(user_itr.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-c", blocked + code],
        env={**os.environ, "PYTHONPATH": source, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_checkpoint_is_written_as_onnx_once(checkpoints, monkeypatch):
    from user_itr.model import transformers_export

    load(checkpoints["clip"])
    monkeypatch.setattr(transformers_export, "export_published", None)
    assert load(checkpoints["clip"]).encode_text(TINY_TEXTS).shape == (3, 12)


def test_a_checkpoint_that_was_written_before_needs_no_pytorch(checkpoints):
    wanted = load(checkpoints["siglip"]).encode_text(["a dog"])[0]
    code = (
        "from user_itr import load\n"
        f"print(load({str(checkpoints['siglip'])!r}).encode_text(['a dog'])[0].tolist())"
    )
    done = without_torch(code)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), wanted, atol=1e-6)


def test_a_new_checkpoint_without_the_extra_ends_in_its_pip_line(checkpoints, tmp_path):
    code = (
        "from user_itr import load\nfrom user_itr.errors import MissingExtraError\n"
        f"try: load({str(checkpoints['clip'])!r})\nexcept MissingExtraError as e: print(e)"
    )
    done = without_torch(code, XDG_CACHE_HOME=str(tmp_path))
    assert "pip install 'user-itr[train]'" in done.stdout, done.stderr


def test_a_checkpoint_in_parts_and_with_openai_s_end_token_is_loaded(tmp_path):
    folder = save_dual_encoder("clip", tmp_path / "parts", max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    values = json.loads((folder / "config.json").read_text())
    values["text_config"]["eos_token_id"] = 2  # which means: the largest id ends the text
    (folder / "config.json").write_text(json.dumps(values))
    encoder = load(folder)
    network = oracle.model(folder)
    wanted = [oracle.text_vector(network, oracle.tokens("clip", folder, t)) for t in TEXTS]
    np.testing.assert_allclose(encoder.encode_text(TEXTS), wanted, atol=1e-5)


def as_bin(checkpoint: Path, folder: Path) -> Path:
    shutil.copytree(checkpoint, folder)
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()
    return folder


def in_parts(checkpoint: Path, folder: Path) -> Path:
    shutil.copytree(checkpoint, folder)
    (folder / "model.safetensors").unlink()
    oracle.model(checkpoint).save_pretrained(folder, max_shard_size="10KB")
    return folder


@pytest.mark.parametrize("form", ["whole", "parts", "bin"])
@pytest.mark.parametrize("family", FAMILIES)
def test_weights_of_every_family_are_read_in_every_form(family, form, checkpoints, tmp_path):
    from user_itr.model.transformers_export import load_checkpoint
    from user_itr.runtime.dual_encoders.layout import checkpoint_files, read_architecture

    folder, wanted = checkpoints[family], oracle.model(checkpoints[family]).state_dict()
    if form == "parts":
        folder = in_parts(folder, tmp_path / "parts")
    elif form == "bin":
        folder = as_bin(folder, tmp_path / "bin")
    assert (len(checkpoint_files(folder)) > 2) == (form == "parts")
    made = load_checkpoint(folder, read_architecture(folder)).state_dict()
    assert made.keys() == wanted.keys()
    for name, values in made.items():
        assert torch.equal(values, wanted[name])


class Touch:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


def test_a_bin_that_would_run_code_is_refused(checkpoints, tmp_path):
    folder = as_bin(checkpoints["clip"], tmp_path / "bin")
    mark = tmp_path / "executed"
    torch.save({"logit_scale": Touch(mark)}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="transformers cannot load it"):
        load(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Touch(mark), protocol=2))
    with pytest.raises(CheckpointError, match="transformers cannot load it"):
        load(folder)
    assert not mark.exists()


def test_weights_that_are_missing_are_named(checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints["clip"], tmp_path / "lacking")
    tensors = load_file(folder / "model.safetensors")
    del tensors["text_projection.weight"]
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"lacks 1 weights .* text_projection\.weight"):
        load(folder)


def test_nothing_is_kept_of_an_export_that_computes_something_else(
    published, checkpoints, tmp_path, monkeypatch
):
    from user_itr.model import transformers_export

    place = published["chinese_clip"] / "onnx"

    def other_weights(*_: object) -> dict[str, onnx.ModelProto]:
        graphs = {
            name: onnx.load(place / f"{name}.onnx") for name in ("text_model", "vision_model")
        }
        largest = max(graphs["text_model"].graph.initializer, key=lambda one: len(one.raw_data))
        values = onnx.numpy_helper.to_array(largest)
        largest.raw_data = np.ascontiguousarray(values[::-1]).tobytes()
        return graphs

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(transformers_export, "_graphs", other_weights)
    with pytest.raises(CheckpointError, match=r"have a cosine of 0\.\d+ to PyTorch's"):
        load(checkpoints["chinese_clip"])
    assert not list((tmp_path / "cache").rglob("*.onnx"))


def test_a_cache_that_cannot_be_written_is_named(checkpoints, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match="dual_encoders: cannot be written"):
        load(checkpoints["clip"])


def test_a_folder_without_weights_says_what_is_missing(checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints["clip"], tmp_path / "empty")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="holds neither ONNX files"):
        load(folder)
