"""Names of files and folders as people give them: other Unicode forms, and slips of the pen."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

CLOSE = 0.7
"""How alike two names are at least, from 0 to 1, where one is offered for the other."""


def same_form(name: str | os.PathLike[str]) -> str:
    """A name in the one form (NFC) in which names that look the same are equal."""
    return unicodedata.normalize("NFC", os.fspath(name))


def as_on_disk(path: Path) -> Path:
    """The path of a file that is there, by this name or one in another Unicode form.

    A Mac writes \u00e9 as two characters where others write one, and a disk that was used there has
    such names. A `~` that no shell expanded is the user's folder. Where nothing is found, the path
    is as it was given.
    """
    if os.path.lexists(path):
        return path
    try:
        path = path.expanduser()
    except RuntimeError:  # no such user
        return path
    found = Path(path.anchor)
    for part in path.parts[1 if path.anchor else 0 :]:
        if os.path.lexists(found / part):
            found /= part
            continue
        try:
            names = os.listdir(found)  # noqa: PTH208 - names, and nothing of each
        except OSError:
            return path
        alike = sorted(name for name in names if same_form(name) == same_form(part))
        if not alike:
            return path
        found /= alike[0]
    return found


def nearest(path: Path, others: Iterable[Path]) -> Path | None:
    """The one of some paths that was most likely meant, by its last name and then by the others.

    Returns:
        None where all names are far from it.
    """
    name = _key(path.name)
    scored = [
        (difflib.SequenceMatcher(None, name, _key(other.name)).ratio(), other)
        for other in set(others)
    ]
    close = [(score, other) for score, other in scored if score >= CLOSE]
    if not close:
        return None
    whole = _key(str(path))
    return max(
        close,
        key=lambda one: (
            one[0],
            difflib.SequenceMatcher(None, whole, _key(str(one[1]))).ratio(),
            str(one[1]),
        ),
    )[1]


def words_of(text: str) -> list[str]:
    """Words of a name or path, without case and accents, as `has_words` compares them."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return re.findall(r"[^\W_]+", kept)


def has_words(text: str, words: Sequence[str]) -> bool:
    """Whether each of the words begins one of the text's."""
    own = words_of(text)
    return all(any(one.startswith(word) for one in own) for word in words)


def _key(name: str) -> str:
    return same_form(name).casefold()
