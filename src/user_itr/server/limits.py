"""What the server takes on, in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass

MAX_RESULTS = 200
"""Photos of one answer."""

MAX_CHANGED = 10_000
"""Photos that one request puts into an album, hides, or makes favourites."""

MAX_ARCHIVE = 2_000
"""Photos of one zip file."""

MAX_OFFSET = 10_000
"""Photos that can be paged through."""

MAX_QUERY = 2_000
"""Characters of a query."""

MAX_TERMS = 32
"""Phrases of a query: each is a sentence for the model."""

MAX_WAITING = 4_096
"""Sentences that wait for the model; with more, the server says that it is busy."""

MAX_CONNECTIONS = 1_000
"""Connections at once; more are answered 503 without being read."""


MAX_CLIENT_CONNECTIONS = 200
"""Connections at once of one client; what it opens beyond that is closed."""

HEAD_SECONDS = 20.0
"""That the first line and the headers of a request may take to arrive."""

UPLOADS = 2
"""Uploaded pictures decoded at once."""

MAX_UPLOADS = 32
"""Uploaded pictures that are decoded or wait for it; with more, the server says that it is busy."""

UPLOAD_MEMORY = 3 << 30
"""Bytes of address space for a process that decodes an uploaded picture."""

THUMBNAILS = min(8, max(2, os.cpu_count() or 1))
"""Photos of the index decoded at once."""

THUMBNAIL_MEMORY = 8 << 30
"""Bytes of address space for a process that decodes a photo of the index: one of 268 million
pixels takes 1 GiB, and as much again while it is turned."""

THUMBNAIL_SECONDS = 120.0
"""That decoding a photo of the index may take."""


@dataclass(frozen=True)
class Limits:
    """Bounds on requests.

    Args:
        upload_bytes: of a request's body.
        upload_pixels: of an uploaded picture.
        decode_seconds: that decoding an uploaded picture may take.
        body_seconds: that a body may take to arrive.
        seconds: that encoding a query may take, waiting included.
        cache_bytes: of thumbnails kept on disk.
        requests_per_second: of one client in the long run; this machine itself is not counted.
        requests_burst: of one client at once: a page scrolled in haste asks for hundreds of
            thumbnails.
        guesses_per_second: wrong tokens of one client in the long run, whoever it is.
        guesses_burst: wrong tokens of one client at once.
    """

    upload_bytes: int = 20_000_000
    upload_pixels: int = 40_000_000
    decode_seconds: float = 15.0
    body_seconds: float = 60.0
    seconds: float = 30.0
    cache_bytes: int = 500_000_000
    requests_per_second: float = 100.0
    requests_burst: int = 2_000
    guesses_per_second: float = 0.1
    guesses_burst: int = 10
