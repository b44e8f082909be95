"""The folders of sentence-transformers: a CLIP, or a text encoder that was trained to go with one.

modules.json      the parts, in their order
0_CLIPModel/      a CLIP as transformers writes it
0_Transformer/    or the folder itself: a text encoder; sentence_bert_config.json
1_Pooling/        how the vectors of its tokens become one
2_Dense/          how that becomes one of the CLIP's width
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from user_itr.errors import CheckpointError
from user_itr.files import parse_json
from user_itr.runtime.dual_encoders.json_files import read_object, validated
from user_itr.runtime.dual_encoders.names import MODULES_FILE

CONFIG_FILE = "config.json"
LENGTH_FILES = ("sentence_bert_config.json", "sentence_distilbert_config.json")
"""The longest text, in the folder of the text encoder."""

_ACTIVATIONS: dict[str, Literal["identity", "tanh"]] = {
    "torch.nn.modules.linear.Identity": "identity",
    "torch.nn.modules.activation.Tanh": "tanh",
}
_OLD_POOLING = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}  # nosec B105


@dataclass(frozen=True)
class Module:
    """One part.

    Args:
        kind: the name of its class, without that of its package.
        folder: of its files.
    """

    kind: str
    folder: Path


class Dense(BaseModel):
    """What is needed of `2_Dense/config.json`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    in_features: int = Field(gt=0)
    out_features: int = Field(gt=0)
    bias: bool = True
    activation_function: str
    use_residual: Literal[False] = False

    @property
    def activation(self) -> Literal["identity", "tanh"] | None:
        """What follows the matrix product; None for something that is not known."""
        return _ACTIVATIONS.get(self.activation_function)


class Length(BaseModel):
    """What is needed of `sentence_bert_config.json`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    max_seq_length: int | None = Field(default=None, gt=1, le=8192)
    do_lower_case: Literal[False] | None = None


@dataclass(frozen=True)
class TextModules:
    """A text encoder, part by part.

    Args:
        folder: of the encoder of tokens, as transformers writes it.
        max_tokens: longer texts are cut; None leaves it to the encoder.
        pooling: the mean of all tokens, or the first one.
        dense: what follows, with the folders of the weights.
        dim: D, width of the result.
        settings: files that change the result, beside those of the checkpoints.
    """

    folder: Path
    max_tokens: int | None
    pooling: Literal["mean", "cls"]
    dense: tuple[tuple[Path, Dense], ...]
    dim: int
    settings: tuple[Path, ...]

    @property
    def folders(self) -> list[Path]:
        """Those of all checkpoints."""
        return [self.folder, *(folder for folder, _ in self.dense)]


def read_modules(folder: Path) -> list[Module]:
    """The parts of a folder; none where it is not of sentence-transformers.

    Raises:
        CheckpointError: if `modules.json` is damaged, or names a folder elsewhere.
    """
    file = folder / MODULES_FILE
    if not file.is_file():
        return []
    try:
        values = parse_json(file.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise CheckpointError(f"{file}: is not valid JSON ({error}).") from None
    found = []
    for entry in values if isinstance(values, list) else [None]:
        part = entry if isinstance(entry, dict) else {}
        path, kind = part.get("path"), part.get("type")
        if not isinstance(path, str) or not isinstance(kind, str):
            raise CheckpointError(f"{file}: is not a list of parts with path and type.")
        if Path(path).name != path:
            raise CheckpointError(f"{file}: names the part {path!r}, which lies elsewhere.")
        if not kind.startswith("sentence_transformers."):
            raise CheckpointError(
                f"{file}: asks to run code of its own ({kind}), which user-itr never does."
            )
        found.append(Module(kind.rpartition(".")[2], folder / path if path else folder))
    return found


def whole_model(folder: Path) -> Path:
    """The folder where a model as transformers writes it lies: in its one part, or here."""
    modules = read_modules(folder)
    parts = [one for one in modules if one.kind != "Normalize"]
    return parts[0].folder if len(parts) == 1 else folder


def read_text_modules(folder: Path) -> TextModules:
    """A folder's text encoder.

    Raises:
        CheckpointError: if a file is missing or damaged, or a part is of a kind that is not known.
    """
    modules = [one for one in read_modules(folder) if one.kind != "Normalize"]
    kinds = [one.kind for one in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or set(kinds[2:]) - {"Dense"}:
        raise CheckpointError(
            f"{folder / MODULES_FILE}: has {', '.join(kinds) or 'no parts'}; the text side of a "
            "pair is a Transformer, a Pooling and any number of Dense."
        )
    encoder, pooling, *rest = modules
    file = pooling.folder / CONFIG_FILE
    values = read_object(file)
    dense = []
    for one in rest:
        config: Dense = validated(Dense, read_object(one.folder / CONFIG_FILE), one.folder)
        if config.activation is None:
            raise CheckpointError(
                f"{one.folder / CONFIG_FILE}: activation_function is "
                f"{config.activation_function}; user-itr has {', '.join(_ACTIVATIONS)}."
            )
        dense.append((one.folder, config))
    width = values.get("embedding_dimension", values.get("word_embedding_dimension"))
    if not isinstance(width, int) or width < 1:
        raise CheckpointError(f"{file}: has no embedding_dimension.")
    length = Length()
    for name in LENGTH_FILES:
        if (encoder.folder / name).is_file():
            at = encoder.folder / name
            length = validated(Length, read_object(at), at)
            break
    return TextModules(
        encoder.folder,
        length.max_seq_length,
        _pooling(values, file),
        tuple(dense),
        dense[-1][1].out_features if dense else width,
        (file,),
    )


def _pooling(values: dict[str, Any], file: Path) -> Literal["mean", "cls"]:
    old = [key for key, value in values.items() if key.startswith("pooling_mode_") and value]
    mode = values.get("pooling_mode") or (_OLD_POOLING.get(old[0]) if len(old) == 1 else None)
    if mode == "mean":
        return "mean"
    if mode == "cls":
        return "cls"
    raise CheckpointError(f"{file}: pools tokens in a way other than their mean or the first one.")
