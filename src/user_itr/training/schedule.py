"""Learning-rate schedules as factors of the base rate, a function of the optimizer step alone."""

from __future__ import annotations

import math
from collections.abc import Callable

from user_itr.config.settings import OptimizerSettings


def rate_factor(
    settings: OptimizerSettings, steps_per_epoch: int, epochs: int
) -> Callable[[int], float]:
    """The factor at an optimizer step: linear warm-up, then step decay or a cosine to 0.

    Args:
        settings: kind, warm-up and decay.
        steps_per_epoch: optimizer steps an epoch.
        epochs: of the run.
    """
    total = steps_per_epoch * epochs

    def factor(step: int) -> float:
        warm = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
        if settings.schedule == "cosine":
            return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
        passed = sum(step >= epoch * steps_per_epoch for epoch in settings.decay_epochs)
        return float(warm * settings.decay_factor**passed)

    return factor
