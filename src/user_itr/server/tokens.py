"""The token that lets in: where it is given, in the cookie that keeps it, and guesses at it."""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from urllib.parse import parse_qs, parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.types import Scope

from user_itr.server.limits import Limits
from user_itr.server.rates import RateLimit

COOKIE = "user_itr_token"

MOST_COOKIES = 3
"""Cookies of our name that one request may have: a browser has one a path. Each is a guess."""

WRONG = 10_000
"""Wrong tokens that are remembered; those longest unused are forgotten first."""


def cookie_name(scope: Scope) -> str:
    """The cookie's name: with the port, since cookies of one host are sent to all of its ports."""
    port = (scope.get("server") or ("", None))[1]
    return COOKIE if port is None else f"{COOKIE}_{port}"


def cookie_of(scope: Scope, token: str) -> str:
    """The cookie that keeps a token for the page and what is below it."""
    path = f"{scope.get('root_path', '')}/"
    cookie = f"{cookie_name(scope)}={token}; HttpOnly; SameSite=Strict; Path={path}"
    # over HTTPS, as a trusted proxy says
    return cookie + ("; Secure" if scope.get("scheme") == "https" else "")


def tokens_of(scope: Scope) -> list[str]:
    """The tokens that a request bears, in its header or its cookies; none where it bears none."""
    headers = Headers(scope=scope)
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return [value.strip()] if value.strip() else []
    wanted = cookie_name(scope)
    found = []
    for cookie in ";".join(headers.getlist("cookie")).split(";"):  # odd ones are for others
        name, _, value = cookie.partition("=")
        if name.strip() == wanted and value.strip():
            found.append(value.strip().strip('"'))
    return found[:MOST_COOKIES]


def token_in_address(scope: Scope) -> list[str]:
    """The token in the address of the page."""
    return parse_qs(scope["query_string"].decode("latin-1")).get("token", [])[:1]


def without_token(scope: Scope) -> str:
    """The address of the page, from the root of the host on, without the token."""
    given = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    rest = urlencode([(name, value) for name, value in given if name != "token"])
    return f"{scope.get('root_path', '')}/" + (f"?{rest}" if rest else "")


class Tokens:
    """Compares tokens, and counts the wrong ones.

    A wrong token counts once, however often it is sent: a browser that still has the token of
    yesterday sends it with each of hundreds of thumbnails, and guesses nothing.

    Args:
        token: the right one.
        limits: on guesses.
    """

    def __init__(self, token: str, limits: Limits) -> None:
        self.token = token
        self.guesses = RateLimit(limits.guesses_per_second, limits.guesses_burst)
        self._wrong: OrderedDict[bytes, None] = OrderedDict()

    def is_right(self, given: str) -> bool:
        """Whether it is the token, compared in constant time."""
        return hmac.compare_digest(
            given.encode("utf-8", "surrogateescape"), self.token.encode("utf-8")
        )

    def wait(self, client: str) -> float:
        """Seconds until a client may give a token again: too many were wrong."""
        return self.guesses.wait(client)

    def refused(self, client: str, given: str) -> None:
        """Remember a wrong token."""
        seen = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        if seen not in self._wrong:
            self.guesses.take(client)
        self._wrong[seen] = None
        self._wrong.move_to_end(seen)
        if len(self._wrong) > WRONG:
            self._wrong.popitem(last=False)
