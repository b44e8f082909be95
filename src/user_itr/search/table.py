"""The lock that a writer of an index holds."""

from __future__ import annotations

from contextlib import AbstractContextManager

from user_itr.search.location import Place, location_of


def write_lock(place: Place) -> AbstractContextManager[None]:
    """Hold an index for writing; the lock goes with the process, however it ends.

    Raises:
        IndexStoreError: if another process holds it.
    """
    return location_of(place).lock()
