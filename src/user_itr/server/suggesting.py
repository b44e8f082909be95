"""What is offered while somebody types: folders and sentences of the index."""

from __future__ import annotations

from threading import Lock

from starlette.concurrency import run_in_threadpool

from user_itr.search.encoder import Encoder
from user_itr.search.filters import Filters
from user_itr.search.folder_tree import folder_tree, named_folders
from user_itr.search.index import ImageIndex
from user_itr.search.matching.judging import described
from user_itr.search.names import has_words, words_of
from user_itr.search.sentences import SentenceStore
from user_itr.search.store.listing import shown_id
from user_itr.server.schemas import FolderAnswer, SuggestionsAnswer

FOLDERS = 4
"""Folders that are offered."""

SENTENCES = 6
"""Sentences that are offered."""

LOOKED_AT = 12
"""Photos, spread over the whole index, whose sentences are examples."""


class Suggestions:
    """Words and folders to search for.

    Args:
        index: of the photos.
        encoder: the model that made it.
    """

    def __init__(self, index: ImageIndex, encoder: Encoder) -> None:
        self.index = index
        self.encoder = encoder
        self._lock = Lock()
        self._state = ""
        self._examples: list[str] = []

    async def offer(self, words: str) -> SuggestionsAnswer:
        """Folders and sentences that have all of the words; examples where there are none."""
        return await run_in_threadpool(self._offer, words)

    def _offer(self, words: str) -> SuggestionsAnswer:
        asked = words_of(words)
        if not asked:
            return SuggestionsAnswer(folders=[], sentences=[] if words.strip() else self._chosen())
        nodes = folder_tree(self.index.roots(), self.index.folders())
        folders = sorted(named_folders(nodes, words), key=lambda node: -node.photos)[:FOLDERS]
        sentences = [one for one in SentenceStore(self.index).texts() if has_words(one, asked)]
        return SuggestionsAnswer(
            folders=[FolderAnswer.of(node) for node in folders], sentences=sentences[:SENTENCES]
        )

    def _chosen(self) -> list[str]:
        """Sentences that fit photos of this index well; chosen once for each state of it."""
        with self._lock:
            state = self.index.state()
            if state != self._state:
                self._examples = self._choose()
                self._state = state
            return self._examples

    def _choose(self) -> list[str]:
        if not len(SentenceStore(self.index)):
            return []
        ids = self.index.timeline(Filters()).ids
        chosen: dict[str, None] = {}
        for number in ids[:: max(1, len(ids) // LOOKED_AT)].tolist():
            embedding = self.index.embedding_of(shown_id(number))
            if embedding is None:  # it left the index in between
                continue
            for sentence, match in described(self.index, self.encoder, embedding, 1):
                if match is None or match.word != "weak":
                    chosen[sentence.text] = None
        return list(chosen)[:SENTENCES]
