"""Arrays in files: .npy, .npz, .safetensors, .pt, Parquet. Nothing in a file is executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from user_itr.errors import CollectionError, DataError, MissingExtraError
from user_itr.extras import extra_needed
from user_itr.files import map_array

Arrays = Mapping[str, np.ndarray]
"""Arrays by their name in the file; "" where the file holds one without a name."""

_EMBEDDING_COLUMNS = ("embedding", "embeddings", "vector")
_ID_COLUMNS = ("id", "key", "image_id", "caption_id", "image", "filename")


def read_arrays(file: Path, suffix: str | None = None) -> Arrays:
    """The arrays of a file; those of .npy and .safetensors are read as they are used.

    Args:
        file: .npy; .npz; .safetensors; .pt or .pth with a tensor, or a dictionary of tensors;
            .parquet with a column of embeddings, or a folder of such shards, as `user-itr encode`
            writes them: "" is then the embeddings, "ids" the rows' ids.
        suffix: of the kind of file that it is taken for; its own by default.

    Raises:
        DataError: if it cannot be read, or holds what is no array.
        MissingExtraError: if a .pt or .safetensors file needs the extra `train`, or Parquet the
            extra `bulk`, and it is not installed.
    """
    suffix = suffix or (".parquet" if file.is_dir() else file.suffix)
    if suffix == ".parquet":
        return _read_parquet(file)
    reader = _READERS.get(suffix)
    if reader is None:
        raise DataError(f"{file}: is none of {', '.join(SUFFIXES)}; save the array as one of them.")
    try:
        found = reader(file)
    except (DataError, MissingExtraError):
        raise
    except Exception as error:  # a broken header raises anything
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        kind = "a NumPy array" if suffix == ".npy" else f"arrays of a {suffix} file"
        raise DataError(f"{file}: cannot be read as {kind} ({reason}).") from None
    if not found:
        raise DataError(f"{file}: holds no array; give one.")
    return found


def open_array(file: Path) -> np.ndarray:
    """The one array of a file; a .npy file is memory-mapped, and what has no known ending is one.

    Raises:
        DataError: if it cannot be read, or holds several arrays.
    """
    known = file.suffix in _READERS and not file.is_dir()
    found = read_arrays(file, file.suffix if known else ".npy")
    if len(found) > 1:
        raise DataError(f"{file}: holds {', '.join(sorted(found))}; give a file with one array.")
    return next(iter(found.values()))


def _read_npy(file: Path) -> Arrays:
    array = map_array(file)
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        raise DataError(f"{file}: holds no single array; give one, as np.save writes it.")
    return {"": array}


def _read_npz(file: Path) -> Arrays:
    with np.load(file, allow_pickle=False) as archive:
        if not hasattr(archive, "files"):
            raise DataError(f"{file}: is no archive of arrays; name a single array .npy.")
        return {name: archive[name] for name in archive.files}


def _read_safetensors(file: Path) -> Arrays:
    with extra_needed(f"{file}"):
        import safetensors

    found: dict[str, np.ndarray] = {}
    low = []
    with safetensors.safe_open(file, framework="numpy") as archive:
        for name in archive.keys():  # noqa: SIM118 # no mapping
            if archive.get_slice(name).get_dtype() == "BF16":
                low.append(name)
            else:
                found[name] = archive.get_tensor(name)
    if low:  # NumPy has no bfloat16: the upper half of a float32
        parts = safetensors.deserialize(file.read_bytes())  # type: ignore[no-untyped-call]
        for name, part in parts:
            if name in low:
                halves = np.frombuffer(part["data"], "<u2").astype(np.uint32) << 16
                found[name] = halves.view(np.float32).reshape(part["shape"])
    return found


def _read_torch(file: Path) -> Arrays:
    with extra_needed(f"{file}"):
        import torch
    content = torch.load(file, map_location="cpu", weights_only=True)
    tensors = content if isinstance(content, dict) else {"": content}
    return {str(name): _of_tensor(file, name, tensor) for name, tensor in tensors.items()}


def _of_tensor(file: Path, name: object, tensor: Any) -> np.ndarray:
    import torch

    if not isinstance(tensor, torch.Tensor) or tensor.ndim == 0 or tensor.layout != torch.strided:
        part = f" of {name!r}" if name else ""
        raise DataError(
            f"{file}: holds {type(tensor).__name__}{part}; give a tensor, or a dictionary of "
            "tensors."
        )
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    return np.asarray(tensor.numpy())


def _read_parquet(path: Path) -> Arrays:
    with extra_needed(f"{path}"):
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

    from user_itr.bulk.collection import MANIFEST, EmbeddingCollection

    try:
        if (path / MANIFEST).is_file():
            shards = list(EmbeddingCollection(path).tables())
        else:
            files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
            shards = [pq.read_table(file) for file in files]
        if not shards:
            raise DataError(f"{path}: holds no .parquet file and no {MANIFEST} of `encode`.")
        table = pa.concat_tables(shards)
        vectors = next((one for one in _EMBEDDING_COLUMNS if one in table.column_names), None)
        if vectors is None:
            raise DataError(
                f"{path}: has the columns {', '.join(table.column_names)}; give embeddings in a "
                "column `embedding`."
            )
        column = table[vectors].combine_chunks()
        flat = column.flatten().to_numpy(zero_copy_only=False)
        widths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
        if column.null_count or len(column) == 0 or (widths != widths[0]).any():
            raise DataError(f"{path}: column {vectors}: rows are missing or of several widths.")
        found = {"": np.asarray(flat).reshape(len(column), -1)}
        ids = next((one for one in _ID_COLUMNS if one in table.column_names), None)
        if ids is not None:
            found["ids"] = np.array([str(one) for one in table[ids].to_pylist()])
        return found
    except (OSError, pa.ArrowException, CollectionError, AttributeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: cannot be read as embeddings in Parquet ({reason}).") from None


_READERS = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
    ".pt": _read_torch,
    ".pth": _read_torch,
}

SUFFIXES = (*_READERS, ".parquet")
"""Endings of files with arrays."""
