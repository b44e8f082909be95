"""Lists of photos told which are favourites, and which are copies of one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from user_itr.search.duplicates import Seen, stacked
from user_itr.search.index import ImageIndex
from user_itr.search.store.base import PhotoStore
from user_itr.search.store.marks import PhotoMarks
from user_itr.server.schemas import FoundPhoto


def mark(index: ImageIndex, photos: Sequence[FoundPhoto]) -> None:
    """Say of photos in a list which are favourites and which are copies of an earlier one.

    An index on object storage knows nothing of either.
    """
    if index.location.shared or not photos:
        return
    ids = [photo.id for photo in photos]

    def read(store: PhotoStore) -> tuple[set[str], list[FoundPhoto], list[int]]:
        copies = store.copies()
        of_id = copies.contents(ids)
        known = [photo for photo in photos if photo.id in of_id]
        contents = [of_id[photo.id][0] for photo in known]
        seen = [Seen(photo.width, photo.height, of_id[photo.id][1]) for photo in known]
        numbers, vectors = copies.vectors(set(contents))
        firsts = stacked(contents, vectors[np.searchsorted(numbers, contents)], seen)
        return store.marks().among("favourites", ids), known, firsts

    favourites, known, firsts = index.ask(read)
    for place, (photo, first) in enumerate(zip(known, firsts, strict=True)):
        photo.favourite = photo.id in favourites
        photo.copy_of = None if first == place else known[first].id


def marks_of(index: ImageIndex, id: str) -> PhotoMarks:
    """What was added to a photo."""
    nothing = PhotoMarks(favourite=False, hidden=False, albums=())
    if index.location.shared:
        return nothing
    return index.ask(lambda store: store.marks().of([id])).get(id, nothing)
