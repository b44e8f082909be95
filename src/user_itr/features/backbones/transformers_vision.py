"""Any transformers vision model as a backbone: `transformers:PATH_OR_NAME`.

ViT-like models give their last hidden tokens, convolutional ones their last feature map. Tokens
that stand for no patch (CLS, distillation, registers) are no regions and are dropped where the
count shows them: they come first, and are as many as the tokens outnumber the patches. Where the
count fits no patch grid (merged or overlapping patches) every token is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from user_itr.errors import DataError, FeatureError
from user_itr.features.backbones.base import Backbone, hash_files

WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors")
CONFIGS = ("config.json", "preprocessor_config.json", "processor_config.json", "model*.index.json")

MAX_PREFIX_TOKENS = 8
"""More tokens than this beyond the patch grid are taken for a grid of another kind."""

MAX_ASPECT = 100
"""Longer images would swell without bound where the short side is scaled to a fixed length."""


class TransformersVision(Backbone):
    """Tokens or grid features of a transformers vision model, or of the vision half of a CLIP.

    The model's own image processor scales, crops and normalises (its PIL form: torchvision is not
    needed); K and d are those of the model at that size. Weights are loaded as float32, from
    safetensors only; no code of a model repository is run.

    Args:
        source: a folder written by `save_pretrained`, or a model name on the Hugging Face hub,
            which is downloaded into the hub's cache where it is not there yet.

    Raises:
        FeatureError: if the model or its image processor cannot be loaded, weights are missing, or
            the processor gives images of different sizes.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        folder = _resolve(source)
        weights = [path for pattern in WEIGHTS for path in folder.glob(pattern)]
        if not weights:
            raise FeatureError(
                f"{source}: no {WEIGHTS[0]} in the model's folder; load the model with "
                "transformers and write it again with `save_pretrained`."
            )
        self.name = f"transformers:{source}"
        self.weights_hash = hash_files(weights)
        self.processor, self.model = _load(source, folder)
        self._freeze()

        wide, tall = (self.preprocess(Image.new("RGB", size)) for size in ((96, 64), (64, 96)))
        if wide.shape != tall.shape:
            raise FeatureError(
                f"{source}: its image processor scales by aspect ratio ({wide.shape} and "
                f"{tall.shape}), and a store needs one size; set `do_center_crop` or a height and "
                "a width in preprocessor_config.json."
            )
        self.prefix_tokens = 0
        with torch.inference_mode():
            hidden = self.forward(torch.from_numpy(wide[None]))
        self.prefix_tokens = _count_prefix_tokens(self.model.config, hidden.shape[1], wide.shape)
        self.regions = hidden.shape[1] - self.prefix_tokens
        self.width = hidden.shape[2]
        self.draft = 2 * max(wide.shape[1:])
        processor = json.loads(json.dumps(self.processor.to_dict()))
        self.preprocessing = {
            "processor": processor,
            "dropped_tokens": self.prefix_tokens,
            "draft": self.draft,
        }

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Run the model's image processor: float32 (3, H, W), normalised.

        Raises:
            DataError: if the image is more than `MAX_ASPECT` times as long as wide.
        """
        if max(image.size) > MAX_ASPECT * min(image.size):
            raise DataError(
                f"image of {image.width} x {image.height} pixels: more than {MAX_ASPECT} times as "
                "long as wide; crop it."
            )
        pixels = self.processor(images=image, return_tensors="np")["pixel_values"][0]
        return np.asarray(pixels, np.float32)

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 (B, 3, H, W) -> float32 (B, K, d), regions in row-major order."""
        hidden: Tensor = self.model(pixel_values=pixels).last_hidden_state
        if hidden.ndim == 4:  # (B, d, h, w) of a convolutional network
            hidden = hidden.flatten(2).transpose(1, 2)
        return hidden[:, self.prefix_tokens :].float()


def _resolve(source: str) -> Path:
    """The folder of a local model, or of a hub model's snapshot in the local cache."""
    folder = Path(source).expanduser()
    if source and folder.is_dir():
        return folder
    if not source or source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise FeatureError(
            f"{source!r}: no such folder; give a folder written by `save_pretrained` or a model's "
            "name on the Hugging Face hub."
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, allow_patterns=[*CONFIGS, *WEIGHTS]))
    except Exception as error:  # the hub client raises its own, httpx's and OSError's families
        raise FeatureError(
            f"{source}: neither a folder nor to be had from the Hugging Face hub "
            f"({_first_line(error)}); check the name, or download the model and give its folder."
        ) from error


def _load(source: str, folder: Path) -> tuple[Any, Any]:
    import transformers

    library: Any = transformers
    try:
        with _quiet():
            processor = library.AutoImageProcessor.from_pretrained(
                folder, backend="pil", local_files_only=True
            )
            model, report = library.AutoModel.from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
    except Exception as error:  # a damaged folder can fail in any of transformers' parsers
        raise FeatureError(
            f"{source}: cannot be loaded as a transformers vision model ({_first_line(error)}); "
            "the folder needs config.json, preprocessor_config.json and model.safetensors."
        ) from error
    vision = getattr(model, "vision_model", None)
    part = "" if vision is None else "vision_model."
    # a pooler is not in every checkpoint and has no part in the regions
    missing = sorted(
        key for key in report["missing_keys"] if key.startswith(part) and "pooler" not in key
    )
    if missing:
        raise FeatureError(
            f"{source}: the checkpoint lacks {len(missing)} weights of its model, first "
            f"{missing[0]}; save it again with `save_pretrained`."
        )
    return processor, model if vision is None else vision


def _count_prefix_tokens(config: Any, tokens: int, shape: tuple[int, ...]) -> int:
    patch = getattr(config, "patch_size", None)
    if not patch:
        return 0
    high, wide = (patch, patch) if isinstance(patch, int) else tuple(patch)[-2:]
    extra = tokens - (shape[1] // high) * (shape[2] // wide)
    return extra if 0 < extra <= MAX_PREFIX_TOKENS else 0


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
