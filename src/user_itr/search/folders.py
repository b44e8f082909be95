"""The folder that a search is limited to, as the index has it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from user_itr.errors import ConfigError
from user_itr.search.filters import Filters, resolved
from user_itr.search.index import ImageIndex
from user_itr.search.names import as_on_disk, nearest, same_form

MOST_NAMED = 3
"""Folders of an index that a message names at most."""


def indexed_folder(index: ImageIndex, folder: Path) -> Path | None:
    """The folder by the name that the index has it under; None where it has no photo below.

    Unicode forms of a name are one name; where the index has several of them, the one that was
    given counts, or else the first.

    Raises:
        ConfigError: if the folder's path is invalid.
    """
    wanted = resolved(as_on_disk(folder))
    known = _with_parents(index.folders())
    if wanted in known:
        return wanted
    form = same_form(wanted)
    return min((one for one in known if same_form(one) == form), default=None)


def with_indexed_folder(index: ImageIndex, filters: Filters) -> Filters:
    """The same limits with the folder named as the index has it; see `indexed_folder`.

    Raises:
        ConfigError: if the folder is a file, or no photo that is indexed lies below it.
    """
    if filters.folder is None:
        return filters
    given = filters.folder
    place = resolved(as_on_disk(given))
    if place.is_file():
        raise ConfigError(
            f"{given}: is a file, a photo for instance; give its folder, {place.parent}."
        )
    found = indexed_folder(index, given)
    if found is None:
        raise ConfigError(
            f"{given}: the index {index.location} has no photos below this folder; "
            f"{_remedy(index, place)}"
        )
    return replace(filters, folder=found)


def _remedy(index: ImageIndex, place: Path) -> str:
    if close := nearest(place, _with_parents(index.folders())):
        return f"the nearest that it has is {close}."
    roots = sorted(str(root) for root in index.roots())
    if not roots:
        return "it is empty; add photos with `user-itr index PHOTOS`."
    more = f" and {len(roots) - MOST_NAMED} more" if len(roots) > MOST_NAMED else ""
    return f"it has those below {', '.join(roots[:MOST_NAMED])}{more}."


def _with_parents(folders: Iterable[str]) -> set[Path]:
    """Folders that hold photos, at any depth."""
    found: set[Path] = set()
    for folder in folders:
        path = Path(folder)
        while path not in found and os.fspath(path.parent) != os.fspath(path):
            found.add(path)
            path = path.parent
    return found
