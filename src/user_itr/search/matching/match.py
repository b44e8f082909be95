"""What a person reads of how well a photo fits a sentence."""

from __future__ import annotations

from typing import Literal, NamedTuple

Word = Literal["good", "possible", "weak"]

GOOD = 80
"""Percent from which on a match is good."""

WEAK = 33
"""Percent below which it is weak; benchmarks/honest_matches.py shows what both keep and flag."""


class Match(NamedTuple):
    """How well a photo fits a sentence.

    Attributes:
        word: good, possible or weak.
        percent: 0 to 100: share of ordinary sentences that fit the best photos of the index worse.
    """

    word: Word
    percent: int

    def __str__(self) -> str:
        return f"{self.word:<8} {self.percent:>3} %"


def match_of(share: float) -> Match:
    """The match of a share in [0, 1]."""
    percent = int(100 * share)
    word: Word = "good" if percent >= GOOD else "possible" if percent >= WEAK else "weak"
    return Match(word, percent)
