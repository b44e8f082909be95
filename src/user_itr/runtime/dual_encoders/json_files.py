"""The JSON files of a published model: read as data, refused where they name code to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from user_itr.errors import CheckpointError
from user_itr.files import parse_json


def read_object(file: Path, *, needed: bool = True) -> dict[str, Any]:
    """The object in a JSON file; empty if the file is not needed and not there.

    Raises:
        CheckpointError: if it is missing, cannot be read, is no JSON object, or asks for code of
            its repository to be run (`auto_map`).
    """
    try:
        values = parse_json(file.read_bytes())
    except FileNotFoundError:
        if not needed:
            return {}
        raise CheckpointError(f"{file}: is missing; copy the model's folder whole.") from None
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise CheckpointError(f"{file}: is not valid JSON ({error}).") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{file}: is not a JSON object; copy it again.")
    if "auto_map" in values or "custom_pipelines" in values:
        raise CheckpointError(
            f"{file}: asks to run code of its own (auto_map), which user-itr never does; use a "
            "model whose architecture transformers has."
        )
    return values


class Side(BaseModel):
    """`text_config` of `config.json`; transformers leaves out what is its default."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    max_position_embeddings: int | None = Field(default=None, gt=0, le=4096)
    hidden_size: int | None = Field(default=None, gt=0)
    projection_size: int | None = Field(default=None, gt=0)


class ModelConfig(BaseModel):
    """What is needed of `config.json`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    model_type: str = ""
    projection_dim: int | None = Field(default=None, gt=0)
    text_config: Side = Side()


def validated(kind: type[Any], values: dict[str, Any], file: Path) -> Any:
    """The values of a file as a pydantic model.

    Raises:
        CheckpointError: if one is of the wrong kind; the message names the file and the field.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{file}: {field or 'the whole'}: {first['msg']}.") from None
