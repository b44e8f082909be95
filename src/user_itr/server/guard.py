"""Who is answered, and with which headers: the outermost layer of the server."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from user_itr.server.metrics import Metrics

COOKIE = "user_itr_token"
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
OPEN_PATHS = ("/", "/healthz")
"""Answered without the token: the bare page says how to get in, and holds nothing of the index."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Checks Host, token and size of every request; adds safe headers; counts.

    Args:
        app: what it guards.
        token: that requests must bear; None lets everybody in who reaches the server.
        hosts: names that the Host header may have, against pages of other sites that had
            their name point here; None takes every name.
        most_bytes: of a request's body.
        metrics: where requests are counted.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None,
        hosts: Sequence[str] | None,
        most_bytes: int,
        metrics: Metrics,
    ) -> None:
        self.app = app
        self.token = token
        self.hosts = hosts
        self.most_bytes = most_bytes
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        try:
            await self._answer(scope, receive, send_safely)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.seen(scope["method"], route, status, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if self.hosts is not None and _host_name(headers.get("host", "")) not in self.hosts:
            await refuse(send, 400, "this server does not go by that name; use http://127.0.0.1.")
            return
        if self.token is not None:
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if scope["path"] == "/" and given and self._is_token(given):
                await self._remember(send)
                return
            public = scope["path"] in OPEN_PATHS or scope["path"].startswith("/static/")
            if not public and not self._is_token(_token_of(headers)):
                await refuse(send, 401, "a token is needed; open the address that holds it.")
                return
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.most_bytes:
            await self._too_large(send)
            return
        await self._within_size(scope, receive, send)

    async def _within_size(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and cut it off where its body is larger than it may be."""
        taken = 0
        refused = False

        async def receive_some() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.most_bytes:
                return {"type": "http.disconnect"}
            return message

        async def send_unless_cut_off(message: Message) -> None:
            nonlocal refused
            if taken <= self.most_bytes:
                await send(message)
            elif not refused:
                refused = True
                await self._too_large(send)

        try:
            await self.app(scope, receive_some, send_unless_cut_off)
        except Exception:
            if taken <= self.most_bytes:
                raise
            if not refused:
                await self._too_large(send)

    async def _too_large(self, send: Send) -> None:
        limit = f"{self.most_bytes / 1e6:g} MB"
        await refuse(send, 413, f"the upload is over the limit of {limit}; send a smaller picture.")

    def _is_token(self, given: str) -> bool:
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())

    async def _remember(self, send: Send) -> None:
        cookie = f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/"
        headers = [(b"location", b"/"), (b"set-cookie", cookie.encode())]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


async def refuse(send: Send, status: int, sentence: str) -> None:
    """Send an error as the interface does: {"error": sentence}."""
    body = json.dumps({"error": sentence}).encode()
    headers: list[Any] = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _token_of(headers: Headers) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    cookie: SimpleCookie = SimpleCookie()
    try:
        cookie.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookie[COOKIE].value if COOKIE in cookie else ""
