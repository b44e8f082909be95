"""ONNX graphs on disk: small files, their weights beside them in float16, float32 or int8.

Weights that the checkpoint's file holds already are not written twice: the graph refers to them.
The rest, mostly frozen networks, goes to one file of raw numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np

Precision = Literal["float16", "float32", "int8"]

SMALL = 1024
"""Smaller tensors stay in the graph, in float32."""

_ALIGNED = 64


class Place(NamedTuple):
    """The place of a tensor in a file."""

    file: str
    offset: int
    length: int
    transposed: bool


class WeightsFile:
    """The raw numbers of several graphs, each kept once.

    Args:
        path: to write; closed by `close`.
        precision: of the numbers.
        checkpoint: a safetensors file in the same folder that holds some of them already.
    """

    def __init__(self, path: Path, precision: Precision, checkpoint: Path | None = None) -> None:
        self.path = path
        self.precision = precision
        self._file: BinaryIO = path.open("wb")
        self._places: dict[str, Place] = {} if checkpoint is None else _places(checkpoint)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def place(self, array: np.ndarray, transposable: bool) -> Place:
        """The place of these numbers; they are written now if no file holds them.

        Args:
            array: as it is to be stored.
            transposable: whether the transposed matrix may be used instead.
        """
        key = _key(array)
        known = self._places.get(key)
        if known is not None and (transposable or not known.transposed):
            return known
        self._file.write(b"\0" * (-self._file.tell() % _ALIGNED))
        found = Place(self.path.name, self._file.tell(), array.nbytes, False)
        self._file.write(array.tobytes())
        self._places[key] = found
        return found

    def take_weights(self, model: Any) -> None:
        """Move the large tensors of an `onnx.ModelProto` out of it, in place."""
        from onnx import helper, numpy_helper

        graph = model.graph
        users: dict[str, list[tuple[Any, int]]] = {}
        for node in graph.node:
            for position, name in enumerate(node.input):
                users.setdefault(name, []).append((node, position))
        kept, before, after = [], [], {}
        for tensor in graph.initializer:
            array = numpy_helper.to_array(tensor)
            uses = users.get(tensor.name, [])
            if array.dtype != np.float32 or array.size < SMALL:
                kept.append(tensor)
                continue
            matrix = all(node.op_type == "MatMul" and at == 1 for node, at in uses)
            rows = all(node.op_type == "Gather" and at == 0 for node, at in uses)
            parts = self._stored(tensor.name, array, matrix, rows)
            kept += [part for part, _ in parts]
            if rows:
                for node, _ in uses:
                    after[node.output[0]] = _gathered(node, [part.name for part, _ in parts])
            else:
                before += _widened(tensor.name, [part.name for part, _ in parts])
            if any(place.transposed for _, place in parts):
                for node, _ in uses:
                    node.op_type, node.domain = "FusedMatMul", "com.microsoft"
                    node.attribute.append(helper.make_attribute("transB", 1))
        nodes = []
        for node in graph.node:
            nodes += after.get(node.output[0], [node])
        nodes = [*before, *nodes]
        del graph.node[:], graph.initializer[:]
        graph.node.extend(nodes)
        graph.initializer.extend(kept)
        if not any(opset.domain == "com.microsoft" for opset in model.opset_import):
            model.opset_import.append(helper.make_opsetid("com.microsoft", 1))

    def _stored(
        self, name: str, array: np.ndarray, matrix: bool, rows: bool
    ) -> list[tuple[Any, Place]]:
        """The stored tensors that make one up: itself, and for int8 its scales."""
        if self.precision != "int8" or array.ndim < 2:
            kind = np.float32 if self.precision == "float32" else np.float16
            return [self._external(name, array.astype(kind), matrix)]
        # one scale per output: a matrix's columns, otherwise the first dimension
        axes = (0,) if matrix and not rows else tuple(range(1, array.ndim))
        scales = np.abs(array).max(axis=axes, keepdims=True) / 127
        scales[scales == 0] = 1
        levels = np.rint(array / scales).astype(np.int8)
        return [
            self._external(name, levels, False),
            self._external(f"{name}.scales", scales.astype(np.float32), False),
        ]

    def _external(self, name: str, array: np.ndarray, transposable: bool) -> tuple[Any, Place]:
        from onnx import TensorProto, helper

        place = self.place(np.ascontiguousarray(array), transposable)
        shape = array.shape[::-1] if place.transposed else array.shape
        tensor = TensorProto(
            name=f"{name}.stored",
            data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
            dims=shape,
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in zip(("location", "offset", "length"), place[:3], strict=True):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)
        return tensor, place


def _widened(name: str, stored: Sequence[str]) -> list[Any]:
    """Nodes that convert stored numbers to float32; ONNX Runtime runs them once, at the start."""
    from onnx import TensorProto, helper

    if len(stored) == 1:
        return [helper.make_node("Cast", [stored[0]], [name], to=TensorProto.FLOAT)]
    return [
        helper.make_node("Cast", [stored[0]], [f"{name}.levels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}.levels", stored[1]], [name]),
    ]


def _gathered(node: Any, stored: Sequence[str]) -> list[Any]:
    """Nodes that pick rows of a table, then convert them; the table stays on disk."""
    from onnx import helper

    output, index = node.output[0], node.input[1]
    picked = [f"{output}.{position}" for position in range(len(stored))]
    return [
        *(
            helper.make_node("Gather", [table, index], [rows], axis=0)
            for table, rows in zip(stored, picked, strict=True)
        ),
        *_widened(output, picked),
    ]


def _places(checkpoint: Path) -> dict[str, Place]:
    """The tensors of a safetensors file, each matrix transposed too, by their contents."""
    content = checkpoint.read_bytes()
    header_length = int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8 : 8 + header_length])
    kinds = {"F16": np.float16, "F32": np.float32}
    found: dict[str, Place] = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] not in kinds:
            continue
        start, end = (8 + header_length + offset for offset in entry["data_offsets"])
        array = np.frombuffer(content[start:end], kinds[entry["dtype"]]).reshape(entry["shape"])
        if array.ndim == 2:
            turned = Place(checkpoint.name, start, end - start, True)
            found.setdefault(_key(np.ascontiguousarray(array.T)), turned)
        found[_key(array)] = Place(checkpoint.name, start, end - start, False)
    return found


def _key(array: np.ndarray) -> str:
    about = f"{array.dtype} {array.shape} ".encode()
    return hashlib.sha256(about + array.tobytes()).hexdigest()
