"""Answers that a browser may keep, after RFC 9110: conditions, parts of files, HEAD."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from email.utils import formatdate, parsedate_to_datetime
from typing import BinaryIO, Literal
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

CHUNK = 1 << 18
"""Bytes of a file that are read at a time."""

_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*", re.IGNORECASE)
_MOST_DIGITS = 18
_NOT_PLAIN = re.compile(r"[^ !#$&'()+,\-.0-9;=@A-Z\[\]^_`a-z{}~]")
"""What a quoted name may not hold, or programs read in more than one way, such as % and \\."""

ASKED_FOR_HEAD = "user_itr.head"
"""Key of the scope: the request was a HEAD that is answered as a GET, without the content."""


def failed_condition(asked: Headers, tag: str, modified: float | None = None) -> int | None:
    """The status of a GET whose conditions fail: 304 or 412; None where they hold.

    RFC 9110, section 13.2.2, steps 1 to 4.

    Args:
        asked: headers of the request.
        tag: strong entity tag of what would be sent, quoted.
        modified: when that was last changed, in seconds since 1970; None where it has no date.
    """
    if (match := _all(asked, "if-match")) is not None:
        if match.strip() != "*" and ("", tag) not in _TAG.findall(match):
            return 412
    elif _older(asked.get("if-unmodified-since"), modified):
        return 412
    if (none := _all(asked, "if-none-match")) is not None:
        known = none.strip() == "*" or tag in [strong for _, strong in _TAG.findall(none)]
        return 304 if known else None
    since = asked.get("if-modified-since")
    if since is not None and modified is not None and _older(since, modified) is False:
        return 304
    return None


class FileAnswer(Response):
    """A file that is open already, whole or the part that a request asks for; closed at the end.

    Args:
        file: to send.
        size: its bytes when it was opened. Where it is shorter now, the connection is cut.
        media_type: of it.
        name: for who saves it.
        tag: its strong entity tag, quoted.
        modified: when it was last changed, in seconds since 1970.
        headers: further ones.
        kind: whether a browser shows the file, or saves it.
    """

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        media_type: str,
        name: str,
        tag: str,
        modified: float,
        headers: Mapping[str, str],
        kind: Literal["inline", "attachment"] = "inline",
    ) -> None:
        self.file = file
        self.size = size
        self.tag = tag
        self.modified = modified
        super().__init__(None, 200, headers, media_type)
        self.headers.update(
            {
                "accept-ranges": "bytes",
                "etag": tag,
                "last-modified": formatdate(modified, usegmt=True),
                "content-disposition": disposition(kind, name),
            }
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            start, end = self._prepare(Headers(scope=scope))
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            if scope.get(ASKED_FOR_HEAD):
                end = start
            while start < end:
                content = await run_in_threadpool(self._read, start, min(CHUNK, end - start))
                if not content:
                    raise OSError("the file became shorter while it was sent")
                start += len(content)
                await send({"type": "http.response.body", "body": content, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self.file.close()

    def _prepare(self, asked: Headers) -> tuple[int, int]:
        """The part to send, from one byte up to another; sets the status and the headers."""
        failed = failed_condition(asked, self.tag, self.modified)
        if failed is not None:
            self.status_code = failed
            if "content-length" in self.headers:
                del self.headers["content-length"]
            return 0, 0
        part = self._part(asked)
        if part is None:
            start, end = 0, self.size
        elif part[0] >= min(part[1], self.size):
            self.status_code = 416
            self.headers["content-range"] = f"bytes */{self.size}"
            start = end = 0
        else:
            self.status_code = 206
            start, end = part
            self.headers["content-range"] = f"bytes {start}-{end - 1}/{self.size}"
        self.headers["content-length"] = str(end - start)
        return start, end

    def _part(self, asked: Headers) -> tuple[int, int] | None:
        """The one range that is asked for; None where all is to be sent."""
        given = _RANGE.fullmatch(asked.get("range", ""))
        if given is None or not any(given.groups()) or len(given[0]) > 2 * _MOST_DIGITS:
            return None
        condition = asked.get("if-range")
        if condition is not None and condition.strip() not in (
            self.tag,
            self.headers["last-modified"],
        ):
            return None
        first, last = given.groups()
        if not first:
            return max(0, self.size - int(last)), self.size if int(last) else 0
        if last and int(last) < int(first):
            return None
        return int(first), min(self.size, int(last) + 1) if last else self.size

    def _read(self, start: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self.file.fileno(), count, start)
        self.file.seek(start)
        return self.file.read(count)


def _all(asked: Headers, name: str) -> str | None:
    given = asked.getlist(name)
    return ",".join(given) if given else None


def _older(date: str | None, modified: float | None) -> bool | None:
    """Whether what was changed at `modified` is newer than an HTTP date; None without a date."""
    if date is None or modified is None:
        return None
    try:
        return int(modified) > parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def disposition(kind: Literal["inline", "attachment"], name: str) -> str:
    """The value of Content-Disposition, after RFC 6266 and 8187.

    Args:
        kind: whether a browser shows the content, or saves it.
        name: of the file; programs that read no other than ASCII get "_" for what is not.
    """
    plain = _NOT_PLAIN.sub("_", name)
    if plain == name:
        return f'{kind}; filename="{name}"'
    quoted = quote(name.encode("utf-8", "replace"), safe="")
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quoted}"
