"""Counts the rows of a shared table again and again: python shared_reader.py URI DIM LAST.

Says "ready" once it has counted, and ends with a line of JSON, all counts in turn, when there are
LAST rows.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import numpy as np

from user_itr.search.location import location_of
from user_itr.search.store.lance import LanceStore


def counts_until(
    store: LanceStore, dim: int, last: int, ready: Callable[[], object]
) -> list[list[int]]:
    """Rows that a search finds, and distinct paths that a scan lists, until both are `last`."""
    query = np.eye(dim, dtype=np.float32)[0]
    seen: list[list[int]] = []
    while not seen or seen[-1] != [last, last]:
        found = store.nearest(query, 10 * last)
        listed = {row.path for row in store.files()}
        seen.append([len({hit.path for hit in found}), len(listed)])
        if len(seen) == 1:
            ready()
    return seen


if __name__ == "__main__":
    uri, dim, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    store = LanceStore(location_of(uri), "photos-1", "sentences-1", dim, create=False)
    print(json.dumps(counts_until(store, dim, last, lambda: print("ready", flush=True))))
