"""Searching an index by words, by a photo, or by both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from user_itr.errors import ConfigError
from user_itr.search.encoder import Encoder
from user_itr.search.index import Hit, ImageIndex
from user_itr.search.photos import load_photo


def query_embedding(
    encoder: Encoder, text: str | None = None, image: str | Path | None = None
) -> np.ndarray:
    """The (D,) float32 unit vector of a text, of a photo, or the middle of both.

    Both together is the mean of the two unit vectors, so that each counts the same.

    Raises:
        ConfigError: if neither is given, or the text is empty.
        DataError: if the photo cannot be decoded.
    """
    if text is None and image is None:
        raise ConfigError("nothing to search for; give a text, an image, or both.")
    if text is not None and not text.strip():
        raise ConfigError(f"the query {text!r} is empty; give some words to search for.")
    vectors = []
    if image is not None:
        vectors.append(encoder.encode_pixels(load_photo(Path(image), encoder).pixels[None])[0])
    if text is not None:
        vectors.append(encoder.encode_text([text.strip()])[0])
    mean = np.mean(vectors, axis=0, dtype=np.float32)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), np.finfo(np.float32).tiny))


def search(
    index: ImageIndex,
    encoder: Encoder,
    *,
    text: str | None = None,
    image: str | Path | None = None,
    k: int = 10,
    exclude_itself: bool = True,
) -> list[Hit]:
    """The k photos that fit a text, a photo, or both (see `query_embedding`), best first.

    Args:
        index: where to search.
        encoder: the model that made the index.
        text: words to search for.
        image: a photo to search like.
        k: number of results.
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
    embedding = query_embedding(encoder, text, image)
    if image is None or not exclude_itself:
        return index.search(embedding, k)
    own = Path(image).parent.resolve() / Path(image).name
    others = [hit for hit in index.search(embedding, k + 1) if hit.path != own][:k]
    return [replace(hit, rank=rank) for rank, hit in enumerate(others, start=1)]


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
