"""What every transformers vision model here needs: its folder, its weights, its image processor.

Weights are loaded as float32, from safetensors only; no code of a model repository is run.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image

from user_itr.errors import CheckpointError, FeatureError
from user_itr.features.backbones.base import Backbone, hash_files, refuse_extreme_aspect
from user_itr.hub.names import announced_model, known_name
from user_itr.runtime.dual_encoders.layout import model_folder

WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors")
CONFIGS = ("config.json", "preprocessor_config.json", "processor_config.json", "model*.index.json")

T = TypeVar("T")


class TransformersBackbone(Backbone):
    """A transformers vision model behind its own image processor.

    The processor scales, crops and normalises (its PIL form: torchvision is not needed), so that
    `forward` takes float32 (B, 3, H, W).

    Args:
        source: a folder written by `save_pretrained`, or the name of a model that was fetched from
            the Hugging Face hub before; see `user_itr.hub.names.resolve_model`.

    Raises:
        FeatureError: if the model or its image processor cannot be loaded, weights are missing, or
            the processor gives images of different sizes.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        import transformers

        library: Any = transformers
        folder = _resolve(source)
        weights = [path for pattern in WEIGHTS for path in folder.glob(pattern)]
        if not weights:
            remote = known_name(source)
            remedy = "load the model with transformers and write it again with `save_pretrained`"
            if remote is not None:
                remedy = f"run `user-itr models get {remote.repository}/{WEIGHTS[0]}`"
            raise FeatureError(f"{source}: no {WEIGHTS[0]} in the model's folder; {remedy}.")
        self.source = source
        self.name = f"transformers:{source}"
        self.weights_hash = hash_files(weights)
        self.processor: Any = self._pretrained(
            lambda: library.AutoImageProcessor.from_pretrained(
                folder, backend="pil", local_files_only=True
            )
        )
        self.model: Any = self._load_model(folder)
        self._freeze()

        wide, tall = (self.preprocess(Image.new("RGB", size)) for size in ((96, 64), (64, 96)))
        if wide.shape != tall.shape:
            raise FeatureError(
                f"{source}: its image processor scales by aspect ratio ({wide.shape} and "
                f"{tall.shape}), and a store needs one size; set `do_center_crop` or a height and "
                "a width in preprocessor_config.json."
            )
        if wide.ndim != 3:
            raise FeatureError(
                f"{source}: its image processor gives patches of shape {wide.shape} instead of an "
                "image; choose a model of a fixed image size."
            )
        self.input_shape = wide.shape
        self.draft = 2 * max(wide.shape[1:])
        self.preprocessing = {
            "processor": json.loads(json.dumps(self.processor.to_dict())),
            "draft": self.draft,
        }

    @abstractmethod
    def _load_model(self, folder: Path) -> Any:
        """The network in `folder`, complete."""

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Run the model's image processor: float32 (3, H, W), normalised.

        Raises:
            DataError: if the image is far too long for its width.
        """
        refuse_extreme_aspect(image)
        pixels = self.processor(images=image, return_tensors="np")["pixel_values"][0]
        return np.asarray(pixels, np.float32)

    def _load_config(self, folder: Path) -> Any:
        import transformers

        library: Any = transformers
        return self._pretrained(
            lambda: library.AutoConfig.from_pretrained(folder, local_files_only=True)
        )

    def _load_weights(self, kind: str, folder: Path, **options: Any) -> tuple[Any, list[str]]:
        """Build transformers' class `kind` from a folder; also the names of absent weights."""
        import transformers

        library: Any = getattr(transformers, kind)
        model, report = self._pretrained(
            lambda: library.from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **options,
            )
        )
        return model, sorted(report["missing_keys"])

    def _require_complete(self, missing: list[str]) -> None:
        if missing:
            raise FeatureError(
                f"{self.source}: the checkpoint lacks {len(missing)} weights of its model, first "
                f"{missing[0]}; save it again with `save_pretrained`."
            )

    def _pretrained(self, load: Callable[[], T]) -> T:
        try:
            with _quiet():
                return load()
        except Exception as error:  # a damaged folder can fail in any of transformers' parsers
            raise FeatureError(
                f"{self.source}: cannot be loaded as a transformers vision model "
                f"({_first_line(error)}); the folder needs config.json, preprocessor_config.json "
                "and model.safetensors."
            ) from error


def _resolve(source: str) -> Path:
    """The folder of a local model, or of one that was fetched from the hub; nothing is fetched."""
    try:
        named = announced_model(Path(source).expanduser() if source.startswith("~") else source)
    except CheckpointError as error:
        if known_name(source) is not None:
            raise FeatureError(str(error)) from None
        raise FeatureError(
            f"{source!r}: no such folder; give a folder written by `save_pretrained` or a model's "
            "name on the Hugging Face hub."
        ) from None
    return model_folder(named.path)


@contextmanager
def _quiet() -> Iterator[None]:
    """No load report and progress bar of transformers: what matters of them is checked here."""
    import transformers

    logging: Any = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__
