"""What the name of a model means, the same wherever one is taken.

What is known of the hub is imported for a name that may be one of it: a search of an index has the
path of a model, or a name that ships.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from user_itr.errors import CheckpointError
from user_itr.pretrained import PREFIX, shipped_model
from user_itr.runtime.dual_encoders.names import OPEN_CLIP, absolute_open_clip, pair_of

if TYPE_CHECKING:
    from user_itr.hub.cache import HubName

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NamedModel:
    """A model on this machine.

    Args:
        path: its folder, or one of its files, which chooses among them.
        recorded: the name by which it is found again from anywhere: an absolute path, or a name
            with its commit.
        notice: a sentence where the name could have meant another model too.
    """

    path: Path
    recorded: str
    notice: str | None = None


def resolve_model(name: str | Path) -> NamedModel:
    """The model of a name; nothing is downloaded.

    Args:
        name: "shipped:NAME"; a folder, a run, a checkpoint or a file; a short name of
            `user-itr models`; OWNER/NAME[@REVISION][/FILE] of the Hugging Face hub; two of these as
            TEXT+IMAGE; or "open_clip:MODEL@WEIGHTS". A folder of the name comes before a model that
            was fetched, and `notice` says so. A `Path` is a path and nothing else.

    Raises:
        CheckpointError: if it is not on this machine; the message says how to fetch it.
    """
    text = str(name)
    if text.startswith(PREFIX):
        return NamedModel(shipped_model(text), text)
    if text.startswith(OPEN_CLIP):
        name = absolute_open_clip(text)
        return NamedModel(Path(name), name)
    pair = pair_of(text)
    if pair is not None:
        return _both(*map(resolve_model, pair))
    path = Path(name)
    remote = None if isinstance(name, Path) else known_name(text)
    if text and os.path.lexists(path):
        return NamedModel(path, str(path.absolute()), _notice(text, path, remote))
    if remote is None:
        raise CheckpointError(f"{text}: no such folder; give a checkpoint or a run.")
    return _fetched(text, remote)


def _fetched(text: str, remote: HubName) -> NamedModel:
    from user_itr.hub.cache import fetched_commit, snapshot_path
    from user_itr.hub.catalogue import catalogued

    commit = fetched_commit(remote)
    if commit is not None and snapshot_path(remote, commit).exists():
        return NamedModel(snapshot_path(remote, commit), str(remote.at(commit)))
    if catalogued(text):
        raise CheckpointError(
            f"{text}: was not fetched from the Hugging Face hub yet; run `user-itr models get "
            f"{text}`."
        )
    raise CheckpointError(
        f"{text}: no such folder, and no model of this name was fetched from the Hugging Face hub; "
        f"run `user-itr models get {text}`, or check the path."
    )


def _both(text: NamedModel, image: NamedModel) -> NamedModel:
    """The pair of two models."""
    return NamedModel(
        Path(f"{text.path}+{image.path}"),
        f"{text.recorded}+{image.recorded}",
        text.notice or image.notice,
    )


def announced_model(name: str | Path) -> NamedModel:
    """`resolve_model`, and its notice as a warning of this module's logger."""
    found = resolve_model(name)
    if found.notice is not None:
        logger.warning("%s", found.notice)
    return found


def known_name(text: str) -> HubName | None:
    """The name on the hub that a short name stands for, or a text is; None for anything else.

    The revision of a short name is left open: it is the one that was fetched.
    """
    if not text or text.startswith((".", "~")) or Path(text).is_absolute():
        return None
    from user_itr.hub.cache import hub_name
    from user_itr.hub.catalogue import catalogued

    chosen = catalogued(text)
    return hub_name(text) if chosen is None else chosen.source.at(None)


def recorded_name(name: str | Path) -> str:
    """`NamedModel.recorded` of a model; what is not on this machine stays as it is."""
    try:
        return resolve_model(name).recorded
    except CheckpointError:
        return str(name)


def _notice(text: str, path: Path, remote: HubName | None) -> str | None:
    if remote is None:
        return None
    from user_itr.hub.cache import MAIN, fetched_commit
    from user_itr.hub.catalogue import catalogued

    if fetched_commit(remote) is None and not catalogued(text):
        return None
    other = remote.at(remote.revision or MAIN)
    return (
        f"{text} is the folder {path.absolute()}, not the model {remote.repository} of the hub; "
        f"give {other} for that, or ./{text} to leave out this notice."
    )
