"""Reading an official checkpoint of USER or VSE-infinity without running anything in it.

Such a file is a pickle. PyTorch's restricted unpickler (`weights_only`) resolves no name by
importing it: what it does not know itself must be given here, and is given as inert stand-ins.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from user_itr.errors import CheckpointError

KEYS = ("epoch", "model", "best_rsum", "opt", "Eiters")


@dataclass(frozen=True)
class PublishedCheckpoint:
    """The contents of an official checkpoint.

    Args:
        image: state dict of the image branch, without DataParallel's prefix.
        text: state dict of the text branch, likewise.
        options: of the command line that trained it; empty where they were not stored.
        epoch: epochs trained, where stored.
        rsum: best dev rsum in percent points, where stored.
    """

    image: dict[str, Tensor]
    text: dict[str, Tensor]
    options: dict[str, Any]
    epoch: int | None
    rsum: float | None


class _Options:
    """Stands in for `argparse.Namespace`."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.values = dict(state)


class _NumberType:
    """Stands in for `numpy.dtype`, whose own state can make raw bytes pass for pointers."""

    def __init__(self, code: str, *_flags: object) -> None:
        if re.fullmatch("[biuf][1248]", code) is None:
            raise ValueError(f"{code!r} is no type of a number")
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.code = ("<" if state[1] == "|" else state[1]) + self.code[-2:]


def _number(kind: _NumberType, raw: bytes) -> float:
    """Stands in for the function by which NumPy pickles a scalar."""
    return float(np.frombuffer(raw, kind.code)[0])


_STAND_INS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Options, "argparse.Namespace"),
    (_NumberType, "numpy.dtype"),
    (_number, "numpy.core.multiarray.scalar"),
    (_number, "numpy._core.multiarray.scalar"),
]


def read_published(path: Path) -> PublishedCheckpoint:
    """Read an official checkpoint, in PyTorch's zip format or the one before it.

    Raises:
        CheckpointError: if there is no such file, it names anything but tensors and plain values,
            it is damaged or no checkpoint, or it holds other things than an official one.
    """
    content = _unpickle(path)
    if not isinstance(content, dict) or "model" not in content:
        raise CheckpointError(f"{path}: is no official checkpoint (key model is missing).")
    unknown = [str(key) for key in content if key not in KEYS]
    if unknown:
        raise CheckpointError(
            f"{path}: is no official checkpoint: unknown {named(unknown)}; such a file holds "
            f"{', '.join(KEYS)}."
        )
    model = content["model"]
    if not isinstance(model, list | tuple) or len(model) != 2:
        raise CheckpointError(
            f"{path}: key model holds no list of two state dicts, image branch and text branch."
        )
    image, text = (_state(path, part) for part in model)
    claimed = sum(tensor.nbytes for tensor in [*image.values(), *text.values()])
    if claimed > path.stat().st_size:
        raise CheckpointError(f"{path}: its tensors claim more bytes than the file has.")
    epoch, options = content.get("epoch"), content.get("opt")
    return PublishedCheckpoint(
        image,
        text,
        options=getattr(options, "values", {}) if isinstance(options, _Options) else {},
        epoch=epoch if isinstance(epoch, int) else None,
        rsum=_finite(content.get("best_rsum")),
    )


def named(keys: Iterable[str]) -> str:
    """Keys of a file for a message, what could not be printed escaped."""
    return ", ".join(key if key.isprintable() else ascii(key) for key in keys)


def _unpickle(path: Path) -> object:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give an official checkpoint (.pth, .tar).")
    try:
        with path.open("rb") as file:
            archived = file.read(4) == b"PK\3\4"  # how PyTorch tells its two formats apart
        if archived:
            _check_archive(path)
        with torch.serialization.safe_globals(_STAND_INS):
            # Mapped, a tensor that claims more than its record has ends at the end of the file;
            # read, it would end somewhere in this process' memory.
            content: object = torch.load(path, map_location="cpu", weights_only=True, mmap=archived)
    except CheckpointError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused is not None:
            raise CheckpointError(
                f"{path}: names {named([refused[1]])}, which no official checkpoint needs and "
                "loading might run; nothing was run, do not trust the file."
            ) from None
        raise CheckpointError(
            f"{path}: is damaged, or no checkpoint as torch.save writes it; fetch it again."
        ) from error
    return content


def _check_archive(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if any(Path(entry.filename).name == "constants.pkl" for entry in entries):
        raise CheckpointError(
            f"{path}: is a TorchScript program, no checkpoint; give the file that training wrote."
        )
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise CheckpointError(
            f"{path}: is compressed, which torch.save never does; unpacking it is refused."
        )


def _state(path: Path, state: object) -> dict[str, Tensor]:
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: key model holds {type(state).__name__}, no state dict.")
    tensors: dict[str, Tensor] = {}
    for key, value in dict(state).items():
        if not isinstance(key, str) or not _is_plain(value):
            raise CheckpointError(
                f"{path}: {named([str(key)])} is no plain tensor of real numbers."
            )
        tensors[key] = value.detach()
    if all(key.startswith("module.") for key in tensors):
        return {key.removeprefix("module."): tensor for key, tensor in tensors.items()}
    return tensors


def _is_plain(value: object) -> bool:
    return (
        type(value) in (Tensor, nn.Parameter)
        and isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and not value.is_complex()
    )


def _finite(value: object) -> float | None:
    number = float(value) if isinstance(value, int | float | Tensor) else math.nan
    return number if math.isfinite(number) else None
