"""A search score as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from user_itr.model.calibration import Calibration

CLOSE = 15
"""A match below it has mostly nothing of the sentence; the shipped model's card has examples."""


def match_percent(score: float, calibration: Calibration | None) -> int | None:
    """How well a photo fits a sentence, 0 to 100; None where the model is not calibrated.

    Only for queries of one sentence: other queries' cosines lie in other ranges.
    """
    return None if calibration is None else calibration.percent(score)


def is_close(match: int | None) -> bool | None:
    """Whether a match is worth a look; None where there is no match to judge by."""
    return None if match is None else match >= CLOSE
