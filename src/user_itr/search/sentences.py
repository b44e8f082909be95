"""Sentences that a person indexed, so that photos can be described by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from user_itr.errors import DataError
from user_itr.search.encoder import Encoder
from user_itr.search.index import ImageIndex
from user_itr.search.table import write_lock

MAX_LENGTH = 2_000
"""Characters of a sentence; longer lines are no captions."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence that fits a photo.

    Attributes:
        text: as it was indexed.
        score: its cosine with the photo, in [-1, 1].
    """

    text: str
    score: float


class SentenceStore:
    """The sentences of an index, embedded by the index's model.

    Args:
        index: an index of photos; that of a rebuild before it is committed, for instance.

    Raises:
        IndexStoreError: in every method, if it cannot be read or written.
    """

    def __init__(self, index: ImageIndex) -> None:
        self.index = index

    def __len__(self) -> int:
        return len(self.texts())

    def texts(self) -> list[str]:
        """All sentences, in the order they were indexed in."""
        return self.index.ask(lambda store: store.sentences())

    def replace(self, sentences: Sequence[str], encoder: Encoder) -> int:
        """Put these sentences, without repetitions, in the place of those before.

        Returns:
            How many there are.

        Raises:
            IndexStoreError: if another model made the index, or another process writes to it.
        """
        self.index.check_model(encoder)
        unique = list(dict.fromkeys(sentences))
        embeddings = encoder.encode_text(unique)
        with write_lock(self.index.location):
            self.index.ask(lambda store: store.replace_sentences(unique, embeddings))
        return len(unique)

    def describe(self, embedding: np.ndarray, k: int = 5) -> list[Sentence]:
        """The k sentences nearest to a photo's (D,) embedding, best first, by exact cosine."""
        embeddings, texts = self.index.ask(
            lambda store: (store.sentence_embeddings(), store.sentences())
        )
        query = np.asarray(embedding, dtype=np.float32)
        if not len(texts) or len(texts) != len(embeddings):  # they were replaced in between
            return []
        scores = embeddings @ (query / np.linalg.norm(query))
        best = sorted(zip((-scores).tolist(), texts, strict=True))[:k]
        return [Sentence(text, min(1.0, max(-1.0, -score))) for score, text in best]


def read_sentences(file: Path) -> list[str]:
    r"""The sentences of a UTF-8 text file, one a line; blank lines are left out.

    Lines end with \n, \r\n or \r. What else separates lines or pages in Unicode (a form feed, NEL,
    U+2028), as text pasted out of a PDF has it, is a blank inside a sentence.

    Raises:
        DataError: if the file cannot be read, is no text, holds nothing, or a line is too long.
    """
    try:
        lines = file.read_text("utf-8-sig").split("\n")  # "universal newlines" made them all \n
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); check the path.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: is not UTF-8 text ({error.reason}); save it as UTF-8.") from None
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_LENGTH:
            raise DataError(
                f"{file}: line {number} has {len(line):,} characters; give one sentence of at most "
                f"{MAX_LENGTH:,} a line."
            )
    sentences = [" ".join(line.split()) for line in lines if line.strip()]
    if not sentences:
        raise DataError(f"{file}: holds no sentences; give one a line.")
    return sentences
