"""Removing photos from an index for good, whether their files are there or not."""

from __future__ import annotations

import os
from pathlib import Path

from user_itr.errors import IndexStoreError
from user_itr.search.names import nearest, same_form
from user_itr.search.places import absolute
from user_itr.search.store.base import PhotoStore


def forget(store: PhotoStore, path: str | Path) -> int:
    """Remove a photo, or all photos below a folder; returns how many there were.

    Args:
        store: of the index, whose lock this process has.
        path: of a photo, a folder or a root; it need not be there any more.

    Raises:
        IndexStoreError: if the index has nothing from there; the nearest folder it has is named.
    """
    whole = str(absolute(path))
    as_given = str(Path(path).expanduser().absolute())  # a link that was, or the other form
    known = [row.path for row in store.files()]
    for wanted, form in ((whole, str), (as_given, str), (whole, same_form)):
        name = form(wanted)
        prefix = os.path.join(name, "")  # noqa: PTH118
        found = [one for one in known if form(one) == name or form(one).startswith(prefix)]
        if found:
            removed = store.remove(found)
            store.finish()
            return removed
    raise IndexStoreError(f"{whole}: the index has no photos from there{_nearest(store, whole)}.")


def _nearest(store: PhotoStore, path: str) -> str:
    places = [Path(place) for place in (*store.roots(), *store.folders())]
    if not places:
        return ", nor any others"
    near = nearest(Path(path), places)
    if near is not None:
        return f"; the nearest folder that it has is {near}"
    return f"; the first folder that it has is {min(places)}"
