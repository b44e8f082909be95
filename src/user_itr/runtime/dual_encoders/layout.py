"""The folder of a published dual encoder: which files it has, and which of them are run.

config.json                  the architecture; `model_type` tells the family
preprocessor_config.json     what the image encoder sees (or processor_config.json)
tokenizer.json               texts to token ids; tokenizer_config.json, special_tokens_map.json
onnx/vision_model.onnx       images to embeddings  ) or both in one model.onnx, which computes both
onnx/text_model.onnx         texts to embeddings   ) sides for either
onnx/text_model_int8.onnx    another precision, by a suffix
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from user_itr.errors import CheckpointError
from user_itr.runtime.dual_encoders.families import FAMILIES, Family
from user_itr.runtime.dual_encoders.json_files import ModelConfig, read_object, validated
from user_itr.runtime.dual_encoders.names import MODULES_FILE, is_composed

CONFIG_FILE = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Of a checkpoint as transformers writes it, the best first; in parts by NAME.index.json."""

SUFFIXES = ("", "_fp16", "_quantized", "_int8", "_uint8", "_q8", "_q4f16", "_q4", "_bnb4")
"""Precisions of transformers.js; without a choice, the first that the folder has is taken."""

_SIDES = ("text_model", "vision_model")


@dataclass(frozen=True)
class Architecture:
    """What `config.json` says.

    Args:
        family: of the model.
        dim: D, width of the joint space.
        positions: tokens that the text encoder reads.
    """

    family: Family
    dim: int
    positions: int


@dataclass(frozen=True)
class Graphs:
    """The ONNX files of one precision.

    Args:
        text: gives embeddings of texts.
        vision: of images; the same file where both are in one.
    """

    text: Path
    vision: Path

    @property
    def in_one_file(self) -> bool:
        """Whether one file computes both sides, for either."""
        return self.text == self.vision

    @property
    def files(self) -> list[Path]:
        """Both, and the files of weights beside them."""
        graphs = sorted({self.text, self.vision})
        beside = {
            data
            for graph in graphs
            for pattern in (f"{graph.name}_data*", f"{graph.name}.data*")
            for data in graph.parent.glob(pattern)
        }
        return [*graphs, *sorted(beside)]


def is_published(path: Path) -> bool:
    """Whether a path is that of a published model: its folder, or one of its ONNX files.

    So is the name of a composed one, as a path.
    """
    if is_composed(path) or (path / MODULES_FILE).is_file():
        return True
    if path.suffix == ".onnx" and path.is_file():
        return True
    if (path / "onnx").is_dir():
        return True
    try:
        return "model_type" in read_object(path / CONFIG_FILE)
    except CheckpointError as error:  # damaged: said by what reads checkpoints of user-itr
        return "auto_map" in str(error)


def model_folder(path: Path) -> Path:
    """The folder of the model that a path names, by itself or by one of its ONNX files.

    Of a folder of sentence-transformers that holds one model, that model's.

    Raises:
        CheckpointError: if `modules.json` is damaged.
    """
    if (path / MODULES_FILE).is_file():
        from user_itr.runtime.dual_encoders.sentence_modules import whole_model

        return whole_model(path)
    if path.suffix != ".onnx" or not path.is_file():
        return path
    return path.parent.parent if path.parent.name == "onnx" else path.parent


def read_architecture(folder: Path) -> Architecture:
    """The family and sizes of a model.

    Raises:
        CheckpointError: if `config.json` is missing or damaged, asks for code to be run, or is of
            a family that is not known.
    """
    file = folder / CONFIG_FILE
    config: ModelConfig = validated(ModelConfig, read_object(file), file)
    if config.model_type == "siglip2":
        raise CheckpointError(
            f"{file}: is a SigLIP 2 of variable resolution (NaFlex); use one of a fixed "
            "resolution, such as siglip2-base-patch16-256."
        )
    family = FAMILIES.get(config.model_type)
    if family is None and (folder / MODULES_FILE).is_file():
        raise CheckpointError(
            f"{file}: model_type is {config.model_type!r}, which encodes texts alone; name the "
            f"model of the images too, as {folder}+IMAGE_FOLDER."
        )
    if family is None:
        raise CheckpointError(
            f"{file}: model_type is {config.model_type!r}; user-itr runs the dual encoders "
            f"{', '.join(FAMILIES)}."
        )
    text = config.text_config
    own = config.projection_dim if family.projected else text.projection_size or text.hidden_size
    positions = family.positions
    if text.max_position_embeddings is not None:
        positions = max(text.max_position_embeddings - family.reserved, 2)
    return Architecture(family, own or family.width, positions)


def has_graphs(folder: Path) -> bool:
    """Whether a folder holds ONNX files of any kind."""
    return any(any(place.glob("*.onnx")) for place in (folder / "onnx", folder))


def find_graphs(path: Path) -> Graphs:
    """The ONNX files to run.

    Args:
        path: a model's folder, or one of its ONNX files, which chooses the precision.

    Raises:
        CheckpointError: if a file is missing.
    """
    if path.is_file():
        return _named(path)
    for place in (path / "onnx", path):
        for suffix in SUFFIXES:
            text, vision = (place / f"{side}{suffix}.onnx" for side in _SIDES)
            if text.is_file() and vision.is_file():
                return Graphs(text, vision)
        for suffix in SUFFIXES:
            whole = place / f"model{suffix}.onnx"
            if whole.is_file():
                return Graphs(whole, whole)
    raise CheckpointError(
        f"{path}: holds neither onnx/text_model.onnx with onnx/vision_model.onnx nor "
        "onnx/model.onnx; copy the model's folder whole."
    )


def _named(file: Path) -> Graphs:
    for side, other in (_SIDES, _SIDES[::-1]):
        if file.stem.startswith(side):
            beside = file.with_name(other + file.name.removeprefix(side))
            if not beside.is_file():
                raise CheckpointError(
                    f"{beside}: is missing, which belongs to {file.name}; copy both."
                )
            return Graphs(*((file, beside) if side == "text_model" else (beside, file)))
    if file.stem.startswith("model"):
        return Graphs(file, file)
    raise CheckpointError(
        f"{file}: is no model's file by its name; give text_model*.onnx, vision_model*.onnx or "
        "model*.onnx, or the folder."
    )


def checkpoint_files(folder: Path) -> list[Path]:
    """`config.json` and the files of weights of a checkpoint; empty if there are no weights.

    Raises:
        CheckpointError: if a part is missing, or the list of parts is damaged.
    """
    config = folder / CONFIG_FILE
    for name in WEIGHTS:
        if (folder / name).is_file():
            return [config, folder / name]
        index = folder / f"{name}.index.json"
        if not index.is_file():
            continue
        places = read_object(index).get("weight_map")
        names = set(places.values()) if isinstance(places, dict) else set()
        if not names or not all(isinstance(part, str) for part in names):
            raise CheckpointError(f"{index}: has no weight_map; copy it again.")
        parts = [folder / part for part in sorted(names)]
        for part in parts:
            if part.parent != folder or not part.is_file():
                raise CheckpointError(f"{part}: is missing; copy the model's folder whole.")
        return [config, *parts]
    return []
