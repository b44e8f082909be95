"""Text of files and people on a terminal: it is shown, and nothing else happens."""

from __future__ import annotations

import io
import sys
import unicodedata

_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of what follows, so that it reads as something else."""


LONGEST = 1_500
"""Characters of an error's sentence: values of any length are quoted in it."""


def printable(text: object) -> str:
    """Text that a terminal can show: control characters and undecodable bytes as escapes."""
    escaped = str(text).encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(
        ascii(c)[1:-1] if c in _TURNING or unicodedata.category(c) in ("Cc", "Zl", "Zp") else c
        for c in escaped
    )


def sentence(error: Exception) -> str:
    """What an error says, as one line of a length that can be read."""
    text = printable(str(error))
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} ... {text[-LONGEST // 4 :]}"
    return text


def escape_what_cannot_be_encoded() -> None:
    """Have the standard streams write escapes, where they would raise an error otherwise."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
