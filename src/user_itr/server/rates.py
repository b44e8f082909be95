"""How often a client may ask: token buckets, one a client."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

CLIENTS = 10_000
"""Clients that are remembered; those longest silent are forgotten first."""


class RateLimit:
    """Each client has a bucket of `burst` requests that fills up again by `per_second`.

    Args:
        per_second: requests a second in the long run.
        burst: requests at once.
        clock: seconds that only grow.
    """

    def __init__(
        self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.per_second = per_second
        self.burst = burst
        self.clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """Seconds until the client may ask again; 0 where it may now."""
        return max(0.0, 1 - self._level(client)) / self.per_second

    def take(self, client: str) -> float:
        """`wait`, and count a request that need not."""
        level = self._level(client)
        if level < 1:
            return (1 - level) / self.per_second
        self._buckets[client] = (level - 1, self.clock())
        self._buckets.move_to_end(client)
        if len(self._buckets) > CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0

    def _level(self, client: str) -> float:
        level, then = self._buckets.get(client, (self.burst, 0.0))
        return min(self.burst, level + (self.clock() - then) * self.per_second)


def client_name(address: str) -> str:
    """Who asks, from the peer's address: of IPv6 the /64, which one household has whole."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
    return address


def is_loopback(address: str) -> bool:
    """Whether a request with this peer address comes from this machine."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return parsed.is_loopback or (mapped is not None and mapped.is_loopback)
