"""Large ONNX files that hold their weights, written once more with the weights beside the graph.

ONNX Runtime maps weights that lie beside a graph into memory, and reads those of the words that it
looks up alone. Weights inside a graph it copies twice: of CLIP's text encoder a search from the
shell then takes 0.4 processor seconds and 190 MB more (`benchmarks/dual_encoders.py`).
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from user_itr.runtime.dual_encoders.hashes import cache_folder, file_hash

LEAST = 32 * 2**20
"""Bytes of a file for which it pays."""


def weights_beside(file: Path) -> Path:
    """The cache's copy of an ONNX file, made if it is not there; the file itself if it is small.

    Where the copy cannot be made, on a full disk for instance, the file serves as it is.

    Raises:
        CheckpointError: if the file cannot be read.
    """
    if file.stat().st_size < LEAST:
        return file
    made = cache_folder() / "unpacked" / file_hash(file)
    if not made.is_dir():
        try:
            _write(file, made)
        except Exception:  # ONNX Runtime's classes have no common one
            return file
    return made / file.name


def _write(file: Path, made: Path) -> None:
    from user_itr.runtime.sessions import rewrite

    made.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=made.parent))
    try:
        rewrite(file, partial / file.name)
        partial.replace(made)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
