"""From the folder of a published dual encoder to the encoder; a checkpoint becomes ONNX files."""

from __future__ import annotations

import logging
from pathlib import Path

from filelock import FileLock

from user_itr.errors import CheckpointError
from user_itr.extras import extra_needed
from user_itr.runtime.dual_encoders.encoder import PublishedEncoder
from user_itr.runtime.dual_encoders.hashes import cache_folder, combined_hash
from user_itr.runtime.dual_encoders.layout import checkpoint_files, has_graphs, read_architecture

logger = logging.getLogger(__name__)


def load_published(path: Path) -> PublishedEncoder:
    """The encoder of a folder, or of one of its ONNX files.

    A folder that holds a checkpoint and no ONNX files is written as ONNX once, checked against
    PyTorch, into the user's cache folder; without PyTorch later loads run from there.

    Raises:
        CheckpointError: see `PublishedEncoder`; also if a checkpoint is damaged, or its ONNX form
            computes something else.
        MissingExtraError: if a checkpoint is loaded for the first time, and the extra `train` is
            not installed.
    """
    if path.is_file() or has_graphs(path):
        return PublishedEncoder(path)
    architecture = read_architecture(path)
    files = checkpoint_files(path)
    if not files:
        raise CheckpointError(
            f"{path}: holds neither ONNX files (onnx/text_model.onnx, onnx/vision_model.onnx) nor "
            "weights (model.safetensors); copy the model's folder whole."
        )
    weights = combined_hash(files)
    made = cache_folder() / "dual_encoders" / weights
    if not has_graphs(made):
        with extra_needed(f"{path}: writing a checkpoint of PyTorch as ONNX, once,"):
            from user_itr.model.transformers_export import export_published
        try:
            made.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(made.with_suffix(".lock")):
                if not has_graphs(made):
                    logger.warning("%s: writing it as ONNX, once, which takes a while", path)
                    export_published(path, architecture, made)
        except OSError as error:
            raise CheckpointError(
                f"{made.parent}: cannot be written ({error.strerror or error}); make room, or set "
                "another cache folder (XDG_CACHE_HOME)."
            ) from None
    return PublishedEncoder(path, made, weights)
