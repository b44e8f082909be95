"""Texts as open_clip cleans them before it looks for tokens.

open_clip repairs texts with the package ftfy. Of that, this does what changes texts that were
decoded rightly: entities of HTML, quotes, ligatures, characters of another width, control
characters. Text that was decoded wrongly ("schÃ¶n") stays as it is.
"""

from __future__ import annotations

import html
import string
import unicodedata
from functools import cache
from typing import Literal, get_args

Cleaning = Literal["lower", "whitespace", "canonicalize"]
"""The names are open_clip's: in lower case; as it is; in lower case without punctuation."""

CLEANINGS: tuple[Cleaning, ...] = get_args(Cleaning)


_LIGATURES = (0x132, 0x133, *range(0x1C4, 0x1CD), *range(0x1F1, 0x1F4), *range(0xFB00, 0xFB07))
_CONTROLS = (
    *(*range(9), 0x0B, *range(0x0E, 0x20), 0x7F),
    *(*range(0x206A, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFD)),
)


def clean(text: str, cleaning: Cleaning) -> str:
    """A text without what tokens do not tell, by one of open_clip's ways."""
    text = html.unescape(text) if "<" not in text else text
    text = unicodedata.normalize("NFC", text.translate(_replaced()))
    text = html.unescape(html.unescape(text)).strip()
    if cleaning == "canonicalize":
        text = text.replace("_", " ").translate(str.maketrans("", "", string.punctuation)).lower()
    text = " ".join(text.split())
    return text.lower() if cleaning == "lower" else text


@cache
def _replaced() -> dict[int, str | None]:
    """What stands in place of a character; None for nothing."""
    table: dict[int, str | None] = {0x3000: " ", 0x149: "'n", 0xFB05: "\u017ft"}
    for code in (*_LIGATURES, *range(0xFF01, 0xFFF0)):
        plain = unicodedata.normalize("NFKC", chr(code))
        if plain != chr(code):
            table.setdefault(code, plain)
    table |= dict.fromkeys((0x2BC, *range(0x2018, 0x201C)), "'")
    table |= dict.fromkeys(range(0x201C, 0x2020), '"')
    return table | dict.fromkeys(_CONTROLS)
