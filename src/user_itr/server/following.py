"""A server that goes over to a rebuild of its index by another model, without being started again.

The application belongs to one model: its embeddings, its queries, its cache. So a rebuild gets an
application of its own, and the one before ends with its last request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.types import Message, Receive, Scope, Send

from user_itr.errors import IndexStoreError, UserItrError
from user_itr.search.location import Location
from user_itr.search.manifest import Manifest

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How often it looks whether another model made the index again, at most."""

FAILED = 503
"""What an application answers whose index is another model's now."""


class _Running:
    """An application between its start and its last request."""

    def __init__(self, app: FastAPI, fingerprint: str) -> None:
        self.app, self.fingerprint = app, fingerprint
        self.requests = 0
        self.retired = False
        self._lifespan: AbstractAsyncContextManager[object] = app.router.lifespan_context(app)

    async def start(self) -> None:
        await self._lifespan.__aenter__()

    async def end(self) -> None:
        await self._lifespan.__aexit__(None, None, None)


class FollowingApp:
    """The page and the interface over an index, whichever model makes it.

    A request that comes while the next model is loaded waits for it where the index can no longer
    be searched by the one before, and is answered by that one where it can.

    Args:
        location: of the index.
        fingerprint: of the model of `app`.
        app: of `create_app`.
        make: gives the application of the model that makes the index now, and its fingerprint.
    """

    def __init__(
        self,
        location: Location,
        fingerprint: str,
        app: FastAPI,
        make: Callable[[], tuple[FastAPI, str]],
    ) -> None:
        self._location, self._make = location, make
        self._current = _Running(app, fingerprint)
        self._look_again = 0.0
        self._changing = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or start and end with the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        await self._look()
        again = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if not await self._answered(scope, receive, send, held=again):
            await self._answered(scope, receive, send, held=False)

    async def _answered(self, scope: Scope, receive: Receive, send: Send, held: bool) -> bool:
        """Have a request answered; False where it is to be asked again, of another application.

        Args:
            held: a failure is not sent where another model has made the index.
        """
        running = self._current
        failed = False

        async def passed_on(message: Message) -> None:
            nonlocal failed
            if held and message["type"] == "http.response.start" and message["status"] == FAILED:
                await self._look(now=True)
                failed = self._current is not running
            if not failed:
                await send(message)

        running.requests += 1
        try:
            await running.app(scope, receive, passed_on)
        finally:
            running.requests -= 1
            if running.retired and not running.requests:
                await running.end()
        return not failed

    async def _look(self, *, now: bool = False) -> None:
        """Go over to another model's application, if that made the index."""
        if not now and time.monotonic() < self._look_again:
            return
        self._look_again = time.monotonic() + LOOK_SECONDS
        with suppress(IndexStoreError):  # an index that is gone: said by what reads it
            manifest = await run_in_threadpool(Manifest.read, self._location)
            if manifest.fingerprint != self._current.fingerprint:
                await self._change(manifest)

    async def _change(self, manifest: Manifest) -> None:
        async with self._changing:
            before = self._current
            if manifest.fingerprint == before.fingerprint:  # another request has done it
                return
            try:
                app, fingerprint = await run_in_threadpool(self._make)
            except UserItrError as error:
                logger.warning("the index's new model cannot be loaded: %s", error)
                return
            following = _Running(app, fingerprint)
            await following.start()
            self._current = following
            before.retired = True
            logger.warning(
                "the index was made again by %s, which answers now", manifest.description
            )
            if not before.requests:
                await before.end()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._current.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._current.end()
        await send({"type": "lifespan.shutdown.complete"})
