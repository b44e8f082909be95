"""A model as a module of sentence-transformers; see `UserItrModule`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from user_itr.errors import MissingExtraError
from user_itr.pretrained import DEFAULT
from user_itr.runtime.loading import load

try:
    from sentence_transformers.sentence_transformer.modules import InputModule
except ImportError:
    raise MissingExtraError(
        "the module needs sentence-transformers 6 or later; run "
        "`pip install 'sentence-transformers>=6'`."
    ) from None


class UserItrModule(InputModule):
    """Encodes sentences and images, mixed as they come: `SentenceTransformer(modules=[...])`.

    Args:
        model: a checkpoint, as `user_itr.load` takes it; a saved pipeline names it.
    """

    config_keys = ["model"]  # noqa: RUF012 - as the library has it
    save_in_root = False

    def __init__(self, model: str = DEFAULT) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = str(model)
        self._embedder = load(model)

    @property
    def modalities(self) -> list[Any]:
        """Sentences and images."""
        return ["text", "image"]

    def get_embedding_dimension(self) -> int:
        """Width of the joint space."""
        return self._embedder.dim

    def preprocess(
        self, inputs: Sequence[Any], prompt: str | None = None, **_: Any
    ) -> dict[str, Any]:
        """Put a prompt before the sentences; images are PIL images."""
        return {
            "inputs": [f"{prompt or ''}{one}" if isinstance(one, str) else one for one in inputs]
        }

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Add "sentence_embedding": (N, D) float32, unit-norm."""
        inputs = features["inputs"]
        found = np.empty((len(inputs), self._embedder.dim), dtype=np.float32)
        images = [row for row, one in enumerate(inputs) if isinstance(one, Image.Image)]
        texts = [row for row, one in enumerate(inputs) if not isinstance(one, Image.Image)]
        if images:
            found[images] = self._embedder.encode_images([inputs[row] for row in images])
        if texts:
            found[texts] = self._embedder.encode_text([inputs[row] for row in texts])
        return {**features, "sentence_embedding": torch.from_numpy(found)}

    def save(self, output_path: str, *args: Any, **options: Any) -> None:
        """Write the name of the checkpoint; its weights stay where they are."""
        Path(output_path).mkdir(parents=True, exist_ok=True)
        self.save_config(output_path)
