"""Sound inputs of the parsers, from which mutations start; made when they are asked for."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np


def pickles() -> tuple[bytes, ...]:
    """A checkpoint in both formats, and two that would run something."""
    import os
    import subprocess
    from argparse import Namespace

    import torch

    class Evil:
        def __init__(self, *call: Any) -> None:
            self.call = call

        def __reduce__(self) -> Any:
            return self.call

    def saved(zipped: bool, **more: Any) -> bytes:
        states = [{"fc.weight": torch.ones(2, 3)}, {"linear.bias": torch.zeros(2)}]
        content = {"epoch": 3, "model": states, "best_rsum": np.float64(1.5), "Eiters": 9}
        stream = io.BytesIO()
        content |= {"opt": Namespace(no_imgnorm=False), **more}
        torch.save(content, stream, _use_new_zipfile_serialization=zipped)
        return stream.getvalue()

    evil = Evil(os.system, ("touch /tmp/user-itr-was-here",)), Evil(subprocess.Popen, (["true"],))
    return (
        saved(True),
        saved(False),
        saved(True, opt=evil[0]),
        saved(False, opt=evil[1]),
    )


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz() -> bytes:
    from test_bad_stores import measured

    return measured()


def jpegs() -> tuple[bytes, ...]:
    from PIL import Image

    found = []
    for format in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"):
        stream = io.BytesIO()
        Image.new("P" if format == "GIF" else "RGB", (9, 7)).save(stream, format)
        found.append(stream.getvalue())
    return tuple(found)


def json_of(value: object) -> bytes:
    return json.dumps(value).encode()


def store_manifest() -> dict[str, Any]:
    from test_bad_stores import MANIFEST

    return MANIFEST


def document_seed() -> bytes:
    queries = {"queries": [0, 1], "positive": [0, 1], "ahead": [0, 1], "tied": [0, 0]}
    side = {**queries, "companions": [0, 0], "candidates": 2}
    return json_of(
        {
            "format": 2,
            "dataset": "x",
            "split": "test",
            "split_key": "k",
            "models": [{"name": "m", "kind": "similarity", "sha256": "0"}],
            "fusion": None,
            "metrics": {"i2t": {"R@1": 50.0, "R@5": 100.0}, "ties": "pessimistic"},
            "queries": {"i2t": side, "t2i": side},
            "items": {"images": ["a", "b"], "captions": ["c", "d"], "caption_image": [0, 1]},
        }
    )
