"""From the folder of a published dual encoder to the encoder; a checkpoint becomes ONNX files."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from user_itr.errors import CheckpointError
from user_itr.extras import extra_needed
from user_itr.runtime.dual_encoders.encoder import PublishedEncoder, TextSide
from user_itr.runtime.dual_encoders.families import TEXTS
from user_itr.runtime.dual_encoders.hashes import cache_folder, combined_hash
from user_itr.runtime.dual_encoders.layout import (
    Architecture,
    checkpoint_files,
    has_graphs,
    model_folder,
    read_architecture,
)
from user_itr.runtime.dual_encoders.names import OPEN_CLIP, pair_of
from user_itr.runtime.dual_encoders.open_clip_names import read_open_clip
from user_itr.runtime.dual_encoders.sentence_modules import read_text_modules

logger = logging.getLogger(__name__)


def load_published(path: Path) -> PublishedEncoder:
    """The encoder of a folder, of one of its ONNX files, or of a composed name.

    A folder that holds a checkpoint and no ONNX files is written as ONNX once, checked against
    PyTorch, into the user's cache folder; without PyTorch later loads run from there.

    Raises:
        CheckpointError: see `PublishedEncoder`; also if a checkpoint is damaged, or its ONNX form
            computes something else.
        MissingExtraError: if a checkpoint is loaded for the first time, and the extra `train` is
            not installed.
    """
    if str(path).startswith(OPEN_CLIP):
        return _load_open_clip(str(path))
    pair = pair_of(path)
    if pair is None:
        return _load_whole(path, None)
    return _load_whole(Path(pair[1]), _text_side(Path(pair[0])))


def _load_whole(path: Path, text: TextSide | None) -> PublishedEncoder:
    folder = model_folder(path)
    if path.is_file() or has_graphs(folder):
        return PublishedEncoder(path, text=text)
    architecture = read_architecture(folder)
    files = checkpoint_files(folder)
    if not files:
        raise CheckpointError(
            f"{folder}: holds neither ONNX files (onnx/text_model.onnx, onnx/vision_model.onnx) "
            "nor weights (model.safetensors); copy the model's folder whole."
        )

    def write(made: Path) -> None:
        from user_itr.model.transformers_export import export_published

        export_published(folder, architecture, made)

    weights = combined_hash(files)
    return PublishedEncoder(path, _made_once(path, weights, write), weights, text)


def _load_open_clip(name: str) -> PublishedEncoder:
    named = read_open_clip(name)
    key = hashlib.sha256(f"{OPEN_CLIP}{named.identity}".encode()).hexdigest()

    def write(made: Path) -> None:
        from user_itr.model.open_clip_export import export_open_clip

        export_open_clip(named, made)

    made = _made_once(Path(name), key, write)
    return PublishedEncoder(made, weights=key, title=named.title)


def _text_side(path: Path) -> TextSide:
    """The text encoder in a folder of sentence-transformers."""
    modules = read_text_modules(path)
    files = [file for folder in modules.folders for file in checkpoint_files(folder)]
    if len(files) < 2 * len(modules.folders):
        raise CheckpointError(
            f"{path}: lacks weights (model.safetensors, pytorch_model.bin) of its parts; copy the "
            "model's folder whole."
        )

    def write(made: Path) -> None:
        from user_itr.model.sentence_export import export_texts

        export_texts(modules, architecture, made)

    weights = combined_hash([*files, *modules.settings])
    architecture = Architecture(TEXTS, modules.dim, modules.max_tokens or TEXTS.positions)
    made = _made_once(path, weights, write)
    return TextSide(modules.folder, made / "onnx" / "text_model.onnx", architecture, weights)


def _made_once(path: Path, weights: str, write: Callable[[Path], None]) -> Path:
    """The cache's folder of the ONNX files of a checkpoint, written if it is not there."""
    made = cache_folder() / "dual_encoders" / weights
    if has_graphs(made):
        return made
    try:
        made.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(made.with_suffix(".lock")):
            if not has_graphs(made):
                logger.warning("%s: writing it as ONNX, once, which takes a while", path)
                with extra_needed(f"{path}: writing a checkpoint of PyTorch as ONNX, once,"):
                    write(made)
    except OSError as error:
        raise CheckpointError(
            f"{made.parent}: cannot be written ({error.strerror or error}); make room, or set "
            "another cache folder (XDG_CACHE_HOME)."
        ) from None
    return made
