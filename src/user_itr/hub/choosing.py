"""Which files of a model's repository are needed: those that are read, and never code."""

from __future__ import annotations

import re
from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from user_itr.errors import DownloadError
from user_itr.hub.cache import HubName
from user_itr.runtime.dual_encoders.layout import SUFFIXES
from user_itr.runtime.exported import (
    DESCRIPTION_FILE,
    IMAGE_FILE,
    TEXT_FILE,
)
from user_itr.runtime.exported import WEIGHTS_FILE as EXPORTED_WEIGHTS

READ = (
    "*.json",
    "vocab.txt",
    "merges.txt",
    "vocabulary.txt",
    "README.md",
    "LICENSE*",
    "NOTICE*",
    "MODEL_CARD.md",
)
"""Beside weights: configurations, words, and what to know."""

PARTS_FILE = "modules.json"
"""Of sentence-transformers: a model whose parts lie in folders."""

PLAIN = re.compile(r"(?:\w[\w.-]*/)?\w[\w.-]*", re.ASCII)
"""Paths that are looked at: a file of the model's folder, or of a folder in it."""

SAFETENSORS = ("model.safetensors", "model-*-of-*.safetensors")
PICKLE = "pytorch_model.bin"


def needed_files(name: HubName, files: Collection[str]) -> list[str]:
    """The files to fetch.

    Weights are those that the name's file chooses; else ONNX files, the exact ones first; else
    safetensors. A model that `user-itr export` wrote has its own, and one of sentence-transformers
    those of all its parts.

    Args:
        name: of the model.
        files: of its repository, by paths with slashes.

    Raises:
        DownloadError: if there are no weights that can be used, or the file that was chosen is
            missing.
    """
    files = {file for file in files if PLAIN.fullmatch(file) and ".." not in file}
    beside = [
        file
        for file in files
        if any(fnmatchcase(PurePosixPath(file).name, pattern) for pattern in READ)
    ]
    return [*sorted(beside), *sorted(_weights(name, files))]


def _weights(name: HubName, files: Collection[str]) -> set[str]:
    if name.file is not None:
        if name.file not in files:
            raise DownloadError(f"{name}: the model has no such file; name another, or none.")
        return _chosen(name, name.file, files)
    if DESCRIPTION_FILE in files:
        own = {TEXT_FILE, IMAGE_FILE, EXPORTED_WEIGHTS, *SAFETENSORS[:1]}
        return own & set(files)
    if PARTS_FILE in files:
        return _parts(name, files)
    for folder in ("onnx/", ""):
        for stems in (("text_model", "vision_model"), ("model",)):
            for suffix in SUFFIXES:
                graphs = [f"{folder}{stem}{suffix}.onnx" for stem in stems]
                if all(graph in files for graph in graphs):
                    return _with_data(graphs, files)
    return _safetensors(name, files)


def _chosen(name: HubName, file: str, files: Collection[str]) -> set[str]:
    path = PurePosixPath(file)
    if path.suffix == ".safetensors":
        return {file} if file not in SAFETENSORS else _safetensors(name, files)
    graphs = [file]
    for side, other in (("text_model", "vision_model"), ("vision_model", "text_model")):
        if path.name.startswith(side):
            beside = str(path.with_name(other + path.name.removeprefix(side)))
            if beside not in files:
                raise DownloadError(f"{name}: the model has no {beside}, which belongs to it.")
            graphs.append(beside)
    return _with_data(graphs, files)


def _with_data(graphs: list[str], files: Collection[str]) -> set[str]:
    """ONNX files, and those of the weights that are too large for them."""
    data = {
        file
        for file in files
        for graph in graphs
        if fnmatchcase(file, f"{graph}_data*") or fnmatchcase(file, f"{graph}.data*")
    }
    return {*graphs, *data}


def _parts(name: HubName, files: Collection[str]) -> set[str]:
    weights = {file for file in files if PurePosixPath(file).name == SAFETENSORS[0]}
    for file in files:
        path = PurePosixPath(file)
        if path.name == PICKLE and str(path.with_name(SAFETENSORS[0])) not in weights:
            raise _pickled(name)
    return weights or _safetensors(name, files)


def _safetensors(name: HubName, files: Collection[str]) -> set[str]:
    if SAFETENSORS[0] in files:
        return {SAFETENSORS[0]}
    parts = {file for file in files if fnmatchcase(file, SAFETENSORS[1])}
    if parts:
        return parts
    if any(fnmatchcase(file, "pytorch_model*.bin") for file in files):
        raise _pickled(name)
    raise DownloadError(
        f"{name}: the repository holds neither ONNX files nor safetensors of a model; check the "
        "name."
    )


def _pickled(name: HubName) -> DownloadError:
    return DownloadError(
        f"{name}: its weights are a pickle of PyTorch alone, which user-itr does not fetch; run "
        f"`hf download {name.repository}` if you trust its owner."
    )
