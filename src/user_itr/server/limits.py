"""What the server takes on, in one place."""

from __future__ import annotations

from dataclasses import dataclass

MAX_RESULTS = 200
"""Photos of one answer."""

MAX_OFFSET = 10_000
"""Photos that can be paged through."""

MAX_QUERY = 2_000
"""Characters of a query."""


@dataclass(frozen=True)
class Limits:
    """Bounds on requests.

    Args:
        upload_bytes: of a request's body.
        upload_pixels: of an uploaded picture.
        seconds: that encoding a query may take, waiting included.
        cache_bytes: of thumbnails kept on disk.
    """

    upload_bytes: int = 20_000_000
    upload_pixels: int = 100_000_000
    seconds: float = 30.0
    cache_bytes: int = 500_000_000
