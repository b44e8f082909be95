"""From a PyTorch module to an ONNX model in memory."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from user_itr.errors import MissingExtraError


def export_graph(
    module: nn.Module,
    inputs: dict[str, Tensor],
    dynamic: dict[str, dict[int, Any]],
    output: str = "embeddings",
) -> Any:
    """Write a module down as an ONNX model, weights inside.

    Args:
        module: in evaluation mode; it has one output.
        inputs: an example of each, by name and in order.
        dynamic: the `torch.export.Dim` of each dimension that varies.
        output: name of the output.

    Returns:
        `onnx.ModelProto`, without the notes on source files that the exporter adds.

    Raises:
        MissingExtraError: if the exporter's packages are not installed.
        Exception: of any kind, where PyTorch cannot export the module.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"exporting needs the package {error.name}; run `pip install 'user-itr[train]'`."
        ) from None
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=tuple(dynamic[name] for name in inputs),
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("PyTorch exported nothing")
    model = program.model_proto
    graph = model.graph
    parts = (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output)
    for part in parts:
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on packages that it does not need."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
