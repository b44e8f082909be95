"""Whatever a file holds, it is arrays or one sentence; nothing in it is run."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from user_itr.errors import DataError
from user_itr.evaluation.inputs.arrays import SUFFIXES, open_array, read_arrays
from user_itr.evaluation.inputs.ids import ID_SUFFIXES, read_ids


def content(suffix: str) -> bytes:
    """A sound file of two arrays, or of one where a format has no names."""
    array = np.arange(12, dtype=np.float32).reshape(4, 3)
    stream = io.BytesIO()
    if suffix == ".npy":
        np.save(stream, array)
    elif suffix == ".npz":
        np.savez(stream, a=array, b=array[:1])
    elif suffix == ".safetensors":
        return save({"a": torch.from_numpy(array), "b": torch.from_numpy(array[:1]).bfloat16()})
    elif suffix in (".pt", ".pth"):
        torch.save({"a": torch.from_numpy(array), "b": torch.ones(1, 3).bfloat16()}, stream)
    else:
        column = pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), 3)
        pq.write_table(pa.table({"key": list("abcd"), "embedding": column}), stream)
    return stream.getvalue()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sound_files(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"x{suffix}"
    file.write_bytes(content(suffix))
    found = read_arrays(file)
    name = "" if suffix in (".npy", ".parquet") else "a"
    assert found[name].tolist() == np.arange(12).reshape(4, 3).tolist()
    if name:
        assert set(found) == {"a", "b"}
        assert found["b"].dtype == np.float32  # bfloat16 is wider here
        with pytest.raises(DataError, match="holds a, b; give a file with one array"):
            open_array(file)
    if suffix == ".parquet":
        assert found["ids"].tolist() == list("abcd")


def outcome(call: Callable[[], Any]) -> tuple[Any, str | None]:
    """What a call gives, or what it says."""
    try:
        return call(), None
    except DataError as error:
        return None, str(error)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_damaged_files_end_in_one_sentence(suffix: str, data: st.DataObject) -> None:
    whole = bytearray(content(suffix))
    kind = data.draw(st.sampled_from(["cut", "changed", "noise"]))
    if kind == "cut":
        whole = whole[: data.draw(st.integers(0, len(whole) - 1))]
    elif kind == "changed":
        for _ in range(data.draw(st.integers(1, 8))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    else:
        whole = bytearray(data.draw(st.binary(max_size=200)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"x{suffix}"
        file.write_bytes(whole)
        found, message = outcome(lambda: read_arrays(file))
        assert message is None or (message.startswith(str(file)) and "\n" not in message)
        assert message or all(isinstance(one, np.ndarray) for one in found.values())


@pytest.mark.parametrize("suffix", ID_SUFFIXES)
@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=60))
def test_files_of_ids_are_lists_or_one_sentence(suffix: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"ids{suffix}"
        file.write_bytes(data)
        found, message = outcome(lambda: read_ids(file))
        assert message is None or message.startswith(str(file))
        assert message or all(isinstance(one, str) for one in found)


def test_what_holds_no_tensor_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.pt"
    for held, says in (
        ([1, 2], "holds list"),
        ({"a": "text"}, "holds str of 'a'"),
        ({}, "no array"),
    ):
        torch.save(held, file)
        with pytest.raises(DataError, match=says):
            read_arrays(file)
    torch.save(torch.nn.Linear(2, 2), file)
    with pytest.raises(DataError, match=r"cannot be read as arrays of a \.pt file"):
        read_arrays(file)
    torch.save(torch.eye(3).to_sparse(), file)
    with pytest.raises(DataError, match="give a tensor"):
        read_arrays(file)
    with pytest.raises(DataError, match=r"is none of \.npy, \.npz"):
        read_arrays(tmp_path / "x.mat")
    empty = tmp_path / "folder"
    empty.mkdir()
    with pytest.raises(DataError, match=r"holds no \.parquet file"):
        read_arrays(empty)
    pq.write_table(pa.table({"a": [1.0]}), empty / "a.parquet")
    with pytest.raises(DataError, match="has the columns a; give embeddings in a column"):
        read_arrays(empty)
    ragged = pa.table({"embedding": [[1.0, 2.0, 3.0], [4.0]]})
    pq.write_table(ragged, empty / "a.parquet")
    with pytest.raises(DataError, match="rows are missing or of several widths"):
        read_arrays(empty)
