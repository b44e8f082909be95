"""One ONNX file of a published model, run for one of its sides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from user_itr.errors import CheckpointError
from user_itr.runtime.pictures import finite

_TYPES = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}


class Network:
    """Gives unit vectors of one side.

    Args:
        file: of ONNX.
        session: of the file.
        outputs: names of the output that holds embeddings; the first that there is counts.
        dim: D, their width.

    Raises:
        CheckpointError: if the file has no such output.
    """

    def __init__(self, file: Path, session: Any, outputs: Sequence[str], dim: int) -> None:
        self.file, self.dim = file, dim
        self._session = session
        self.inputs = {entry.name: entry for entry in self._session.get_inputs()}
        there = [entry.name for entry in self._session.get_outputs()]
        found = [name for name in outputs if name in there]
        if not found:
            raise CheckpointError(
                f"{file}: has no output {' or '.join(outputs)} (but {', '.join(there)}); export it "
                "again with its projection."
            )
        self._output = found[0]

    @property
    def fixed_length(self) -> int | None:
        """Tokens of a text, where the file takes that number alone."""
        shape = self.inputs["input_ids"].shape if "input_ids" in self.inputs else []
        return shape[1] if len(shape) == 2 and isinstance(shape[1], int) else None

    def run(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Embeddings (N, D) float32, unit-norm.

        Args:
            inputs: arrays by name; those that the file does not take are left out.

        Raises:
            CheckpointError: if the file takes an input that is not given, or cannot be computed.
            FeatureError: if it gives NaN or infinity.
        """
        lacking = [name for name in self.inputs if name not in inputs]
        if lacking:
            raise CheckpointError(
                f"{self.file}: takes the input {lacking[0]}, which user-itr does not know."
            )
        taken = {
            name: np.ascontiguousarray(inputs[name], _TYPES.get(entry.type))
            for name, entry in self.inputs.items()
        }
        try:
            [made] = self._session.run([self._output], taken)
        except Exception as error:  # ONNX Runtime's classes have no common one
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{self.file}: cannot be computed ({reason}); are all files of the folder of the "
                "same model?"
            ) from error
        if made.ndim != 2 or made.shape[1] != self.dim:
            raise CheckpointError(
                f"{self.file}: gives embeddings {made.shape}, and config.json says a width of "
                f"{self.dim}; are all files of the folder of the same model?"
            )
        embeddings = finite(made.astype(np.float32))
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        return np.asarray(embeddings / np.maximum(lengths, np.finfo(np.float32).tiny))
