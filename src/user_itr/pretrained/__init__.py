"""The models that come with the package: `shipped:NAME` wherever a checkpoint is asked for.

`MODEL_CARD.md` in each folder says what it was trained on, how, and what it is bad at.
"""

from __future__ import annotations

from pathlib import Path

from user_itr.errors import CheckpointError

PREFIX = "shipped:"
DEFAULT = "shipped:flickr8k"
"""The model that serves where none is named."""


def shipped_model(name: str) -> Path:
    """The checkpoint folder of `shipped:NAME` inside this package.

    Raises:
        CheckpointError: if no such model ships.
    """
    here = Path(__file__).parent
    folder = here / name.removeprefix(PREFIX)
    if folder.parent != here or not (folder / "config.json").is_file():
        names = sorted(f"{PREFIX}{file.parent.name}" for file in here.glob("*/config.json"))
        raise CheckpointError(f"{name}: no such model ships; there is {', '.join(names)}.")
    return folder
