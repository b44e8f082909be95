from __future__ import annotations

import json

import pytest

from user_itr import load
from user_itr.errors import CheckpointError
from user_itr.runtime.dual_encoders.layout import (
    checkpoint_files,
    find_graphs,
    is_published,
    model_folder,
    read_architecture,
)


def write(folder, name, values):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values))
    return file


def touch(folder, *names):
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model_type": "blip"}, "model_type is 'blip'; user-itr runs the dual encoders clip"),
        ({"model_type": "siglip2"}, "NaFlex"),
        ({"model_type": "clip_text_model"}, "model_type is 'clip_text_model'"),
        ({"model_type": "clip", "auto_map": {"AutoModel": "a.B"}}, "code of its own"),
        ({"model_type": "clip", "projection_dim": "wide"}, r"config\.json: projection_dim"),
        ({"model_type": "clip", "text_config": 3}, r"config\.json: text_config"),
    ],
)
def test_what_is_not_run_is_refused_with_a_sentence(values, said, tmp_path):
    write(tmp_path, "config.json", values)
    with pytest.raises(CheckpointError, match=said):
        load(tmp_path)


def test_code_is_refused_before_anything_else_is_read(tmp_path):
    write(tmp_path, "config.json", {"auto_map": {"AutoConfig": "configuration.Own"}})
    with pytest.raises(CheckpointError, match="asks to run code of its own"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("values", "dim", "positions"),
    [
        ({"model_type": "clip"}, 512, 77),
        ({"model_type": "clip", "projection_dim": 640}, 640, 77),
        ({"model_type": "clip", "text_config": {"max_position_embeddings": 32}}, 512, 32),
        ({"model_type": "siglip", "projection_dim": 3}, 768, 64),
        ({"model_type": "siglip", "text_config": {"hidden_size": 1152}}, 1152, 64),
        ({"model_type": "siglip", "text_config": {"projection_size": 9}}, 9, 64),
        ({"model_type": "chinese_clip"}, 512, 512),
    ],
)
def test_sizes_are_transformers_where_the_file_leaves_them_out(values, dim, positions, tmp_path):
    write(tmp_path, "config.json", values)
    architecture = read_architecture(tmp_path)
    assert (architecture.dim, architecture.positions) == (dim, positions)


def test_exact_graphs_come_before_smaller_ones_and_apart_before_together(tmp_path):
    touch(tmp_path, "onnx/model.onnx")
    assert find_graphs(tmp_path).in_one_file
    touch(tmp_path, "onnx/text_model_quantized.onnx")
    assert find_graphs(tmp_path).in_one_file
    touch(tmp_path, "onnx/vision_model_quantized.onnx")
    assert find_graphs(tmp_path).text.name == "text_model_quantized.onnx"
    touch(tmp_path, "onnx/text_model.onnx", "onnx/vision_model.onnx")
    found = find_graphs(tmp_path)
    assert (found.text.name, found.vision.name) == ("text_model.onnx", "vision_model.onnx")
    touch(tmp_path, "onnx/text_model.onnx_data", "onnx/text_model_q4.onnx_data")
    assert [file.name for file in found.files] == [
        "text_model.onnx",
        "vision_model.onnx",
        "text_model.onnx_data",
    ]


def test_a_file_of_onnx_names_its_model(tmp_path):
    names = ("onnx/text_model_q4.onnx", "onnx/vision_model_q4.onnx", "model_fp16.onnx", "x.onnx")
    touch(tmp_path, *names)
    for name in names[:3]:
        assert is_published(tmp_path / name)
        assert model_folder(tmp_path / name) == tmp_path
    assert find_graphs(tmp_path / names[1]) == find_graphs(tmp_path / names[0])
    assert find_graphs(tmp_path / names[2]).in_one_file
    with pytest.raises(CheckpointError, match="no model's file by its name"):
        find_graphs(tmp_path / "x.onnx")


def test_missing_files_are_named(tmp_path):
    (tmp_path / "onnx").mkdir()
    touch(tmp_path, "onnx/text_model.onnx")
    with pytest.raises(CheckpointError, match=r"config\.json: is missing"):
        load(tmp_path)
    write(tmp_path, "config.json", {"model_type": "clip"})
    with pytest.raises(CheckpointError, match="holds neither onnx/text_model"):
        load(tmp_path)


def test_weights_are_taken_from_safetensors_first_and_from_all_parts(tmp_path):
    assert checkpoint_files(tmp_path) == []
    touch(tmp_path, "config.json", "pytorch_model.bin", "b.safetensors", "a.safetensors")
    assert [file.name for file in checkpoint_files(tmp_path)] == [
        "config.json",
        "pytorch_model.bin",
    ]
    places = {"x": "b.safetensors", "y": "a.safetensors", "z": "b.safetensors"}
    index = write(tmp_path, "model.safetensors.index.json", {"weight_map": places})
    assert [file.name for file in checkpoint_files(tmp_path)[1:]] == [
        "a.safetensors",
        "b.safetensors",
    ]
    for part in ("c.safetensors", "../b.safetensors", "/etc/passwd"):
        index.write_text(json.dumps({"weight_map": {"x": part}}))
        with pytest.raises(CheckpointError, match="is missing"):
            checkpoint_files(tmp_path)
    index.write_text('{"weight_map": {}}')
    with pytest.raises(CheckpointError, match="no weight_map"):
        checkpoint_files(tmp_path)


def test_a_checkpoint_of_user_itr_is_none(tmp_path):
    assert not is_published(tmp_path)
    write(tmp_path, "config.json", {"format": "user-itr checkpoint"})
    assert not is_published(tmp_path)
    (tmp_path / "config.json").write_text("{")
    assert not is_published(tmp_path)
