"""Sentences that a person indexed, so that photos can be described by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from user_itr.errors import DataError, IndexStoreError
from user_itr.search.encoder import Encoder
from user_itr.search.location import Place, location_of, store_errors
from user_itr.search.manifest import Manifest
from user_itr.search.table import connect, write_lock

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
        index: folder of an index of photos, or `s3://BUCKET/PREFIX`.
        manifest: of the index; that of a rebuild before it is committed, for instance. It is read
            when it is not given.

    Raises:
        IndexStoreError: if it is none; in every method, if it cannot be read or written.
    """

    def __init__(self, index: Place, manifest: Manifest | None = None) -> None:
        self.location = location_of(index)
        self.manifest = manifest or Manifest.read(self.location)

    def __len__(self) -> int:
        table = self._open()
        if table is None:
            return 0
        with store_errors(self.location, "read"):
            return int(table.count_rows())

    def texts(self) -> list[str]:
        """All sentences, in the order they were indexed in."""
        table = self._open()
        if table is None:
            return []
        with store_errors(self.location, "read"):
            return list(table.search().select(["text"]).to_arrow()["text"].to_pylist())

    def replace(self, sentences: Sequence[str], encoder: Encoder) -> int:
        """Put these sentences, without repetitions, in the place of those before.

        Returns:
            How many there are.

        Raises:
            IndexStoreError: if another model made the index, or another process writes to it.
        """
        if encoder.fingerprint != self.manifest.fingerprint:
            raise IndexStoreError(
                f"{self.location}: made by another model than {encoder.description}; use the model "
                "that made the index."
            )
        unique = list(dict.fromkeys(sentences))
        flat = np.ascontiguousarray(encoder.encode_text(unique), dtype=np.float32).ravel()
        embeddings = pa.FixedSizeListArray.from_arrays(pa.array(flat), self.manifest.dim)
        rows = pa.table({"text": pa.array(unique, pa.string()), "embedding": embeddings})
        with write_lock(self.location), store_errors(self.location, "written"):
            there = f"{self.manifest.sentences}.lance" in self.location.entries()
            mode = "overwrite" if there else "create"  # also over what a killed writer left
            connect(self.location).create_table(self.manifest.sentences, rows, mode=mode)
        return len(unique)

    def describe(self, embedding: np.ndarray, k: int = 5) -> list[Sentence]:
        """The k sentences nearest to a photo's (D,) embedding, best first, by exact cosine."""
        table = self._open()
        if table is None:
            return []
        query = np.asarray(embedding, dtype=np.float32)
        with store_errors(self.location, "read"):
            rows = (
                table.search(query / np.linalg.norm(query), vector_column_name="embedding")
                .distance_type("dot")
                .limit(k)
                .select(["text", "_distance"])
                .to_arrow()
            )
        scored = zip(rows["_distance"].to_pylist(), rows["text"].to_pylist(), strict=True)
        return [
            Sentence(text, min(1.0, max(-1.0, 1.0 - distance))) for distance, text in sorted(scored)
        ]

    def _open(self) -> Any:
        with store_errors(self.location, "opened"):
            if f"{self.manifest.sentences}.lance" not in self.location.entries():
                return None
            try:
                return connect(self.location).open_table(self.manifest.sentences)
            except ValueError as error:
                if "was not found" in str(error):  # the first writer was killed before its end
                    return None
                raise


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
