"""Training state on disk without pickle: tensors in one safetensors file, the rest in JSON."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from user_itr.errors import CheckpointError
from user_itr.files import parse_json
from user_itr.model.tensors import read_tensors

TENSORS_FILE = "training.safetensors"
VALUES_FILE = "training.json"
FORMAT_VERSION = 1


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Write a nested dict of tensors and JSON values into an existing folder."""
    tensors: dict[str, Tensor] = {}
    values = _split(state, tensors, "")
    save_file(tensors, folder / TENSORS_FILE)
    document = {"format_version": FORMAT_VERSION, "state": values}
    (folder / VALUES_FILE).write_text(json.dumps(document), "utf-8")
    shutil.copymode(folder / VALUES_FILE, folder / TENSORS_FILE)  # safetensors ignores the umask


def read_state(folder: Path) -> dict[str, Any]:
    """Read back what `write_state` wrote.

    Raises:
        CheckpointError: if a file is missing, damaged or of a newer format.
    """
    for name in (VALUES_FILE, TENSORS_FILE):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder / name}: is missing, so training cannot be resumed; copy the run whole."
            )
    try:
        document = parse_json((folder / VALUES_FILE).read_text("utf-8"))
        tensors = read_tensors(folder / TENSORS_FILE)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}: the training state is damaged ({error}).") from None
    if not isinstance(document, dict) or document.get("format_version") != FORMAT_VERSION:
        found = document.get("format_version") if isinstance(document, dict) else None
        raise CheckpointError(
            f"{folder / VALUES_FILE}: has format version {found}, this release reads "
            f"{FORMAT_VERSION}; resume with the release that wrote it."
        )
    try:
        state = _join(document["state"], tensors)
    except KeyError as error:
        raise CheckpointError(f"{folder}: the training state is damaged (no {error}).") from None
    except (RecursionError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder}: the training state is damaged ({error}).") from None
    if not isinstance(state, dict):
        raise CheckpointError(
            f"{folder}: the training state is damaged (it is {type(state).__name__})."
        )
    return state


def random_state() -> dict[str, Any]:
    """State of every generator that training draws from: Python, NumPy, torch and CUDA."""
    version, numbers, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    state: dict[str, Any] = {
        "python": [version, list(numbers), gauss],
        "numpy": [kind, np.asarray(keys).tolist(), int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Put every generator back to a state of `random_state`."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _split(value: Any, tensors: dict[str, Tensor], key: str) -> Any:
    if isinstance(value, Tensor):
        name = f"{len(tensors)}{key}"  # the number keeps a/b/c of a/b apart from that of a
        tensors[name] = value.detach().cpu().clone().contiguous()
        return {"$tensor": name}
    if isinstance(value, dict):
        return {"$dict": [[k, _split(v, tensors, f"{key}/{k}")] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return [_split(v, tensors, f"{key}/{i}") for i, v in enumerate(value)]
    return value


def _join(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if "$tensor" in value:
            return tensors[value["$tensor"]]
        return {k: _join(v, tensors) for k, v in value["$dict"]}
    if isinstance(value, list):
        return [_join(v, tensors) for v in value]
    return value
