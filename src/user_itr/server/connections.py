"""Connections: so many of one client, and only for so long until it asks for something."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from user_itr.server.limits import HEAD_SECONDS, MAX_CLIENT_CONNECTIONS
from user_itr.server.origins import Network, is_trusted
from user_itr.server.rates import client_name

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as HttpProtocol
else:  # the one of httptools, where that is installed
    from uvicorn.protocols.http.auto import AutoHTTPProtocol as HttpProtocol


def bounded_protocol(
    proxies: Sequence[Network] = (),
    *,
    most: int = MAX_CLIENT_CONNECTIONS,
    head_seconds: float = HEAD_SECONDS,
) -> type[asyncio.Protocol]:
    """uvicorn's HTTP protocol with bounds on each client; for `uvicorn.Config(http=...)`.

    Args:
        proxies: whose connections are not counted: they carry those of many.
        most: connections of one client at once, of this machine's programs together too.
        head_seconds: that the headers of a request may take to arrive.
    """
    held: Counter[str] = Counter()

    class BoundedProtocol(HttpProtocol):
        _counted: str | None = None
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(  # type: ignore[override]
            self, transport: asyncio.Transport
        ) -> None:
            super().connection_made(transport)
            peer = (transport.get_extra_info("peername") or ("",))[0]
            if not is_trusted(peer, proxies):
                self._counted = client_name(peer)
                held[self._counted] += 1
                if held[self._counted] > most:
                    transport.abort()
                    return
            self._wait_for_head()

        def data_received(self, data: bytes) -> None:
            if self._deadline is None and self._asks_for_nothing():
                self._wait_for_head()
            super().data_received(data)
            if self._deadline is not None and not self._asks_for_nothing():
                self._deadline.cancel()
                self._deadline = None

        def connection_lost(self, exc: Exception | None) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
            if self._counted is not None:
                held[self._counted] -= 1
                if held[self._counted] <= 0:
                    del held[self._counted]
                self._counted = None
            super().connection_lost(exc)

        def _wait_for_head(self) -> None:
            self._deadline = self.loop.call_later(head_seconds, self.transport.abort)

        def _asks_for_nothing(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

    return BoundedProtocol
