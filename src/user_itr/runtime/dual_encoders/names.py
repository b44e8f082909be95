"""Models that a name puts together: they are no folder of their own.

TEXT+IMAGE                  texts by a text encoder of sentence-transformers, images by a CLIP
open_clip:MODEL@WEIGHTS     a model of open_clip, with a file of weights or a tag of open_clip's
open_clip:FOLDER            the same, as open_clip publishes it
"""

from __future__ import annotations

import os
from pathlib import Path

OPEN_CLIP = "open_clip:"
MODULES_FILE = "modules.json"
"""Lists the parts in a folder of sentence-transformers."""


def is_composed(name: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a pair, or of a model of open_clip."""
    return str(name).startswith(OPEN_CLIP) or pair_of(name) is not None


def pair_of(name: str | os.PathLike[str]) -> tuple[str, str] | None:
    """The names of the text side and of the image side; None for a name of one model.

    A folder or file of the whole name comes first, and of several plus signs the one between two
    that are there.
    """
    text = str(name)
    if "+" not in text or "://" in text or text.startswith(OPEN_CLIP) or os.path.lexists(text):
        return None
    places = [place for place, letter in enumerate(text) if letter == "+"]
    pairs = [(text[:place], text[place + 1 :]) for place in places]
    for pair in pairs:
        if all(side and os.path.lexists(side) for side in pair):
            return pair
    return pairs[0] if all(pairs[0]) else None


def split_open_clip(name: str | os.PathLike[str]) -> tuple[str, str]:
    """MODEL and WEIGHTS of "open_clip:MODEL@WEIGHTS"; WEIGHTS may be empty."""
    model, _, weights = str(name).removeprefix(OPEN_CLIP).partition("@")
    return model, weights


def absolute_open_clip(name: str | os.PathLike[str]) -> str:
    """A name of open_clip that means the same from any folder: with absolute paths."""
    model, weights = split_open_clip(name)
    if weights:
        return f"{OPEN_CLIP}{model}@{_absolute(weights)}"
    return f"{OPEN_CLIP}{_absolute(model)}"


def _absolute(text: str) -> str:
    return str(Path(text).absolute()) if text and os.path.lexists(text) else text
