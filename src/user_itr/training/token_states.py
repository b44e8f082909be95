"""Cached token states: the output of a text encoder's frozen part for all captions, on disk."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import filelock
import numpy as np
import torch

from user_itr.errors import FeatureError
from user_itr.files import map_array, sync_names
from user_itr.model.token_encoders import TokenEncoder
from user_itr.model.tokenizer import TokenizedCaptions

BATCH_TOKENS = 2048
"""Padded tokens per pass of the encoder."""


@torch.inference_mode()
def cached_token_states(
    tokens: TokenEncoder,
    captions: TokenizedCaptions,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """States at the frozen boundary of every token, computed on the first call and memory-mapped.

    The file's name is a hash of the frozen weights and of all token ids, so another encoder,
    another boundary or other captions make another file. If several processes need the same
    states, one computes them and the others wait.

    Args:
        tokens: a token encoder with `cacheable`.
        captions: M tokenized captions.
        folder: where the files are kept.
        progress: called with (captions done, captions in all).

    Returns:
        (total, W) float16, laid out as `captions.ids`.

    Raises:
        FeatureError: if they cannot be written.
    """
    file = folder / f"{_key(tokens, captions)}.npy"
    with suppress(OSError, ValueError):  # missing or damaged
        return _open(file)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        locks = folder.with_name(f"{folder.name}.locks")
        locks.mkdir(exist_ok=True)
        with filelock.FileLock(locks / f"{file.stem}.lock"):
            with suppress(OSError, ValueError, EOFError):  # another process was faster
                return _open(file)
            partial = file.with_name(f".{file.name}.partial")  # also what a killed process left
            try:
                _write(tokens, captions, partial, progress)
                partial.replace(file)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
            sync_names(folder)
    except OSError as error:
        raise FeatureError(
            f"{folder}: the token states cannot be written ({error.strerror or error}); free some "
            "space, set XDG_CACHE_HOME to a folder on another disk, or do without them "
            "(model.text.cache=false)."
        ) from error
    return _open(file)


def _open(file: Path) -> np.ndarray:
    states: np.ndarray = map_array(file)
    return states


def _write(
    tokens: TokenEncoder,
    captions: TokenizedCaptions,
    file: Path,
    progress: Callable[[int, int], None] | None,
) -> None:
    output: np.memmap | None = None
    order = np.argsort(-captions.lengths, kind="stable")  # so a pass is as wide as its first
    done = 0
    while done < len(order):
        size = max(1, BATCH_TOKENS // int(captions.lengths[order[done]]))
        rows = order[done : done + size]
        ids, mask = captions.padded(rows)
        states = tokens.lower(ids, mask).half().numpy()
        if output is None:
            shape = (len(captions.ids), states.shape[-1])
            output = np.lib.format.open_memmap(file, "w+", np.float16, shape)
            _take_space(file)
        positions, real = captions.positions(rows)
        output[positions[real]] = states[real]
        done += len(rows)
        if progress is not None:
            progress(done, len(order))
    if output is not None:
        output.flush()


def _take_space(file: Path) -> None:
    """Have the disk's space for a file at once: writing into a map that it lacks is a SIGBUS."""
    size = file.stat().st_size
    if hasattr(os, "posix_fallocate"):
        with file.open("rb+") as handle:
            os.posix_fallocate(handle.fileno(), 0, size)
    elif size > shutil.disk_usage(file.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _key(tokens: TokenEncoder, captions: TokenizedCaptions) -> str:
    digest = hashlib.sha256()
    trained = {id(p) for p in tokens.parameters() if p.requires_grad}
    for name, parameter in tokens.named_parameters():
        if id(parameter) not in trained:
            digest.update(name.encode())
            digest.update(parameter.detach().contiguous().numpy().tobytes())
    digest.update(np.ascontiguousarray(captions.ids).tobytes())
    digest.update(np.ascontiguousarray(captions.offsets).tobytes())
    return digest.hexdigest()[:24]
