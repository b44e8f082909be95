"""An exported model ready for use: `user_itr.load()`, without PyTorch."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from user_itr.data.pictures import caption_list
from user_itr.errors import CheckpointError
from user_itr.features.preprocessing import Preprocess, RegionsAndGuide, Squash
from user_itr.features.views import named_views, preprocess_views
from user_itr.model.tokenizer import CPU_TOKENS, CaptionTokenizer
from user_itr.model.vocabulary import Vocabulary
from user_itr.runtime.exported import (
    IMAGE_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
    Pixels,
    read_exported,
)
from user_itr.runtime.pictures import FEW, IMAGES, SENTENCES, PictureEncoder, finite


class OnnxEncoder(PictureEncoder):
    """A trained model, computed by ONNX Runtime on the CPU in float32.

    A search by words opens the text network alone; the image networks are opened when an image is
    first encoded.

    Example:
        >>> from user_itr import load
        >>> model = load()                                         # doctest: +SKIP
        >>> images = model.encode_images(["a.jpg", "b.jpg"])       # doctest: +SKIP
        >>> scores = model.encode_text(["a dog runs"]) @ images.T  # doctest: +SKIP

    Args:
        folder: what `user-itr export` wrote.

    Raises:
        CheckpointError: if it is damaged, or of a newer format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        exported = read_exported(folder)
        self.dim = exported.dim
        self.fingerprint = exported.fingerprint
        self.description = exported.description
        self.draft = exported.draft
        self._max_tokens = exported.max_tokens
        self._sentences = 0
        regions = preprocess_views(_squash(exported.regions), named_views(exported.views))
        self._preprocess: Preprocess = (
            regions if exported.guide is None else RegionsAndGuide(regions, _squash(exported.guide))
        )

    @cached_property
    def tokenizer(self) -> CaptionTokenizer:
        """Sentences to token ids.

        Raises:
            CheckpointError: if its file is damaged.
        """
        file = self.folder / TOKENIZER_FILE
        try:
            return CaptionTokenizer.from_json(file.read_text("utf-8"), self._max_tokens)
        except Exception as error:  # the tokenizers package raises plain Exception
            raise CheckpointError(f"{file}: is no tokenizer ({error}); copy it again.") from error

    @cached_property
    def _vocabulary(self) -> Vocabulary | None:
        return Vocabulary.read(self.folder)

    def unknown_words(self, text: str) -> list[str]:
        """Words of a text that the captions of the training hardly or never had, in lower case.

        None where the model was exported without its vocabulary.

        Raises:
            CheckpointError: if the file cannot be read.
        """
        return [] if self._vocabulary is None else self._vocabulary.unknown(text)

    @cached_property
    def _text_as_written(self) -> Any:
        from user_itr.runtime.sessions import AS_WRITTEN

        return self._open(TEXT_FILE, AS_WRITTEN)

    @cached_property
    def _text(self) -> Any:
        from user_itr.runtime.sessions import PREPARED

        self.__dict__.pop("_text_as_written", None)
        return self._open(TEXT_FILE, PREPARED)

    @cached_property
    def _image(self) -> Any:
        from user_itr.runtime.sessions import PREPARED

        return self._open(IMAGE_FILE, PREPARED)

    def _open(self, name: str, level: Any) -> Any:
        from user_itr.runtime.sessions import open_model

        return open_model(self.folder / name, level)

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Scale one RGB image to the networks' input.

        Returns:
            uint8 (height, width, 3), of V views (V, height, width, 3); with a guide that is another
            network, an array without dimensions whose fields "regions" and "guide" hold the pixels
            of each.
        """
        return self._preprocess(image)

    @property
    def worker_preprocess(self) -> Preprocess | None:
        """`preprocess` for worker processes: picklable."""
        return self._preprocess

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Embed one batch of stacked `preprocess` results: (N, ...) to (N, D) float32.

        Raises:
            FeatureError: if the networks give NaN or infinity.
        """
        fields = ("regions",) if pixels.dtype.names is None else pixels.dtype.names
        embeddings = np.empty((len(pixels), self.dim), dtype=np.float32)
        for start in range(0, len(pixels), IMAGES):
            block = pixels[start : start + IMAGES]
            inputs = {
                name: np.ascontiguousarray(block if block.dtype.names is None else block[name])
                for name in fields
            }
            [embeddings[start : start + len(block)]] = self._image.run(None, inputs)
        return finite(embeddings)

    def encode_text(self, captions: str | Iterable[str], batch_size: int = 256) -> np.ndarray:
        """Embed captions: N texts, or one, to (N, D) float32, unit-norm.

        Each text is computed once, in batches of like length.

        Raises:
            DataError: if they are something else.
            FeatureError: if the network gives NaN or infinity.
        """
        captions = caption_list(captions)
        embeddings = np.empty((len(captions), self.dim), dtype=np.float32)
        if not captions:
            return embeddings
        tokens = self.tokenizer(captions)
        texts, text_of_caption = tokens.distinct()
        self._sentences += len(texts)
        session = self._text_as_written if self._sentences <= FEW else self._text
        for rows in tokens.batches(texts, min(batch_size, SENTENCES), CPU_TOKENS):
            positions, mask = tokens.positions(rows)
            inputs = {
                "ids": np.where(mask, tokens.ids[positions], 0),
                "lengths": tokens.lengths[rows],
            }
            [embeddings[rows]] = session.run(None, inputs)
        return finite(embeddings[texts[text_of_caption]])


def _squash(pixels: Pixels) -> Squash:
    return Squash(pixels.width, pixels.height, Image.Resampling(pixels.resample))
