"""Seconds of the named parts of a step, by wrapping the methods that do them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Parts:
    """Seconds of each part. Work on the CPU is over when a call returns, so this needs no more.

    Args:
        clock: tells seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = self.clock()
        try:
            yield
        finally:
            self.seconds[name] += self.clock() - started

    def wrap(self, owner: Any, method: str, name: str) -> None:
        """Count every call of a method of one object."""
        plain: Callable[..., Any] = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return plain(*args, **kwargs)

        setattr(owner, method, timed)

    def wrap_iterator(self, owner: Any, method: str, name: str) -> None:
        """Count what a method's iterator takes for each item."""
        plain: Callable[..., Iterator[Any]] = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Iterator[Any]:
            items = plain(*args, **kwargs)
            while True:
                with self.part(name):
                    item = next(items, None)
                if item is None:
                    return
                yield item

        setattr(owner, method, timed)
