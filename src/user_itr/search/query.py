"""From what a person asks for to a query embedding, and searching an index by it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from user_itr.errors import ConfigError
from user_itr.search.encoder import Encoder
from user_itr.search.filters import Filters
from user_itr.search.found import Hit
from user_itr.search.index import ImageIndex
from user_itr.search.matching.judging import with_matches
from user_itr.search.matching.reference import FIRST
from user_itr.search.names import same_form
from user_itr.search.terms import Query as Query
from user_itr.search.terms import parse_query as parse_query

MINUS_WEIGHT = 0.5
"""How much of what is not wanted is taken away from what is."""


def query_embedding(
    encoder: Encoder, query: Query | None = None, photos: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """The (D,) float32 unit vector of wanted sentences and photos, less the unwanted sentences.

    It is the mean of the unit vectors that are wanted, so that each counts the same, minus
    `MINUS_WEIGHT` times the mean of those that are not; a weighted sentence's vector is multiplied
    by its weight before.

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
    if query is not None and query.weights:
        sentences = [w * vector for w, vector in zip(query.weights, sentences, strict=True)]
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
    from user_itr.search.photos import load_photo  # a search by words decodes no photo

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
    """The k photos that fit a text, a photo, or both, best first; with matches for one sentence.

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
    if image is None and query is not None and query.is_one_sentence:
        found = index.search(embedding, max(offset + k, FIRST), filters=filters, exact=exact)
        return with_matches(index, encoder, query.plus[0], found)[offset : offset + k]
    if image is None or not exclude_itself:
        return index.search(embedding, k, offset=offset, filters=filters, exact=exact)
    own = same_form(Path(image).parent.resolve() / Path(image).name)
    hits = index.search(embedding, offset + k + 1, filters=filters, exact=exact)
    others = [hit for hit in hits if same_form(hit.path) != own][offset : offset + k]
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
