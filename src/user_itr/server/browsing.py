"""What the page browses: all photos by day, as they stand in the index."""

from __future__ import annotations

import base64
import time
from threading import Lock

from starlette.concurrency import run_in_threadpool

from user_itr.search.filters import Filters
from user_itr.search.folder_tree import folder_tree, named_folders
from user_itr.search.index import ImageIndex
from user_itr.search.store.listing import shown_id
from user_itr.search.timeline import Timeline
from user_itr.server.marking import mark
from user_itr.server.schemas import (
    DayCount,
    FilterFields,
    FolderAnswer,
    ListFields,
    NameFields,
    SearchResults,
    TimelineAnswer,
    found_photo,
)

REMEMBERED = 4
"""Timelines that are remembered, each of other filters; a million photos take 18 MB in each."""


class Browsing:
    """All photos of an index in order, whatever number of them there are.

    Args:
        index: of the photos.
    """

    def __init__(self, index: ImageIndex) -> None:
        self.index = index
        self._lock = Lock()
        self._state = ""
        self._timelines: dict[Filters, Timeline] = {}

    async def timeline(self, page: FilterFields) -> TimelineAnswer:
        """How many photos were taken on which day, and the shape of each."""

        def read() -> TimelineAnswer:
            state, timeline = self._read(page.filters())
            days = timeline.counts()
            return TimelineAnswer(
                state=state,
                total_in_index=len(self.index),
                days=[DayCount(day=day, photos=photos) for day, photos in days],
                undated=len(timeline) - timeline.dated,
                ratios=base64.b64encode(timeline.ratios.tobytes()).decode(),
            )

        return await run_in_threadpool(read)

    async def page(self, page: ListFields) -> SearchResults:
        """Photos in the order of the timeline."""
        started = time.perf_counter()

        def read() -> SearchResults:
            state, timeline = self._read(page.filters())
            end = page.offset + page.limit
            ids = [shown_id(number) for number in timeline.ids[page.offset : end].tolist()]
            photos = [found_photo(facts) for facts in self.index.facts_of_many(ids)]
            mark(self.index, photos)
            return SearchResults(
                photos=photos,
                offset=page.offset,
                total_in_index=len(self.index),
                more=end < len(timeline),
                state=state,
                seconds=round(time.perf_counter() - started, 4),
            )

        return await run_in_threadpool(read)

    async def named(self, asked: NameFields) -> SearchResults:
        """Photos whose file name or folder has all of the words."""
        started = time.perf_counter()

        def read() -> SearchResults:
            found = self.index.named(asked.q, asked.limit + 1, offset=asked.offset)
            photos = [found_photo(facts) for facts in found[: asked.limit]]
            mark(self.index, photos)
            return SearchResults(
                photos=photos,
                offset=asked.offset,
                total_in_index=len(self.index),
                more=len(found) > asked.limit,
                seconds=round(time.perf_counter() - started, 4),
            )

        return await run_in_threadpool(read)

    async def folders(self, words: str) -> list[FolderAnswer]:
        """Folders as a tree; only those that words name, if there are words."""

        def read() -> list[FolderAnswer]:
            nodes = folder_tree(self.index.roots(), self.index.folders())
            return [
                FolderAnswer.of(one)
                for one in (named_folders(nodes, words) if words.strip() else nodes)
            ]

        return await run_in_threadpool(read)

    def _read(self, filters: Filters) -> tuple[str, Timeline]:
        """The state of the index and the timeline of it; read once for each state."""
        with self._lock:  # who comes while it is being read waits for it
            state = self.index.state()
            if state != self._state:
                self._state = state
                self._timelines.clear()
            timeline = self._timelines.pop(filters, None)
            if timeline is None:
                timeline = self.index.timeline(filters)
            self._timelines[filters] = timeline
            if len(self._timelines) > REMEMBERED:
                del self._timelines[next(iter(self._timelines))]
            return state, timeline
