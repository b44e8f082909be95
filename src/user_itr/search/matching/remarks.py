"""What a person should know of the words of a query: those that the model cannot know."""

from __future__ import annotations

from collections.abc import Sequence

from user_itr.data.languages import foreign_language
from user_itr.model.vocabulary import content_words
from user_itr.search.encoder import Encoder

NAMED = 10
"""Words that are named at most."""


def known_share(encoder: Encoder, sentence: str) -> float:
    """The share in [0, 1] of a sentence's content words that the model knows."""
    words = content_words(sentence)
    return 1 - len(encoder.unknown_words(sentence)) / len(words) if words else 1.0


def remarks(encoder: Encoder, sentences: Sequence[str]) -> list[str]:
    """What the model cannot know of sentences, in sentences: of their language and their words."""
    text = " ".join(sentences)
    unknown = list(dict.fromkeys(word for one in sentences for word in encoder.unknown_words(one)))
    if not unknown:
        return []
    language = foreign_language(text)
    if language is not None and known_share(encoder, text) <= 0.5:
        return [f"This looks like {language}, which the model does not know: try English."]
    more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
    return [f"The model has never or hardly seen: {', '.join(unknown[:NAMED])}{more}."]
