"""Cached token states: what the frozen part of a text encoder makes of captions, on disk once."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from user_itr.files import map_array
from user_itr.model.token_encoders import TokenEncoder
from user_itr.model.tokenizer import TokenizedCaptions

BATCH_TOKENS = 2048
"""Padded tokens a pass of the encoder."""


@torch.inference_mode()
def cached_token_states(
    tokens: TokenEncoder,
    captions: TokenizedCaptions,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """States at the frozen boundary of every token, computed on the first call and memory-mapped.

    The file's name is a hash of the frozen weights and of all token ids, so another encoder,
    another boundary or other captions make another file.

    Args:
        tokens: a token encoder with `cacheable`.
        captions: M tokenized captions.
        folder: where the files are kept.
        progress: called with (captions done, captions in all).

    Returns:
        (total, W) float16, laid out as `captions.ids`.
    """
    file = folder / f"{_key(tokens, captions)}.npy"
    with suppress(OSError, ValueError):  # missing or damaged
        return _open(file)
    folder.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=".states-", suffix=".npy", dir=folder)
    os.close(handle)
    try:
        _write(tokens, captions, Path(partial), progress)
        Path(partial).replace(file)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
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
        positions, real = captions.positions(rows)
        output[positions[real]] = states[real]
        done += len(rows)
        if progress is not None:
            progress(done, len(order))
    if output is not None:
        output.flush()


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
