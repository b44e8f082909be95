from __future__ import annotations

import math

import pytest

from user_itr.config.settings import OptimizerSettings
from user_itr.training.schedule import rate_factor


def factors(settings: OptimizerSettings, steps: int, epochs: int) -> list[float]:
    factor = rate_factor(settings, steps, epochs)
    return [factor(step) for step in range(steps * epochs + 2)]


def test_step_decay() -> None:
    settings = OptimizerSettings(decay_epochs=(2, 3))
    expected = [1.0] * 6 + [0.1] * 3 + [0.01] * 3 + [0.01] * 2
    assert factors(settings, steps=3, epochs=4) == pytest.approx(expected)


def test_no_decay_without_epochs() -> None:
    assert factors(OptimizerSettings(), steps=3, epochs=2) == [1.0] * 8


def test_warm_up_is_linear_and_ends_at_the_full_rate() -> None:
    settings = OptimizerSettings(warmup_steps=4, decay_epochs=(1,), decay_factor=0.5)
    expected = [0.25, 0.5, 0.75, 1.0, 1.0, 0.5, 0.5]
    assert factors(settings, steps=5, epochs=1) == pytest.approx(expected)
    longer = OptimizerSettings(warmup_steps=4, decay_epochs=(1,), decay_factor=0.5)
    expected = [0.25, 0.5, 0.375, 0.5, 0.5, 0.5]
    assert factors(longer, steps=2, epochs=2) == pytest.approx(expected)


def test_cosine_ends_at_zero_and_stays() -> None:
    settings = OptimizerSettings(schedule="cosine", decay_epochs=(1,))
    half = math.sqrt(0.5)
    expected = [1.0, (1 + half) / 2, 0.5, (1 - half) / 2, 0.0, 0.0]
    assert factors(settings, steps=2, epochs=2) == pytest.approx(expected)


def test_cosine_with_warm_up() -> None:
    settings = OptimizerSettings(schedule="cosine", warmup_steps=2)
    half = math.sqrt(0.5)
    expected = [0.5, (1 + half) / 2, 0.5, (1 - half) / 2, 0.0, 0.0]
    assert factors(settings, steps=4, epochs=1) == pytest.approx(expected)
