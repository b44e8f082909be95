"""Queries to embeddings while many ask at once: gathered into batches, one thread, a cache."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from user_itr.errors import UserItrError
from user_itr.search.encoder import Encoder
from user_itr.server.limits import MAX_WAITING

GATHER_SECONDS = 0.003
"""How long the first sentence of a batch waits for others."""

MOST = 64
"""Sentences of a batch."""

CACHED = 4_096
"""Sentences whose embeddings are kept."""


class BusyError(UserItrError):
    """The server could not encode a query in time, or others wait already."""

    def __init__(self) -> None:
        super().__init__("the server is busy; try again in a moment.")


class QueryEncoder:
    """Encodes sentences and pictures on one thread of its own.

    Args:
        encoder: the model.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._cache: OrderedDict[str, np.ndarray] = OrderedDict()
        self._asked: dict[str, asyncio.Future[np.ndarray]] = {}
        self._queue: list[str] = []
        self._draining: asyncio.Task[None] | None = None

    async def sentences(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The (D,) unit vectors of sentences.

        Raises:
            BusyError: if `MAX_WAITING` others wait.
        """
        if len(self._queue) >= MAX_WAITING:
            raise BusyError
        return [await answer for answer in [self._ask(text) for text in texts]]

    async def picture(self, pixels: np.ndarray) -> np.ndarray:
        """The (D,) unit vector of one result of `Encoder.preprocess`."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._worker, self.encoder.encode_pixels, pixels[None])
        return np.asarray(found[0], dtype=np.float32)

    def close(self) -> None:
        """End the thread."""
        self._worker.shutdown(cancel_futures=True)

    def _ask(self, text: str) -> asyncio.Future[np.ndarray]:
        loop = asyncio.get_running_loop()
        if text in self._cache:
            self._cache.move_to_end(text)
            known: asyncio.Future[np.ndarray] = loop.create_future()
            known.set_result(self._cache[text])
            return known
        if text not in self._asked:
            self._asked[text] = loop.create_future()
            self._queue.append(text)
            if self._draining is None or self._draining.done():
                self._draining = loop.create_task(self._drain())
        return asyncio.shield(self._asked[text])  # others wait for the same one

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue:
            await asyncio.sleep(GATHER_SECONDS)
            batch, self._queue = self._queue[:MOST], self._queue[MOST:]
            try:
                vectors = await loop.run_in_executor(self._worker, self.encoder.encode_text, batch)
            except Exception as error:
                for text in batch:
                    asked = self._asked.pop(text)
                    asked.set_exception(error)
                    asked.exception()  # read here, in case that nobody waits any more
                continue
            for text, vector in zip(batch, vectors, strict=True):
                self._cache[text] = vector
                self._asked.pop(text).set_result(vector)
            while len(self._cache) > CACHED:
                self._cache.popitem(last=False)
