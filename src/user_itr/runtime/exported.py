"""The folder of an exported model, and the file in it that says what the others are.

exported.json     this description
text.onnx         token ids to unit vectors
image.onnx        pixels to unit vectors
frozen.bin        weights of both
tokenizer.json    sentences to token ids
vocabulary.txt    the words of its training captions (`model.vocabulary`), where they were at hand
config.json, model.safetensors    the checkpoint (not of int8): PyTorch's way into the model
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from user_itr.config.frozen import ViewNames
from user_itr.errors import CheckpointError
from user_itr.files import parse_json

DESCRIPTION_FILE = "exported.json"
TEXT_FILE = "text.onnx"
IMAGE_FILE = "image.onnx"
WEIGHTS_FILE = "frozen.bin"
TOKENIZER_FILE = "tokenizer.json"
FORMAT_VERSION = 2
"""Of models with several views; 1, which earlier releases read too, of the others."""


class Pixels(BaseModel):
    """What a network sees of an image: the whole, squashed to a fixed size, uint8 RGB.

    Args:
        width: pixels.
        height: pixels.
        resample: Pillow's number of the filter.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(gt=0, le=4096)
    height: int = Field(gt=0, le=4096)
    resample: int = Field(ge=0, le=5)


class Exported(BaseModel):
    """The contents of `exported.json`.

    Args:
        fingerprint: of the checkpoint, whose embeddings these may be compared with; of its own for
            int8.
        description: one line for people.
        dim: D, width of the joint space.
        precision: of the stored weights: float16, float32 or int8.
        max_tokens: longer sentences are cut.
        regions: input of the backbone.
        guide: input of the guide where that is another network; it sees the whole image alone.
        views: of an image, that the backbone sees; see `named_views`.
        draft: see `Backbone.draft`.
        calibration: of earlier releases; nothing reads it.
        files: size in bytes of each of the other files.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["user-itr exported model"] = "user-itr exported model"
    format_version: Literal[1, 2] = 1
    fingerprint: str
    description: str
    dim: int = Field(gt=0)
    precision: Literal["float16", "float32", "int8"]
    max_tokens: int = Field(gt=0)
    regions: Pixels
    guide: Pixels | None
    views: ViewNames = ("whole",)
    draft: int | None
    calibration: JsonValue = None
    files: dict[str, int]


def is_exported(folder: Path) -> bool:
    """Whether a folder is that of an exported model."""
    return (folder / DESCRIPTION_FILE).is_file()


def read_exported(folder: Path) -> Exported:
    """The description of an exported model whose files are there in full.

    Raises:
        CheckpointError: if it is damaged, of a newer format, or a file is missing or cut short.
    """
    file = folder / DESCRIPTION_FILE
    try:
        values = parse_json(file.read_text("utf-8"))
        found = values.get("format_version") if isinstance(values, dict) else None
        if isinstance(found, int) and found > FORMAT_VERSION:
            raise CheckpointError(
                f"{file}: has format version {found}, this release reads up to {FORMAT_VERSION}; "
                "upgrade user-itr."
            )
        exported = Exported.model_validate(values)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror}).") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{file}: {key or 'the whole'}: {first['msg']}.") from None
    except ValueError as error:
        raise CheckpointError(f"{file}: is not valid JSON ({error}).") from None
    for name, size in exported.files.items():
        part = folder / name
        if part.parent != folder or not part.is_file():
            raise CheckpointError(f"{part}: is missing; copy the model's folder whole.")
        if part.stat().st_size != size:
            raise CheckpointError(
                f"{part}: has {part.stat().st_size:,} bytes instead of {size:,}; copy it again."
            )
    return exported
