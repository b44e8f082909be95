"""ONNX Runtime, the one place where it is imported.

Since 1.32 it looks up a host and writes a device's id below the user's cache folder when it is
imported, unless a variable of the environment says otherwise before.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from user_itr.errors import CheckpointError

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

AS_WRITTEN = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
"""Weights are made float32 at each run: opens in a tenth of the time, with half the memory."""

PREPARED = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
"""Weights are made float32 once, and convolutions compute in blocks of channels."""


def threads() -> int:
    """How many a computation may take: the processors of this process, OMP_NUM_THREADS at most."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(count, int(asked)) if asked.isdecimal() and int(asked) else count


def open_session(
    model: Path | bytes,
    level: onnxruntime.GraphOptimizationLevel = PREPARED,
) -> Any:
    """An `onnxruntime.InferenceSession` on the CPU.

    Args:
        model: an ONNX file, or its contents.
        level: of the preparation of its graph.

    Raises:
        Exception: of ONNX Runtime's own classes, if it cannot take the model.
    """
    return _session(model, _options(level))


def rewrite(file: Path, out: Path) -> None:
    """Write an ONNX file again as it is, with its weights in a file beside it.

    Raises:
        Exception: of ONNX Runtime's own classes, if it cannot take the model or write the files.
    """
    options = _options(AS_WRITTEN)
    options.optimized_model_filepath = os.fspath(out)
    beside = "session.optimized_model_external_initializers"
    options.add_session_config_entry(f"{beside}_file_name", f"{out.name}_data")
    options.add_session_config_entry(f"{beside}_min_size_in_bytes", "1024")
    _session(file, options)


def _options(level: onnxruntime.GraphOptimizationLevel) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.inter_op_num_threads = 1
    options.graph_optimization_level = level
    options.log_severity_level = 3
    # threads that wait without sleeping take the processor from those that decode
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _session(model: Path | bytes, options: Any) -> Any:
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else os.fspath(model),
        options,
        providers=["CPUExecutionProvider"],
    )


def open_model(file: Path, level: onnxruntime.GraphOptimizationLevel = PREPARED) -> Any:
    """`open_session` of a file that a person gave.

    Raises:
        CheckpointError: if ONNX Runtime cannot take it.
    """
    try:
        return open_session(file, level)
    except Exception as error:  # ONNX Runtime's classes have no common one
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{file}: ONNX Runtime cannot take it ({reason}); copy it again."
        ) from error
