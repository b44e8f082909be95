"""Matches for the results of a search, and for the sentences of a photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from user_itr.search.encoder import Encoder
from user_itr.search.found import Hit
from user_itr.search.matching.match import Match, match_of
from user_itr.search.matching.reference import FIRST
from user_itr.search.matching.remarks import known_share
from user_itr.search.sentences import Sentence, SentenceStore

if TYPE_CHECKING:
    from user_itr.search.index import ImageIndex


def with_matches(
    index: ImageIndex, encoder: Encoder, sentence: str, found: Sequence[Hit]
) -> list[Hit]:
    """The results of a search by one sentence, with their matches.

    A better score never has a worse match.

    Args:
        index: that was searched.
        encoder: its model.
        sentence: that was searched for.
        found: the results from the first one on, at least `FIRST` where there are so many.
    """
    reference = index.reference()
    if reference is None or not found:
        return list(found)
    first = [hit.id for hit in found[:FIRST]]
    photos = index.ask(lambda store: store.embeddings(first))
    if not len(photos):  # they left the index in between
        return list(found)
    shares = reference.shares([hit.score for hit in found], photos)
    shares = shares * known_share(encoder, sentence)
    return [hit._replace(match=match_of(share)) for hit, share in zip(found, shares, strict=True)]


def described(
    index: ImageIndex, encoder: Encoder, photo: np.ndarray, k: int = 5
) -> list[tuple[Sentence, Match | None]]:
    """The k indexed sentences that describe a photo best, with how well they fit it.

    Those of 0 % are left out. A match is None where the index has no reference.

    Args:
        index: that has the sentences.
        encoder: its model.
        photo: (D,) float32 unit vector of any photo.
        k: sentences.
    """
    found = SentenceStore(index).describe(photo, k)
    reference = index.reference()
    if reference is None:
        return [(sentence, None) for sentence in found]
    shares = reference.shares([sentence.score for sentence in found], photo[None])
    matches = [
        match_of(share * known_share(encoder, sentence.text))
        for sentence, share in zip(found, shares, strict=True)
    ]
    return [pair for pair in zip(found, matches, strict=True) if pair[1].percent > 0]
