"""From what a person asks for to a query embedding, and searching an index by it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from user_itr.data.readers.text import is_valid_unicode
from user_itr.errors import ConfigError
from user_itr.search.encoder import Encoder
from user_itr.search.filters import Filters
from user_itr.search.found import Hit
from user_itr.search.index import ImageIndex
from user_itr.search.photos import load_photo

MINUS_WEIGHT = 0.5
"""How much of what is not wanted is taken away from what is."""

_TERM = re.compile(r'(?:(?<=[\s"])|^)(?:([+-])\s*)?"([^"]+)"|(?:(?<=\s)|^)([+-])([^\s"+-]\S*)')


@dataclass(frozen=True)
class Query:
    """Words: what is wanted and what is not.

    Args:
        plus: sentences that the photos should fit, each counting the same.
        minus: sentences that they should not fit.
    """

    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()

    @property
    def is_one_sentence(self) -> bool:
        """Whether scores of this query are those of a caption, which calibration is about."""
        return len(self.plus) == 1 and not self.minus


def parse_query(text: str) -> Query:
    """Read plain words, or terms: `"beach" - "people"`, `two dogs -snow`, `"a bike" + "sunset"`.

    A quoted phrase or a word right after a sign is a term of its own, all that is left is one more.
    A hyphen inside a word, or between blanks and not before a quote, is only a hyphen.

    Raises:
        ConfigError: if nothing is wanted (no words, or only unwanted ones), or the text is no
            valid Unicode.
    """
    if not is_valid_unicode(text):
        raise ConfigError(f"the query {text!a} is no valid Unicode; write it in UTF-8.")
    plus: list[str] = []
    minus: list[str] = []
    rest: list[str] = []
    last = 0
    for match in _TERM.finditer(text):
        rest.append(text[last : match.start()])
        last = match.end()
        phrase = " ".join((match[2] or match[4]).split())
        if phrase:
            (minus if "-" in (match[1], match[3]) else plus).append(phrase)
    rest.append(text[last:])
    plain = " ".join(" ".join(rest).split())
    if plain:
        plus.insert(0, plain)
    if not plus:
        raise ConfigError(
            f"the query {text!r} says only what is not wanted; say also what is."
            if minus
            else f"the query {text!r} is empty; give some words to search for."
        )
    return Query(tuple(plus), tuple(minus))


def query_embedding(
    encoder: Encoder, query: Query | None = None, photos: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """The (D,) float32 unit vector of wanted sentences and photos, less the unwanted sentences.

    It is the mean of the unit vectors that are wanted, so that each counts the same, minus
    `MINUS_WEIGHT` times the mean of those that are not.

    Args:
        encoder: the model.
        query: words.
        photos: (D,) unit vectors of photos; see `photo_embedding`.

    Raises:
        ConfigError: if there is neither.
    """
    if query is None and not len(photos):
        raise ConfigError("nothing to search for; give a text, an image, or both.")
    if query is None:
        return combined(None, [], photos)
    return combined(query, encoder.encode_text([*query.plus, *query.minus]), photos)


def combined(
    query: Query | None, sentences: Sequence[np.ndarray] | np.ndarray, photos: Sequence[np.ndarray]
) -> np.ndarray:
    """`query_embedding` of what is encoded already: of the sentences, the wanted ones first."""
    count = 0 if query is None else len(query.plus)
    wanted = [*photos, *sentences[:count]]
    unwanted = list(sentences[count:])
    found = np.mean(wanted, axis=0, dtype=np.float32)
    if unwanted:
        found = found - MINUS_WEIGHT * np.mean(unwanted, axis=0, dtype=np.float32)
    return np.asarray(found / max(float(np.linalg.norm(found)), np.finfo(np.float32).tiny))


def photo_embedding(encoder: Encoder, path: str | Path) -> np.ndarray:
    """The (D,) float32 unit vector of a photo, decoded as indexed photos are.

    Raises:
        DataError: if the photo cannot be decoded.
    """
    photo = load_photo(Path(path), encoder.preprocess, encoder.draft)
    return np.asarray(encoder.encode_pixels(photo.pixels[None])[0], dtype=np.float32)


def search(
    index: ImageIndex,
    encoder: Encoder,
    *,
    text: str | None = None,
    image: str | Path | None = None,
    k: int = 10,
    offset: int = 0,
    filters: Filters | None = None,
    exact: bool = False,
    exclude_itself: bool = True,
) -> list[Hit]:
    """The k photos that fit a text, a photo, or both, best first.

    Args:
        index: where to search.
        encoder: the model that made the index.
        text: words to search for; see `parse_query`.
        image: a photo to search like; see `query_embedding` for how it goes with words.
        k: number of results.
        offset: results to leave out before the first.
        filters: what may be found.
        exact: see `ImageIndex.search`.
        exclude_itself: leave out the query photo's own file, where the index has it. Copies of it
            under other names stay.

    Raises:
        ConfigError: if there is no query, the text is empty or k is not positive.
        DataError: if the photo cannot be decoded.
        IndexStoreError: if another model made the index.
    """
    if k < 1:
        raise ConfigError(f"the number of results is {k}; ask for at least 1.")
    index.check_model(encoder)
    query = None if text is None else parse_query(text)
    photos = [] if image is None else [photo_embedding(encoder, image)]
    embedding = query_embedding(encoder, query, photos)
    if image is None or not exclude_itself:
        return index.search(embedding, k, offset=offset, filters=filters, exact=exact)
    own = Path(image).parent.resolve() / Path(image).name
    hits = index.search(embedding, offset + k + 1, filters=filters, exact=exact)
    others = [hit for hit in hits if hit.path != own][offset : offset + k]
    return [hit._replace(rank=rank) for rank, hit in enumerate(others, start=offset + 1)]


def search_text(index: ImageIndex, encoder: Encoder, query: str, k: int = 10) -> list[Hit]:
    """The k photos that fit a text best; see `search`."""
    return search(index, encoder, text=query, k=k)


def search_image(
    index: ImageIndex,
    encoder: Encoder,
    path: str | Path,
    k: int = 10,
    exclude_itself: bool = True,
) -> list[Hit]:
    """The k photos that are most like a photo; see `search`."""
    return search(index, encoder, image=path, k=k, exclude_itself=exclude_itself)
