"""The one writer of an index on object storage: an object that says who, and until when."""

from __future__ import annotations

import json
import os
import platform
import secrets
import threading
import time
from contextlib import suppress
from datetime import datetime, timezone
from typing import Protocol

from user_itr.errors import IndexBusyError, IndexStoreError
from user_itr.files import parse_json

LEASE_SECONDS = 60.0
"""How long a writer that does not renew its lease keeps it."""

RENEWALS = 4
"""Times that a lease is renewed while it lasts: a few of these may fail."""

SKEW_SECONDS = 15.0
"""How far the clocks of two machines may be apart."""


class ConditionalStore(Protocol):
    """What a lease asks of a store; tags change with the contents."""

    def read_tagged(self, name: str) -> tuple[bytes, str]:
        """Content and tag of an object."""
        ...

    def create(self, name: str, content: bytes) -> str | None:
        """Write an object that is not there yet: its tag, or None."""
        ...

    def exchange(self, name: str, content: bytes, tag: str) -> str | None:
        """Replace an object that still has this tag: its new tag, or None."""
        ...


class Lease:
    """The right to write, held by one process at a time and renewed by a thread of its own.

    The object stays when the lease is given back, marked as free.

    Args:
        store: with conditional writes, as S3 has them since 2024 (If-None-Match, If-Match).
        name: of the object.
        seconds: that it lasts without being renewed.
    """

    def __init__(self, store: ConditionalStore, name: str, seconds: float | None = None) -> None:
        self.store = store
        self.name = name
        self.seconds = LEASE_SECONDS if seconds is None else seconds
        self._holder = {
            "host": platform.node(),
            "process": os.getpid(),
            "token": secrets.token_hex(8),
            "acquired": _iso(time.time()),
        }
        self._tag: str | None = None
        self._until = 0.0
        self._done = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="lease", daemon=True)

    def acquire(self) -> None:
        """Take the lease: where nobody has it, or it was given back, or it ran out.

        Raises:
            IndexBusyError: if another process holds it.
            IndexStoreError: if the store cannot be trusted with it.
        """
        started = time.monotonic()
        content = self._content()
        self._tag = self.store.create(self.name, content)
        if self._tag is None:
            found, tag = self.store.read_tagged(self.name)
            self._refuse_if_held(found)
            # None where a third process was quicker
            self._tag = (
                tag if self._is_ours(found) else self.store.exchange(self.name, content, tag)
            )
        if self._tag is None:
            self._refuse_if_held(self.store.read_tagged(self.name)[0])
            raise IndexBusyError(f"{self.store}: another process was quicker; try again.")
        self._require_conditions(content)
        self._until = started + self.seconds
        self._keeper.start()

    def require(self) -> None:
        """Make sure that the lease is still this process's.

        Raises:
            IndexStoreError: if it ran out: another process may have taken it over.
        """
        if self._tag is None or time.monotonic() > self._until:
            raise IndexStoreError(
                f"{self.store}: this process could not renew its right to write in time, and "
                "another may be writing now; run the command again, it goes on where it stopped."
            )

    def renew(self) -> None:
        """Make the lease last from now on; the one of a process that lost it stays lost."""
        if self._tag is None:
            return
        started = time.monotonic()
        content = self._content()
        tag = self.store.exchange(self.name, content, self._tag)
        if tag is None:  # or the answer to an earlier renewal was lost on its way
            found, tag = self.store.read_tagged(self.name)
            if not self._is_ours(found):
                self._tag = None
                return
        self._tag = tag
        self._until = started + self.seconds

    def release(self) -> None:
        """Give the lease back; where the store does not answer, it runs out by itself."""
        self._done.set()
        if self._keeper.ident is not None:
            self._keeper.join(timeout=5)
        if self._tag is not None:
            with suppress(IndexStoreError, OSError):
                self.store.exchange(self.name, self._content(released=True), self._tag)
            self._tag = None

    def _keep(self) -> None:
        while not self._done.wait(self.seconds / RENEWALS):
            with suppress(IndexStoreError, OSError):  # `require` looks at the clock
                self.renew()

    def _content(self, *, released: bool = False) -> bytes:
        expires = 0.0 if released else time.time() + self.seconds
        nonce = secrets.token_hex(4)  # tags are of contents: no two are equal
        return json.dumps({**self._holder, "expires": expires, "nonce": nonce}).encode()

    def _is_ours(self, content: bytes) -> bool:
        return _fields(content).get("token") == self._holder["token"]

    def _refuse_if_held(self, content: bytes) -> None:
        found = _fields(content)
        expires = found.get("expires")
        if not isinstance(expires, int | float):
            raise IndexStoreError(
                f"{self.store}: {self.name} is damaged; make sure that nobody writes to the index, "
                "and delete it."
            )
        if self._is_ours(content) or time.time() > expires + (SKEW_SECONDS if expires else 0):
            return
        raise IndexBusyError(
            f"{self.store}: another process is writing to the index ({found.get('host')}, process "
            f"{found.get('process')}); wait until it is done. Should it have died, its lock runs "
            f"out at {_iso(expires + SKEW_SECONDS)}."
        )

    def _require_conditions(self, content: bytes) -> None:
        """A store that ignores conditions would let two processes write; one try of each kind."""
        kept = self.store.create(self.name, content) is None
        if kept and self.store.exchange(self.name, content, '"0"') is None:
            return
        raise IndexStoreError(
            f"{self.store}: the store ignores conditional writes (If-None-Match, If-Match), which "
            "keep writers apart; use one that has them, or index in a folder."
        )


def _fields(content: bytes) -> dict[str, object]:
    try:
        found = parse_json(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
