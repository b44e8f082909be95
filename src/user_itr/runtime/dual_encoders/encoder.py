"""A published dual encoder ready for use: `user_itr.load()` of a folder of CLIP or SigLIP."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from user_itr.data.pictures import caption_list
from user_itr.errors import CheckpointError
from user_itr.features.preprocessing import Preprocess
from user_itr.hub.cache import folder_title
from user_itr.model.tokenizer import CPU_TOKENS
from user_itr.model.vocabulary import content_words
from user_itr.runtime.dual_encoders.hashes import file_hash
from user_itr.runtime.dual_encoders.image_processor import read_processor
from user_itr.runtime.dual_encoders.layout import (
    Architecture,
    Graphs,
    find_graphs,
    model_folder,
    read_architecture,
)
from user_itr.runtime.dual_encoders.tokens import TextProcessor, read_text_processor
from user_itr.runtime.dual_encoders.unpacked import weights_beside
from user_itr.runtime.pictures import FEW, IMAGES, SENTENCES, PictureEncoder

if TYPE_CHECKING:
    from user_itr.runtime.dual_encoders.network import Network


@dataclass(frozen=True)
class TextSide:
    """A text encoder in place of a model's own.

    Args:
        folder: of its tokenizer.
        graph: its ONNX file, made of a checkpoint.
        architecture: of texts alone.
        weights: SHA-256 of the checkpoint.
    """

    folder: Path
    graph: Path
    architecture: Architecture
    weights: str


class PublishedEncoder(PictureEncoder):
    """A published dual encoder, computed by ONNX Runtime on the CPU.

    Its embeddings are those of transformers' `get_image_features` and `get_text_features`, made
    unit-norm. A search by words opens the text encoder alone, where it has a file of its own.

    Example:
        >>> from user_itr import load
        >>> model = load("clip-vit-base-patch32")                  # doctest: +SKIP
        >>> images = model.encode_images(["a.jpg", "b.jpg"])       # doctest: +SKIP
        >>> scores = model.encode_text(["a dog runs"]) @ images.T  # doctest: +SKIP

    Args:
        path: the model's folder, or one of its ONNX files, which chooses the precision.
        made: folder of ONNX files that were made of the model's checkpoint.
        weights: SHA-256 of that checkpoint, which stands for them in the fingerprint.
        text: what encodes texts, where that is another model.
        title: for people; the folder's name by default.

    Raises:
        CheckpointError: if a file is missing or damaged, asks for code to be run, or is of a family
            or kind that is not known.
    """

    draft = None
    """Photographs are decoded in full, as the processors of transformers see them."""

    def __init__(
        self,
        path: Path,
        made: Path | None = None,
        weights: str | None = None,
        text: TextSide | None = None,
        title: str | None = None,
    ) -> None:
        self.folder = model_folder(path)
        self._architecture = read_architecture(self.folder)
        self.dim = self._architecture.dim
        self.graphs = find_graphs(made or path)
        self._processor, self._normalization = read_processor(self.folder)
        _, _, suffix = self.graphs.text.stem.partition("model")
        name = f"{self._architecture.family.name} {title or folder_title(self.folder)}"
        identity: Any = weights or [file_hash(file) for file in self.graphs.files]
        self._text_architecture, words = self._architecture, self.folder
        if text is not None:
            self._take_texts_of(text)
            name += f" with texts by {folder_title(text.folder)}"
            identity = {"images": identity, "texts": text.weights}
            words = text.folder
        self._text_processor: TextProcessor = read_text_processor(words, self._text_architecture)
        self.fingerprint = self._fingerprint(identity)
        parts = [name, f"{self.dim} wide"]
        self.description = ", ".join([*parts, suffix.removeprefix("_")] if suffix else parts)
        self._sentences = 0

    def _take_texts_of(self, text: TextSide) -> None:
        if self.graphs.in_one_file:
            raise CheckpointError(
                f"{self.graphs.vision}: computes texts and images in one, and an image side needs "
                "a vision_model.onnx of its own; give a folder that has one, or a checkpoint."
            )
        if text.architecture.dim != self.dim:
            raise CheckpointError(
                f"{text.folder}: gives texts a width of {text.architecture.dim}, and {self.folder} "
                f"images one of {self.dim}; give the two models that were trained for each other."
            )
        self._text_architecture = text.architecture
        self.graphs = Graphs(text.graph, self.graphs.vision)

    def _fingerprint(self, weights: Any) -> str:
        text = self._text_processor
        words = [file_hash(file) for file in text.files]
        identity = {
            "weights": weights,
            "pixels": asdict(self._processor),
            "normalization": asdict(self._normalization),
            "tokenizer": words[0] if len(words) == 1 else words,
            "tokens": [
                text.tokenizer.max_tokens,
                text.pad_id,
                text.pad_left,
                text.length,
                text.masks,
                *([] if text.cleaning is None else [text.cleaning]),
            ],
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    @cached_property
    def _text_as_written(self) -> Network:
        from user_itr.runtime.sessions import AS_WRITTEN, open_model

        return self._network("text", open_model(weights_beside(self.graphs.text), AS_WRITTEN))

    @cached_property
    def _text(self) -> Network:
        from user_itr.runtime.sessions import open_model

        self.__dict__.pop("_text_as_written", None)
        whole = self.graphs.in_one_file
        return self._network("text", self._vision if whole else open_model(self.graphs.text))

    @cached_property
    def _image(self) -> Network:
        return self._network("image", self._vision)

    @cached_property
    def _vision(self) -> Any:
        from user_itr.runtime.sessions import open_model

        return open_model(self.graphs.vision)

    def _network(self, side: Literal["text", "image"], session: Any) -> Network:
        from user_itr.runtime.dual_encoders.network import Network

        file = self.graphs.text if side == "text" else self.graphs.vision
        architecture = self._text_architecture if side == "text" else self._architecture
        family = architecture.family
        outputs = family.outputs(side)
        if self.graphs.in_one_file:  # whose pooler_output is of either side
            outputs = outputs[:1]
        network = Network(file, session, outputs, self.dim)
        if side == "text" and family.needs_mask and "attention_mask" not in network.inputs:
            raise CheckpointError(
                f"{file}: takes no attention_mask, without which padding changes embeddings; "
                "export it again."
            )
        return network

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Scale and crop one RGB image: uint8 (height, width, 3)."""
        return self._processor(image)

    @property
    def worker_preprocess(self) -> Preprocess | None:
        """`preprocess` for worker processes: picklable."""
        return self._processor

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Embed stacked `preprocess` results: uint8 (N, H, W, 3) to (N, D) float32, unit-norm.

        Raises:
            CheckpointError: if the image encoder cannot be computed.
            FeatureError: if it gives NaN or infinity.
        """
        embeddings = np.empty((len(pixels), self.dim), dtype=np.float32)
        for start in range(0, len(pixels), IMAGES):
            block = pixels[start : start + IMAGES]
            inputs = {"pixel_values": self.normalized(block)}
            if self.graphs.in_one_file:
                inputs |= self._blank_text
            embeddings[start : start + len(block)] = self._image.run(inputs)
        return embeddings

    def normalized(self, pixels: np.ndarray) -> np.ndarray:
        """Stacked `preprocess` results as the image encoder takes them: float32 (N, 3, H, W)."""
        return self._normalization(pixels)

    def text_inputs(
        self, captions: Sequence[str], length: int | None = None
    ) -> dict[str, np.ndarray]:
        """Captions as the text encoder takes them: `TextProcessor.inputs` of one batch."""
        tokens = self._text_processor.tokens(captions)
        return self._text_processor.inputs(tokens, np.arange(len(tokens)), length)

    @cached_property
    def _blank_text(self) -> dict[str, np.ndarray]:
        """What a file that computes both sides for either takes beside images."""
        return self.text_inputs([""], self._image.fixed_length)

    @cached_property
    def _blank_image(self) -> dict[str, np.ndarray]:
        """The same beside texts."""
        processor = self._processor
        return {"pixel_values": np.zeros((1, 3, processor.height, processor.width), np.float32)}

    def unknown_words(self, text: str) -> list[str]:
        """Words of a text that the tokenizer can only spell, byte by byte or not at all."""
        return self._text_processor.unread(content_words(text))

    def encode_text(self, captions: str | Iterable[str], batch_size: int = 256) -> np.ndarray:
        """Embed captions: N texts, or one, to (N, D) float32, unit-norm.

        Each text is computed once, in batches of like length.

        Raises:
            CheckpointError: if the text encoder cannot be computed.
            DataError: if they are something else.
            FeatureError: if the text encoder gives NaN or infinity.
        """
        captions = caption_list(captions)
        embeddings: np.ndarray = np.empty((len(captions), self.dim), dtype=np.float32)
        if not captions:
            return embeddings
        tokens = self._text_processor.tokens(captions)
        texts, text_of_caption = tokens.distinct()
        self._sentences += len(texts)
        few = self._sentences <= FEW and not self.graphs.in_one_file
        network = self._text_as_written if few else self._text
        extra = self._blank_image if self.graphs.in_one_file else {}
        for rows in tokens.batches(texts, min(batch_size, SENTENCES), CPU_TOKENS):
            inputs = self._text_processor.inputs(tokens, rows, network.fixed_length)
            embeddings[rows] = network.run(inputs | extra)
        return np.asarray(embeddings[texts[text_of_caption]])
