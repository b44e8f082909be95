"""What the interface does: searches, facts and captions, over an index and its model."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from starlette.concurrency import run_in_threadpool

from user_itr import __version__
from user_itr.errors import ConfigError, IndexStoreError, UserItrError
from user_itr.search.encoder import Encoder
from user_itr.search.found import PhotoFacts
from user_itr.search.index import ImageIndex
from user_itr.search.manifest import Manifest
from user_itr.search.matching.judging import described, with_matches
from user_itr.search.matching.reference import FIRST
from user_itr.search.matching.remarks import remarks
from user_itr.search.query import Query, combined, parse_query
from user_itr.search.sentences import SentenceStore
from user_itr.server.decoding import Decoders
from user_itr.server.encoding import BusyError, QueryEncoder
from user_itr.server.limits import MAX_TERMS, MAX_UPLOADS, UPLOAD_MEMORY, UPLOADS, Limits
from user_itr.server.marking import mark, marks_of
from user_itr.server.schemas import (
    Caption,
    Folder,
    FoundPhoto,
    IndexFacts,
    PageFields,
    PhotoDetails,
    SearchFields,
    SearchResults,
    found_photo,
    shown_match,
)
from user_itr.server.uploads import uploaded_pixels

T = TypeVar("T")

CHECK_SECONDS = 2.0
"""How long it holds that the index could be read."""


class NotThereError(UserItrError):
    """A photo is not in the index."""


@dataclass(frozen=True)
class _Query:
    embedding: np.ndarray
    sentence: str | None = None
    """That the query is alone, so that photos have matches."""
    without: str | None = None
    """Id of the photo that is searched like, which is no result."""


class PhotoSearch:
    """The index and the model, asked by many at once.

    Args:
        index: of the photos.
        encoder: the model that made it.
        limits: of what is taken on.
    """

    def __init__(self, index: ImageIndex, encoder: Encoder, limits: Limits) -> None:
        index.check_model(encoder)
        self.index = index
        self.encoder = encoder
        self.limits = limits
        self.queries = QueryEncoder(encoder)
        self._decoders = Decoders(UPLOADS, limits.decode_seconds, UPLOAD_MEMORY)
        self._decoding = ThreadPoolExecutor(UPLOADS, thread_name_prefix="upload")
        self._uploads = 0
        self._checked_until = 0.0
        self._is_there = True

    def close(self) -> None:
        """End the threads and processes; what waits for them is dropped."""
        self.queries.close()
        self._decoding.shutdown(wait=False, cancel_futures=True)
        self._decoders.close()

    async def search(self, asked: SearchFields) -> SearchResults:
        """Photos that fit words, are like an indexed photo, or both.

        Raises:
            UserItrError: if nothing is asked for, or there is no such photo.
        """
        started = time.perf_counter()
        query = _parsed(asked.q or "")
        if query is None and asked.similar is None:
            raise ConfigError("nothing to search for; give q, similar, or both.")
        photos = []
        if asked.similar is not None:
            photos.append(await self._embedding_of(asked.similar))
        embedding = await self._combined(query, photos)
        sentence = None
        if query is not None and query.is_one_sentence and not photos:
            sentence = query.plus[0]
        results = await self._results(_Query(embedding, sentence, asked.similar), asked, started)
        results.remarks = self._remarks(query)
        return results

    async def search_upload(
        self, content: bytes, name: str, text: str, page: PageFields
    ) -> SearchResults:
        """Photos like an uploaded picture, and fitting words where there are any.

        Raises:
            DataError: if the picture cannot be decoded within the limits.
        """
        started = time.perf_counter()
        query = _parsed(text)
        pixels = await self._in_time(self._decoded(content, name))
        photo = await self._in_time(self.queries.picture(pixels))
        embedding = await self._combined(query, [photo])
        results = await self._results(_Query(embedding), page, started)
        results.remarks = self._remarks(query)
        results.query = base64.urlsafe_b64encode(embedding.astype(np.float16).tobytes()).decode()
        return results

    async def search_on(self, query: str, page: PageFields) -> SearchResults:
        """A further page of `search_upload`, by what it gave as `query`.

        Raises:
            ConfigError: if `query` is nothing that this server gave.
        """
        started = time.perf_counter()
        try:
            content = base64.urlsafe_b64decode(query.encode())
            embedding = np.frombuffer(content, np.float16).astype(np.float32)
        except ValueError:
            embedding = np.empty(0, np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            norm = float(np.linalg.norm(embedding))
        if embedding.shape != (self.encoder.dim,) or not 0 < norm < np.inf:
            raise ConfigError("query is not what a search gave; search by the picture again.")
        results = await self._results(_Query(embedding), page, started)
        results.query = query
        return results

    async def details(self, id: str) -> PhotoDetails:
        """Facts of a photo, and the indexed sentences that describe it.

        Raises:
            NotThereError: if the index has no such photo.
        """

        def read() -> PhotoDetails:
            facts = _there(self.index.facts(id))
            marks = marks_of(self.index, id)
            return PhotoDetails(
                id=facts.id,
                name=facts.path.name,
                folder=str(facts.path.parent),
                path=str(facts.path),
                bytes=facts.bytes,
                modified=facts.modified,
                taken=facts.taken,
                width=facts.width,
                height=facts.height,
                favourite=marks.favourite,
                hidden=marks.hidden,
                albums=list(marks.albums),
                captions=self._captions(id),
            )

        return await run_in_threadpool(read)

    async def facts(self, id: str) -> PhotoFacts:
        """What the index knows of a photo.

        Raises:
            NotThereError: if it has no such photo.
        """
        return _there(await run_in_threadpool(self.index.facts, id))

    async def facts_of_many(self, ids: Sequence[str]) -> list[PhotoFacts]:
        """What the index knows of photos; those that it lacks are left out.

        Raises:
            NotThereError: if it has none of them.
        """
        found = await run_in_threadpool(self.index.facts_of_many, list(dict.fromkeys(ids)))
        return _there(found or None)

    async def about(self) -> IndexFacts:
        """The index as a whole."""

        def read() -> IndexFacts:
            folders = sorted(self.index.roots().items())
            return IndexFacts(
                photos=len(self.index),
                folders=[Folder(path=str(path), photos=count) for path, count in folders],
                model=self.index.manifest.description,
                sentences=len(SentenceStore(self.index)),
                version=__version__,
            )

        return await run_in_threadpool(read)

    async def check(self) -> None:
        """Make sure that the index can be read; looked at once in `CHECK_SECONDS` at most.

        Raises:
            IndexStoreError: if not; without its place, since anybody may ask.
        """
        if time.monotonic() > self._checked_until:
            self._checked_until = time.monotonic() + CHECK_SECONDS
            self._is_there = await run_in_threadpool(self._look)
        if not self._is_there:
            raise IndexStoreError(
                "the index is gone or cannot be read; bring its disk back or index again, and "
                "start the server again."
            )

    def _look(self) -> bool:
        try:
            Manifest.read(self.index.location)
            self.index.newest(1)
        except UserItrError:
            return False
        return True

    def _captions(self, id: str) -> list[Caption]:
        embedding = _there(self.index.embedding_of(id))
        return [
            Caption(text=sentence.text, match=shown_match(match))
            for sentence, match in described(self.index, self.encoder, embedding)
        ]

    def _remarks(self, query: Query | None) -> list[str]:
        return [] if query is None else remarks(self.encoder, [*query.plus, *query.minus])

    async def _embedding_of(self, id: str) -> np.ndarray:
        return _there(await run_in_threadpool(self.index.embedding_of, id))

    async def _combined(self, query: Query | None, photos: Sequence[np.ndarray]) -> np.ndarray:
        sentences: list[np.ndarray] = []
        if query is not None:
            asked = self.queries.sentences([*query.plus, *query.minus])
            sentences = await self._in_time(asked)
        return combined(query, sentences, photos)

    async def _results(self, query: _Query, page: PageFields, started: float) -> SearchResults:
        filters = page.filters()

        def read() -> SearchResults:
            # one more for the photo itself, one more to see whether the list goes on
            extra = 0 if query.without is None else 1
            count = page.offset + page.limit + 1 + extra
            found = self.index.search(query.embedding, max(count, FIRST), filters=filters)
            if query.sentence is not None:
                found = with_matches(self.index, self.encoder, query.sentence, found)
            others = [hit for hit in found if hit.id != query.without]
            hits = others[page.offset : page.offset + page.limit + 1]
            photos = [found_photo(hit, hit.score, hit.match) for hit in hits]
            mark(self.index, photos)
            return _page(photos, page, len(self.index), started)

        return await run_in_threadpool(read)

    async def _decoded(self, content: bytes, name: str) -> np.ndarray:
        # Threads of its own, so that no request which went away waits for them, as it would in
        # `run_in_threadpool`. What waits holds its picture.
        if self._uploads >= MAX_UPLOADS:
            raise BusyError
        decoding = asyncio.get_running_loop().run_in_executor(
            self._decoding,
            uploaded_pixels,
            content,
            name,
            self.encoder,
            self.limits.upload_pixels,
            self._decoders,
        )
        self._uploads += 1
        decoding.add_done_callback(self._decoded_one)
        return await decoding

    def _decoded_one(self, _: object) -> None:
        self._uploads -= 1

    async def _in_time(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await asyncio.wait_for(work, self.limits.seconds)
        except asyncio.TimeoutError:
            raise BusyError from None


def _parsed(text: str) -> Query | None:
    if not text.strip():
        return None
    query = parse_query(text)
    terms = len(query.plus) + len(query.minus)
    if terms > MAX_TERMS:
        raise ConfigError(f"the query has {terms} phrases; give at most {MAX_TERMS}.")
    return query


def _there(found: T | None) -> T:
    if found is None:
        raise NotThereError("the index has no such photo; search again, it may have moved.")
    return found


def _page(photos: list[FoundPhoto], page: PageFields, total: int, started: float) -> SearchResults:
    return SearchResults(
        photos=photos[: page.limit],
        offset=page.offset,
        total_in_index=total,
        more=len(photos) > page.limit,
        close=photos[0].match.word != "weak" if photos and photos[0].match else None,
        seconds=round(time.perf_counter() - started, 4),
    )
