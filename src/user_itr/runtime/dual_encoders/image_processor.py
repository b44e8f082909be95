"""What a published image encoder sees of an image, exactly as transformers' processors make it.

The pixels stay uint8 until a batch is encoded, so that worker processes send a quarter of the
bytes; the crop, which lies between scaling and rescaling, does not mind.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from user_itr.errors import CheckpointError
from user_itr.runtime.dual_encoders.json_files import read_object, validated

PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")

_CLIP: dict[str, Any] = {
    "resample": 3,
    "size": {"shortest_edge": 224},
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}
_HALVES: dict[str, Any] = {"image_mean": (0.5,) * 3, "image_std": (0.5,) * 3}
_WHOLE: dict[str, Any] = {"size": {"height": 224, "width": 224}, **_HALVES}

DEFAULTS = {
    "CLIP": _CLIP,
    "ChineseCLIP": _CLIP,
    "Siglip": {"resample": 3, **_WHOLE},
    "ViT": {"resample": 2, **_WHOLE},
    "OpenCLIP": _CLIP,
}
"""Of transformers' classes NAMEImageProcessor, where the file leaves a field out; and of open_clip,
as we write it down."""

MOST_PIXELS = 2**24
"""Of an image scaled whole: 224 pixels on the shorter side, and 334 times that on the longer."""

Channels = tuple[float, float, float]


class Size(BaseModel):
    """`size` or `crop_size`, in pixels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    height: int | None = Field(default=None, gt=0, le=4096)
    width: int | None = Field(default=None, gt=0, le=4096)
    shortest_edge: int | None = Field(default=None, gt=0, le=4096)


class ProcessorConfig(BaseModel):
    """What is needed of `preprocessor_config.json`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    do_resize: bool = True
    size: Size
    resample: Literal[0, 1, 2, 3, 4, 5]
    do_center_crop: bool = False
    crop_size: Size = Size()
    do_rescale: bool = True
    rescale_factor: float = Field(default=1 / 255, gt=0)
    do_normalize: bool = True
    image_mean: Channels
    image_std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    do_pad: Literal[False] | None = None


@dataclass(frozen=True)
class ImageProcessor:
    """Scale an image, and cut out its centre: uint8 (height, width, 3). Picklable.

    Args:
        height: of the result in pixels.
        width: of the result in pixels.
        scaled: (height, width) to scale to, the shorter side's length to keep the shape, or None
            to leave the size as it is.
        resample: Pillow's filter.
    """

    height: int
    width: int
    scaled: tuple[int, int] | int | None
    resample: Image.Resampling

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Process one RGB image.

        A strip is not scaled whole, but only where the crop lies, which is the same up to rounding.
        """
        height, width = self._scaled(image)
        top, kept_height = self._kept(height, self.height)
        left, kept_width = self._kept(width, self.width)
        if height * width <= MOST_PIXELS:
            whole = np.asarray(image.resize((width, height), self.resample))
            pixels = whole[top : top + kept_height, left : left + kept_width]
        else:
            across, down = image.width / width, image.height / height
            box = (
                left * across,
                top * down,
                min((left + kept_width) * across, image.width),
                min((top + kept_height) * down, image.height),
            )
            pixels = np.asarray(image.resize((kept_width, kept_height), self.resample, box=box))
        if pixels.shape[:2] == (self.height, self.width):
            return np.ascontiguousarray(pixels)
        padded = np.zeros((self.height, self.width, 3), np.uint8)
        top, left = -((kept_height - self.height) // 2), -((kept_width - self.width) // 2)
        padded[top : top + kept_height, left : left + kept_width] = pixels
        return padded

    def _scaled(self, image: Image.Image) -> tuple[int, int]:
        """The size in pixels before the crop."""
        if self.scaled is None:
            return image.height, image.width
        if isinstance(self.scaled, tuple):
            return self.scaled
        short, long = sorted(image.size)
        longer = int(self.scaled * long / short)
        if image.width <= image.height:
            return longer, self.scaled
        return self.scaled, longer

    def _kept(self, length: int, crop: int) -> tuple[int, int]:
        """Start and length of what a central crop keeps."""
        return (0, length) if length <= crop else (self._half(length - crop), crop)

    def _half(self, spare: int) -> int:
        """Pixels before the crop, of those that it leaves out."""
        return spare // 2


@dataclass(frozen=True)
class OpenClipProcessor(ImageProcessor):
    """The same as open_clip has it: half a pixel goes to the even neighbour, as in torchvision."""

    def _half(self, spare: int) -> int:
        return round(spare / 2)


@dataclass(frozen=True)
class Normalization:
    """uint8 pixels to the image encoder's input: (pixels * scale - mean) / std.

    Args:
        scale: of the grey levels.
        mean: of each channel.
        std: of each channel.
    """

    scale: float
    mean: Channels
    std: Channels

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (B, H, W, 3) to float32 (B, 3, H, W)."""
        values: np.ndarray = pixels.transpose(0, 3, 1, 2).astype(np.float32)
        values *= np.float32(self.scale)
        values -= np.array(self.mean, np.float32)[:, None, None]
        values /= np.array(self.std, np.float32)[:, None, None]
        return values


def read_processor(folder: Path) -> tuple[ImageProcessor, Normalization]:
    """What a model's folder says of its images.

    Raises:
        CheckpointError: if the file is missing or damaged, is of a kind that is not known, or gives
            images of different sizes.
    """
    file, values = _read(folder)
    kind = str(values.get("image_processor_type") or values.get("feature_extractor_type") or "")
    name = kind.removesuffix("Fast").removesuffix("Pil")
    name = name.removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
    defaults = DEFAULTS.get(name)
    if defaults is None:
        raise CheckpointError(
            f"{file}: image_processor_type is {kind!r}; user-itr has those of "
            f"{', '.join(DEFAULTS)}."
        )
    given = {key: value for key, value in values.items() if value is not None}
    for key in ("size", "crop_size"):
        if isinstance(given.get(key), int):  # as older releases wrote it
            edge = given[key]
            square = key == "crop_size" or name == "ViT"
            given[key] = {"height": edge, "width": edge} if square else {"shortest_edge": edge}
    config: ProcessorConfig = validated(ProcessorConfig, {**defaults, **given}, file)
    scale = config.rescale_factor if config.do_rescale else 1.0
    normalization = Normalization(scale, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    if config.do_normalize:
        normalization = Normalization(scale, config.image_mean, config.image_std)
    kind_of_crop = OpenClipProcessor if name == "OpenCLIP" else ImageProcessor
    return _processor(config, file, kind_of_crop), normalization


def _read(folder: Path) -> tuple[Path, dict[str, Any]]:
    first, second = (folder / name for name in PROCESSOR_FILES)
    if first.is_file() or not second.is_file():
        return first, read_object(first)
    values = read_object(second).get("image_processor")
    if not isinstance(values, dict):
        raise CheckpointError(f"{first}: is missing; copy the model's folder whole.")
    return second, values


def _processor(config: ProcessorConfig, file: Path, kind: type[ImageProcessor]) -> ImageProcessor:
    size, crop = config.size, config.crop_size
    scaled: tuple[int, int] | int | None = None
    if config.do_resize:
        exact = None if size.height is None or size.width is None else (size.height, size.width)
        scaled = size.shortest_edge or exact
        if scaled is None:
            raise CheckpointError(f"{file}: size has neither height and width nor shortest_edge.")
    resample = Image.Resampling(config.resample)
    if config.do_center_crop:
        if crop.height is None or crop.width is None:
            raise CheckpointError(f"{file}: crop_size lacks height and width.")
        return kind(crop.height, crop.width, scaled, resample)
    if not isinstance(scaled, tuple):
        raise CheckpointError(
            f"{file}: gives images of different sizes; set do_center_crop, or a height and a width."
        )
    return kind(*scaled, scaled, resample)
