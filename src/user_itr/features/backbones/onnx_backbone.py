"""A backbone computed by ONNX Runtime: float32 as before, and faster on a CPU.

ONNX Runtime keeps the activations of convolutions in blocks of channels, and applies padding and
activation while a block is in the processor's cache; PyTorch reads and writes the memory for each.
"""

from __future__ import annotations

import hashlib
import json
import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from user_itr.errors import FeatureError
from user_itr.features.backbones.base import Backbone
from user_itr.features.onnx_export import export_graph
from user_itr.features.preprocessing import Preprocess
from user_itr.features.regions import cache_folder
from user_itr.files import read_sealed, replace_sealed
from user_itr.runtime.sessions import open_session

FORMAT = 2
"""Of the files in the cache folder; a change of what is exported raises it."""

LEAST_COSINE = 0.999
"""A network that ONNX Runtime computes otherwise than this is not used."""


class OnnxBackbone(Backbone):
    """Another backbone, its `forward` computed by ONNX Runtime on the CPU.

    The network is exported once and kept in the cache folder, by its weights and the versions of
    the programs that export it. A file that is damaged, or cannot be written, is exported anew.

    Args:
        backbone: the network, on the CPU.

    Raises:
        FeatureError: if it cannot be exported or run, or gives other features then.
    """

    runtime = "onnxruntime"

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.name = backbone.name
        self.regions = backbone.regions
        self.width = backbone.width
        self.preprocessing = backbone.preprocessing
        self.weights_hash = backbone.weights_hash
        self.draft = backbone.draft
        try:
            self._session = self._open()
        except FeatureError:
            raise
        except Exception as error:  # the exporter's and the runtime's have no common class
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise FeatureError(
                f"backbone {self.name}: ONNX Runtime cannot take it ({reason}); use runtime torch."
            ) from error

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """See `Backbone.preprocess`."""
        return self.backbone.preprocess(image)

    @property
    def worker_preprocess(self) -> Preprocess | None:
        """See `Backbone.worker_preprocess`."""
        return self.backbone.worker_preprocess

    def forward(self, pixels: Tensor) -> Tensor:
        """See `Backbone.forward`."""
        return _run(self._session, pixels)

    def _open(self) -> Any:
        file = exported_file(self.backbone)
        known = read_sealed(file)
        if known is not None:
            return open_session(known)
        sample = np.random.default_rng(0).integers(0, 256, (3, 96, 128, 3), np.uint8)
        pixels = torch.from_numpy(
            np.stack([self.preprocess(Image.fromarray(image)) for image in sample])
        )
        exported = _export(self.backbone, pixels[:2])
        session = open_session(exported)
        # three images, not the two of the export: a network may hold its batch size as a constant
        with torch.inference_mode():
            expected = self.backbone(pixels).flatten(1)
        cosine = float(F.cosine_similarity(_run(session, pixels).flatten(1), expected).min())
        if not cosine >= LEAST_COSINE:
            raise FeatureError(
                f"backbone {self.name}: its features by ONNX Runtime have a cosine of "
                f"{cosine:.4f} to PyTorch's on this machine; use runtime torch."
            )
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            replace_sealed(file, exported)
        except OSError as error:
            logging.getLogger(__name__).info("%s: cannot be kept (%s)", file, error)
        return session


def exported_file(backbone: Backbone) -> Path:
    """Where the cache folder keeps the exported network of a backbone."""
    made_of = [FORMAT, backbone.identity()]
    made_of += [version(name) for name in ("user-itr", "torch", "onnx", "onnxscript")]
    key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:24]
    return cache_folder() / "onnx" / f"{key}.onnx"


def _export(backbone: Backbone, pixels: Tensor) -> bytes:
    """The network as an ONNX model of any batch size, weights included."""
    batch = torch.export.Dim("batch")
    model = export_graph(backbone, {"pixels": pixels}, {"pixels": {0: batch}})
    return bytes(model.SerializeToString())


def _run(session: Any, pixels: Tensor) -> Tensor:
    [regions] = session.run(None, {"pixels": pixels.numpy()})
    return torch.from_numpy(regions)
