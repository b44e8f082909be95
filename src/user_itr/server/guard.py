"""Who is answered, and with which headers: the outermost layer of the server."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from user_itr.server.limits import Limits
from user_itr.server.logs import LogLevel, log_failure, log_request
from user_itr.server.metrics import Metrics
from user_itr.server.origins import Network, apply_forwarded, apply_root, is_foreign, is_trusted
from user_itr.server.rates import RateLimit, client_name
from user_itr.server.sending import ASKED_FOR_HEAD
from user_itr.server.tokens import Tokens, cookie_of, token_in_address, tokens_of, without_token

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
OPEN_PATHS = ("/", "/healthz")
"""Answered without the token: the bare page says how to get in, and holds nothing of the index."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
"""Methods that are counted by name; a client can invent any number of others."""

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
    """Checks Host, site, rate, token, size and time of every request; adds safe headers; counts.

    Args:
        app: what it guards.
        token: that requests must bear; None lets everybody in who reaches the server.
        hosts: names that the Host header may have, against pages of other sites that had
            their name point here; None takes every name.
        limits: on requests.
        metrics: where requests are counted.
        log: what is written down; see `LogLevel`.
        proxies: networks of proxies that are believed whom they ask for.
        root: sub-path that the server is below, as in /photos; empty for none.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None,
        hosts: Sequence[str] | None,
        limits: Limits,
        metrics: Metrics,
        log: LogLevel = "errors",
        proxies: Sequence[Network] = (),
        root: str = "",
    ) -> None:
        self.app = app
        self.tokens = None if token is None else Tokens(token, limits)
        self.proxies = proxies
        self.root = root
        self.hosts = hosts
        self.limits = limits
        self.metrics = metrics
        self.log = log
        self.requests = RateLimit(limits.requests_per_second, limits.requests_burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0
        method = scope["method"]
        by_proxy = is_trusted((scope.get("client") or ("",))[0], self.proxies)
        of_this_machine = apply_forwarded(scope, self.proxies)
        apply_root(scope, self.root)

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            elif method == "HEAD" and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            if is_foreign(scope, by_proxy):
                await refuse(send_safely, 403, "another site's page may not use this server.")
            else:
                if method == "HEAD":  # every route that is read answers it as a GET
                    scope["method"], scope[ASKED_FOR_HEAD] = "GET", True
                await self._answer(scope, receive, send_safely, of_this_machine)
        except Exception as error:
            log_failure(scope, error)
            if status:  # half an answer is out: only cutting the connection tells of it
                raise
            await refuse(send_safely, 500, "the server failed to answer this; its log says where.")
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "other")
            scope["method"] = method
            counted = method if method in METHODS else "other"
            self.metrics.seen(counted, route, status or 500, seconds)
            if self.log != "errors":
                log_request(scope, status or 500, seconds, queries=self.log == "queries")

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, of_this_machine: bool
    ) -> None:
        headers = Headers(scope=scope)
        if self.hosts is not None and _host_name(headers.get("host", "")) not in self.hosts:
            await refuse(send, 400, "this server does not go by that name; use http://127.0.0.1.")
            return
        client = client_name((scope.get("client") or ("",))[0])
        if not of_this_machine and (wait := self.requests.take(client)):
            await _slow_down(send, "too many requests", wait)
            return
        if self.tokens is not None and not await self._let_in(self.tokens, scope, client, send):
            return
        length = headers.get("content-length", "0")
        if not (
            length.isdecimal() and len(length) < 20 and int(length) <= self.limits.upload_bytes
        ):
            await self._too_large(send)
            return
        await self._within_limits(scope, receive, send)

    async def _let_in(self, tokens: Tokens, scope: Scope, client: str, send: Send) -> bool:
        """Whether the request may pass; where it may not, it is answered here.

        A client that guessed wrong too often has to wait even with the right token: otherwise it
        could go on guessing. Who gives no token does not guess.
        """
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        page = path == "/"
        given = [one for one in (token_in_address if page else tokens_of)(scope) if one]
        public = path in OPEN_PATHS or path.startswith("/static/")
        if given and (page or not public):
            if wait := tokens.wait(client):
                await _slow_down(send, "too many wrong tokens", wait)
                return False
            if any(map(tokens.is_right, given)):
                if page:
                    await _remember(tokens, scope, send)
                return not page
            for one in given:
                tokens.refused(client, one)
        if not public:
            await refuse(send, 401, "a token is needed; open the address that holds it.")
        return public

    async def _within_limits(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and cut it off where its body is too large or too slow."""
        most, taken, complete, late, refused = self.limits.upload_bytes, 0, False, False, False
        deadline = time.monotonic() + self.limits.body_seconds

        async def receive_some() -> Message:
            nonlocal taken, complete, late
            if complete:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0, deadline - time.monotonic()))
            except asyncio.TimeoutError:
                late = True
                return {"type": "http.disconnect"}
            taken += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            return message if taken <= most else {"type": "http.disconnect"}

        async def send_unless_cut_off(message: Message) -> None:
            if taken <= most and not late:
                await send(message)
            else:
                await cut_off()

        async def cut_off() -> None:
            nonlocal refused
            if refused:
                return
            refused = True
            if late:
                await refuse(send, 408, "the upload takes too long; send a smaller picture.")
            else:
                await self._too_large(send)

        try:
            await self.app(scope, receive_some, send_unless_cut_off)
        except Exception:
            if taken <= most and not late:
                raise
            await cut_off()

    async def _too_large(self, send: Send) -> None:
        limit = f"{self.limits.upload_bytes / 1e6:g} MB"
        await refuse(send, 413, f"the upload is over the limit of {limit}; send a smaller picture.")


async def _remember(tokens: Tokens, scope: Scope, send: Send) -> None:
    """Have the browser keep the token, and go to the same page without it in the address."""
    headers = [
        (b"location", without_token(scope).encode()),
        (b"set-cookie", cookie_of(scope, tokens.token).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def refuse(send: Send, status: int, sentence: str, **fields: str) -> None:
    """Send an error as the interface does: {"error": sentence}; `fields` are further headers."""
    body = json.dumps({"error": sentence}).encode()
    headers: list[Any] = [(b"content-type", b"application/json"), (b"connection", b"close")]
    headers += [(name.replace("_", "-").encode(), text.encode()) for name, text in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _slow_down(send: Send, what: str, wait: float) -> None:
    seconds = math.ceil(wait)
    sentence = f"{what}; try again in {seconds} s."
    await refuse(send, 429, sentence, retry_after=str(seconds))


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
