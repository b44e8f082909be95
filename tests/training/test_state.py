from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from user_itr.errors import CheckpointError
from user_itr.training.state import (
    TENSORS_FILE,
    VALUES_FILE,
    random_state,
    read_state,
    set_random_state,
    write_state,
)


def test_tensors_and_values_come_back_as_they_were(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    state = {
        "tensors": {
            "float32": torch.tensor([0.1, -0.0, torch.inf, torch.finfo().tiny]),
            "bfloat16": torch.randn(3).bfloat16(),
            "int64": torch.tensor(2**62 + 1),
            "bool": torch.tensor([True, False]),
            "empty": torch.empty(0, 4),
            "view": shared[2:4],
            "the same memory": shared,
            "transposed": torch.arange(6).reshape(2, 3).t(),
        },
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}, 1: {}}, "groups": [{"lr": 0.1}]},
        "values": [1, 2.5, 1e-300, 0.1 + 0.2, "text", None, True, [], {}],
        "a/b": {"c": torch.ones(1)},
        "a": {"b/c": torch.zeros(1)},
    }
    write_state(tmp_path, state)
    back = read_state(tmp_path)
    for name, tensor in state["tensors"].items():
        assert back["tensors"][name].dtype == tensor.dtype
        assert torch.equal(back["tensors"][name], tensor), name
    assert back["values"] == state["values"]
    assert back["optimizer"]["state"][0]["step"] == 3
    assert list(back["optimizer"]["state"]) == [0, 1]
    assert back["optimizer"]["groups"] == [{"lr": 0.1}]
    assert back["a/b"]["c"] == 1
    assert back["a"]["b/c"] == 0


def test_generators_go_on_where_they_were(tmp_path: Path) -> None:
    def draw() -> list[float]:
        return [random.random(), np.random.rand(), random.gauss(0, 1), torch.rand(()).item()]  # noqa: NPY002

    random.gauss(0, 1)  # leaves a second value for the next call
    np.random.randn()  # noqa: NPY002
    write_state(tmp_path, random_state())
    wanted = draw()
    draw()
    set_random_state(read_state(tmp_path))
    assert draw() == wanted


def test_missing_damaged_and_newer_states(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"training\.json: is missing, so training cannot"):
        read_state(tmp_path)
    write_state(tmp_path, {"a": torch.ones(1000)})
    values, tensors = tmp_path / VALUES_FILE, tmp_path / TENSORS_FILE
    document, data = json.loads(values.read_text()), tensors.read_bytes()
    tensors.write_bytes(data[:-10])
    with pytest.raises(CheckpointError, match="is damaged"):
        read_state(tmp_path)
    tensors.unlink()
    with pytest.raises(CheckpointError, match=r"training\.safetensors: is missing"):
        read_state(tmp_path)
    tensors.write_bytes(data)
    for content in (
        "{",
        "[]",
        json.dumps({**document, "format_version": 2}),
        '{"format_version": 1}',
    ):
        values.write_text(content)
        with pytest.raises(CheckpointError, match=str(tmp_path)):
            read_state(tmp_path)
    write_state(tmp_path, {"b": torch.ones(2)})
    values.write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match="damaged"):
        read_state(tmp_path)


def test_all_files_have_the_modes_that_the_umask_asks_for(tmp_path: Path) -> None:
    write_state(tmp_path, {"a": torch.zeros(2), "b": 1})
    modes = {file.stat().st_mode for file in tmp_path.iterdir()}
    (tmp_path / "plain").touch()
    assert modes == {(tmp_path / "plain").stat().st_mode}
