"""What a name of open_clip stands for: found without open_clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from user_itr.errors import CheckpointError
from user_itr.runtime.dual_encoders.hashes import combined_hash, file_hash
from user_itr.runtime.dual_encoders.names import OPEN_CLIP, split_open_clip

CONFIG_FILE = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""Of a folder as open_clip publishes it, the best first."""

LOCAL, HUB = "local-dir:", "hf-hub:"
"""open_clip's own prefixes of a folder and of a name on the hub."""


@dataclass(frozen=True)
class OpenClipModel:
    """A model of open_clip, with weights.

    Args:
        name: as it was given, for people.
        model: as open_clip takes it.
        weights: a file or a tag; empty for those that come with the model.
        file: of the weights; None where open_clip knows it.
        identity: another for other weights.
        title: a short name.
    """

    name: str
    model: str
    weights: str
    file: Path | None
    identity: str
    title: str


def read_open_clip(name: str) -> OpenClipModel:
    """The model of "open_clip:MODEL@WEIGHTS", "open_clip:FOLDER" or "open_clip:hf-hub:NAME".

    Raises:
        CheckpointError: if the name lacks a part, or a file is not there or cannot be read.
    """
    model, weights = split_open_clip(name)
    if model and weights:
        file = Path(weights).expanduser()
        title = f"{model} {file.stem}"
        if file.is_file():
            identity = f"{model} {file_hash(file)}"
            return OpenClipModel(name, model, str(file), file, identity, title)
        if file.suffix in (".safetensors", ".bin", ".pt", ".pth"):
            raise CheckpointError(f"{name}: {weights} is not there.")
        return OpenClipModel(name, model, weights, None, f"{model} {weights}", title)
    if model.startswith(HUB):
        return OpenClipModel(name, model, "", None, model, model.removeprefix(HUB))
    folder = Path(model.removeprefix(LOCAL)).expanduser()
    if not model or not (folder / CONFIG_FILE).is_file():
        raise CheckpointError(
            f"{name}: give {OPEN_CLIP}MODEL@WEIGHTS, where WEIGHTS is a file or a tag of "
            f"open_clip, or {OPEN_CLIP}FOLDER with {CONFIG_FILE}."
        )
    files = [folder / one for one in WEIGHTS if (folder / one).is_file()]
    if not files:
        raise CheckpointError(f"{folder}: lacks {WEIGHTS[0]}; copy the folder whole.")
    identity = combined_hash([folder / CONFIG_FILE, files[0]])
    title = folder.resolve().name
    return OpenClipModel(name, f"{LOCAL}{folder}", "", files[0], identity, title)
