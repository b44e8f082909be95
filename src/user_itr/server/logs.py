"""What the server writes down about requests: nothing of what people search for, unless asked."""

from __future__ import annotations

import logging
import traceback
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl, quote, urlencode

LogLevel = Literal["errors", "requests", "queries"]
"""Failures alone; also a line a request, without its query string; also the query string."""

LEVELS: tuple[str, ...] = get_args(LogLevel)

LOGGER = logging.getLogger("user_itr.server")


def log_request(scope: Any, status: int, seconds: float, *, queries: bool) -> None:
    """Write a line about an answered request; the token is in none."""
    client = quote((scope.get("client") or ("-",))[0], safe=":.")
    place = quote(scope["path"])
    if queries and scope["query_string"]:
        given = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        place += "?" + urlencode([(name, value) for name, value in given if name != "token"])
    method = quote(scope["method"])
    LOGGER.info("%s %s %s %d %.0f ms", client, method, place, status, 1000 * seconds)


def log_failure(scope: Any, error: BaseException) -> None:
    """Write where a request failed: the calls, and no message, which may quote the request."""
    route = getattr(scope.get("route"), "path", "other")
    calls = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    LOGGER.error(
        "%s %s failed with %s:\n%s", quote(scope["method"]), route, type(error).__name__, calls
    )
