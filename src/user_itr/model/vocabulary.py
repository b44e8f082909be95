"""The words that a model learned from its captions, and those of a query that it did not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from user_itr.data.languages import FUNCTION_WORDS
from user_itr.errors import CheckpointError

VOCABULARY_FILE = "vocabulary.txt"
"""In the folder of an exported model: stems, sorted, one a line."""

OFTEN = 5
"""Times that a word stands in the training captions before the model counts as having seen it."""

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_VOWEL = re.compile("[aeiouy]")


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case, without numbers and punctuation."""
    return _WORD.findall(text.lower().replace("’", "'"))


def content_words(text: str) -> list[str]:
    """The words of a text, each once, but for articles, prepositions and the like of English."""
    english = FUNCTION_WORDS["English"]
    return [word for word in dict.fromkeys(words_of(text)) if word not in english]


def stem(word: str) -> str:
    """A word without the endings of plural, possession, -ing, -ed and a last e.

    "horses" and "horse", "running" and "run" have one stem. It need not be a word.
    """
    word = word.removesuffix("'s")
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("ses", "xes", "zes", "ches", "shes")) and len(word) > 4:
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) > 2 and _VOWEL.search(rest):
            word = rest[:-1] if rest[-1] == rest[-2] and rest[-1] not in "ls" else rest
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


class Vocabulary:
    """Tells which words of a text a model has learned.

    Args:
        stems: of the words that it has learned.
    """

    def __init__(self, stems: Iterable[str]) -> None:
        self._stems = frozenset(stems)

    def unknown(self, text: str) -> list[str]:
        """Those of the `content_words` of a text that are not known."""
        return [word for word in content_words(text) if stem(word) not in self._stems]

    @classmethod
    def of(cls, captions: Iterable[str], often: int = OFTEN) -> Vocabulary:
        """The words that stand in training captions at least `often` times."""
        counts = Counter(stem(word) for caption in captions for word in words_of(caption))
        return cls(one for one, count in counts.items() if count >= often)

    @classmethod
    def read(cls, folder: Path) -> Vocabulary | None:
        """That of a model's folder; None where it has none.

        Raises:
            CheckpointError: if the file cannot be read.
        """
        file = folder / VOCABULARY_FILE
        try:
            return cls(file.read_text("utf-8").split())
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{file}: cannot be read ({error}); copy it again.") from None

    def write(self, folder: Path) -> None:
        """Put it into a model's folder."""
        (folder / VOCABULARY_FILE).write_text("\n".join(sorted(self._stems)) + "\n", "utf-8")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and other._stems == self._stems

    def __hash__(self) -> int:
        return hash(self._stems)
