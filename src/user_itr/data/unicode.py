"""Text that can be written as UTF-8."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def is_valid_unicode(text: str) -> bool:
    """Whether `text` can be encoded: no byte that UTF-8 could not decode, no lone surrogate."""
    return text.isascii() or _SURROGATE.search(text) is None
