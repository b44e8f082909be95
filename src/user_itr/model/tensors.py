"""Reading untrusted safetensors files."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name.

    The format holds a JSON header and raw numbers. Its library checks that the header is of a sane
    length, that the tensors lie end to end and fill the file, and that shapes fit lengths.

    Raises:
        OSError: if the file cannot be read.
        ValueError: and nothing else: if it is not such a file, or has types that PyTorch lacks.
    """
    try:
        return load_file(file)
    except OSError:
        raise
    except Exception as error:  # SafetensorError, KeyError for unknown types, and others
        raise ValueError(f"is no safetensors file: {error}") from None
