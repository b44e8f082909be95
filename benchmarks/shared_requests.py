"""Requests that an index in a bucket makes of the object store: opening, searching, committing.

    python benchmarks/shared_requests.py --rows 20000 --width 128

The store is moto's server on this machine, whose log is counted: numbers of requests, not times.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bucket_index import filled, found, ivf_pq, opened, vectors
from user_itr.search.store.base import ContentRow, FileRow, FileState
from user_itr.search.store.lance import LanceStore
from user_itr.search.table import write_lock

PLACE = "s3://bench/index"


class Requests:
    """Counts what the server logs."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.seen = 0

    def of(self, name: str, work: Callable[[], object]) -> None:
        self._new()
        work()
        counts = self._new()
        print(
            f"{name:34} " + ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        )

    def _new(self) -> Counter[str]:
        time.sleep(0.3)  # the log is written after the answer
        lines = self.log.read_text().splitlines()
        fresh, self.seen = lines[self.seen :], len(lines)
        calls = re.findall(r'"(\S+) (\S+) HTTP', "\n".join(fresh))
        return Counter("LIST" if "list-type" in path else verb for verb, path in calls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=128)
    options = parser.parse_args()
    with tempfile.NamedTemporaryFile("w", suffix=".log") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            measure(options, Path(log.name))
        finally:
            server.terminate()
            server.wait()


def measure(options: argparse.Namespace, log: Path) -> None:
    while not (started := re.search(r"Running on (http://\S+)", log.read_text())):
        time.sleep(0.1)
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": started[1],
    }
    urllib.request.urlopen(urllib.request.Request(f"{started[1]}/bench", method="PUT")).close()
    centres = vectors(np.zeros((1, options.width), np.float32), 1, 200)
    queries = vectors(centres, 2**40, 10)
    writer = filled(PLACE, centres, 0, options.rows)
    writer._table.create_index("embedding", config=ivf_pq(options.rows, options.width))
    requests = Requests(log)
    readers: list[LanceStore] = []
    requests.of(
        "open",
        lambda: readers.append(opened(PLACE, options.width)),
    )
    table = readers[0]
    requests.of("first query, IVF-PQ", lambda: found(table, queries[0]))
    for number in (1, 2, 3):
        requests.of("a later query, IVF-PQ", lambda: found(table, queries[number]))  # noqa: B023
    requests.of("look for a newer version", lambda: len(table))
    requests.of("a later query, exact", lambda: found(table, queries[4], exact=True))

    def commit() -> None:
        with write_lock(PLACE):
            more = len(table)
            files, contents = [], []
            for row, vector in enumerate(vectors(centres, more, 512)):
                hash = f"{row:032x}"
                files.append(FileRow(f"/more/{row}", "/more", FileState(1, 1), hash))
                contents.append(ContentRow(hash, 1, None, 1, 1, vector))
            writer.write(files, contents)

    requests.of("commit of 512 rows, with the lock", commit)
    requests.of("the first query after it", lambda: (len(table), found(table, queries[5])))


if __name__ == "__main__":
    main()
