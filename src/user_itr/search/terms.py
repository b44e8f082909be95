"""From what a person types to what is wanted and what is not."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from user_itr.data.unicode import is_valid_unicode
from user_itr.errors import ConfigError

MOST_WEIGHT = 100.0
"""How many times as much as others a term may count."""

_ASCII = str.maketrans(
    {
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a\u2033\u2036", '"'),
        **dict.fromkeys("\u301d\u301e\u301f\uff02\u300c\u300d\u300e\u300f", '"'),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\uff07", "'"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2043", "-"),
        **dict.fromkeys("\u2e3a\u2e3b\ufe31\ufe32\ufe58\ufe63\uff0d", "-"),
        **dict.fromkeys("\uff0b\ufe62", "+"),
        **dict.fromkeys("\u00ad\u200b\u200e\u200f\u2060\ufeff", None),
        **dict.fromkeys("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", None),
    }
)
"""Quotes and dashes of every keyboard to those of ASCII; marks that nobody sees go."""

_APOSTROPHES = re.compile(r'"[^"]*"|(?<![\w"])\'(?=\S)((?:[^\'"]|(?<=\w)\'(?=\w)){2,})\'(?!\w)')
_PARENTHESES = re.compile(r'"[^"]*"|(?:(?<=[\s",;])|^)([+-]+\(|\([+-]+)([^()"]+)\)')

_WEIGHT = r"(?<![\w.,])\d+(?:[.,]\d+)?:"
_PHRASE = rf'(?:(?P<near>[+-]+)\s*|(?<![^\s",;:(\[]))(?P<phrase>(?:{_WEIGHT})?"[^"]*")'
_ASIDE = r'-+[^\s"-](?:[^"-]|(?<=\w)-(?=\w))*(?<=\S)-+(?=[\s,;.!?]|$)'
_WORD = (
    rf'(?<![^\s",;(\[])(?!{_ASIDE})(?P<sign>[+-]+)'
    rf'(?P<word>(?:{_WEIGHT}(?=[^\W\d_]))?[^\s"+\-\d.,;:!?()\[\]<>=_|/\\*~^%$&\u20ac\u00a3\']'
    r'[^\s",;)\]]*)'
)
_WEIGHTED = rf'(?<![^\s",;(\[])(?P<weighted>{_WEIGHT}[^\W\d_][^\s",;)\]]*)'
_TERM = re.compile(f"{_PHRASE}|{_WORD}|{_WEIGHTED}")
_AFTER = re.compile(
    rf'[\s,;]*(?P<sign>[+-]+)\s+(?P<words>(?!{_WEIGHT}")[^\s",;+-](?:(?!\s[+-]+(?!\d))[^",;])*)'
)
"""A sign between blanks, right after a term, and the words up to the next term."""

_OPEN = re.compile(rf'-\s*(?:{_WEIGHT})?"')
_ADDRESS = re.compile(r"(?:^|[\s\"'(<])(?:[a-z][a-z0-9+.-]*://|www\.|data:image/)\S", re.IGNORECASE)


@dataclass(frozen=True)
class Query:
    """Words: what is wanted and what is not.

    Args:
        plus: sentences that the photos should fit.
        minus: sentences that they should not fit.
        weights: how much each counts, those wanted first; empty where all count the same.
    """

    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    @property
    def is_one_sentence(self) -> bool:
        """Whether it is one sentence, as a photo's caption is, so that photos have matches."""
        return len(self.plus) == 1 and not self.minus


def parse_query(text: str) -> Query:
    """Read plain words, or terms: `"beach" - "people"`, `two dogs -snow`, `2:"a bike" + "sunset"`.

    A quoted phrase is a term, and so is a word right after a sign; all that is left is one more.

    - A sign beside a quoted phrase is an operator, with or without blanks: `"beach" - people`,
      `beach -"people"`. So is one right before a word, and after a blank or a comma: `dog, -cat`.
    - A sign between blanks that has no term right before or after it is a dash: `beach - people`
      is text. So are a hyphen inside a word, a number (`at -5 degrees`), and a pair of dashes
      around words (`a man \u2014tall\u2014 walks`).
    - A term counts more or less with a weight before it: `2:dog`, `0.5:"deep snow"`.
    - Curly, low and angle quotes are quotes, and every dash is a minus sign.

    Raises:
        ConfigError: if nothing is wanted (no words, or only unwanted ones), quotes do not pair
            where that changes the meaning, a weight is out of range, or the text is an address of
            the web or no valid Unicode.
    """
    if not is_valid_unicode(text):
        raise ConfigError(f"the query {text!a} is no valid Unicode; write it in UTF-8.")
    typed = text.translate(_ASCII)
    if _ADDRESS.search(typed):
        raise ConfigError(
            f"the query {text!r} is an address, and nothing is fetched from there; save the "
            "picture and search by its file, or describe it in words."
        )
    typed = _PARENTHESES.sub(_quoted, _APOSTROPHES.sub(_quoted, typed))
    terms, rest = _terms(typed, text)
    plain = " ".join(" ".join(rest).split())
    if plain and not (terms and _is_punctuation(plain)):
        terms.insert(0, (False, 1.0, plain))
    wanted = [term for term in terms if not term[0]]
    unwanted = [term for term in terms if term[0]]
    if not wanted:
        raise ConfigError(
            f"the query {text!r} says only what is not wanted; say also what is."
            if unwanted
            else f"the query {text!r} is empty; give some words to search for."
        )
    weights = tuple(weight for _, weight, _ in wanted + unwanted)
    return Query(
        tuple(phrase for _, _, phrase in wanted),
        tuple(phrase for _, _, phrase in unwanted),
        () if set(weights) == {1.0} else weights,
    )


_Term = tuple[bool, float, str]
"""Whether it is unwanted, its weight, and its words."""


def _terms(typed: str, text: str) -> tuple[list[_Term], list[str]]:
    """The terms, and the pieces of text between them."""
    terms: list[_Term] = []
    rest: list[str] = []
    last = 0
    while match := _TERM.search(typed, last):
        rest.append(typed[last : match.start()])
        last = match.end()
        written = match["phrase"] or match["word"] or match["weighted"]
        if match["phrase"] and _ends_before_a_word(typed, match):
            raise ConfigError(f"the quotes of the query {text!r} do not pair; close each of them.")
        terms += _term(match["near"] or match["sign"] or "", written, text)
        while after := _AFTER.match(typed, last):
            last = after.end()
            terms += _term(after["sign"], after["words"], text)
    rest.append(typed[last:])
    if any(_OPEN.search(piece) for piece in rest):
        raise ConfigError(f"the quotes of the query {text!r} do not pair; close each of them.")
    return terms, [piece.strip(" \t\n,;") for piece in rest] if terms else rest


def _term(sign: str, written: str, text: str) -> list[_Term]:
    """The term of a sign and of words with or without weight and quotes; none without words."""
    weight = 1.0
    if number := re.match(_WEIGHT, written):
        written = written[number.end() :]
        weight = float(number[0][:-1].replace(",", "."))
        if not 0 < weight <= MOST_WEIGHT:
            raise ConfigError(
                f"the weight {number[0][:-1]} in the query {text!r} is out of range; give one "
                f"above 0 and up to {MOST_WEIGHT:g}."
            )
    phrase = " ".join(written.strip('"').split())
    if not written.startswith('"'):
        phrase = phrase.rstrip(".!?:")
    return [("-" in sign, weight, phrase)] if phrase else []


def _quoted(match: re.Match[str]) -> str:
    """What is between apostrophes, or between parentheses after a sign, in quotes."""
    *sign, phrase = match.groups()
    return match[0] if phrase is None else f'{"".join(sign).strip("()")}"{phrase}"'


def _ends_before_a_word(typed: str, match: re.Match[str]) -> bool:
    """Whether the quote that ends a phrase looks like one that begins another: `"a - "b"`."""
    inside = match["phrase"].split('"')[1]
    following = typed[match.end() : match.end() + 1]
    return inside[-1:].isspace() and not inside[:1].isspace() and following.isalnum()


def _is_punctuation(text: str) -> bool:
    return all(c in "+|" or unicodedata.category(c)[0] in "PZ" for c in text)
