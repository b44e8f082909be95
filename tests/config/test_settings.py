from __future__ import annotations

import pytest
from pydantic import ValidationError

from user_itr.config.settings import FeatureSettings, Settings


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().training.epochs = 3  # type: ignore[misc]


def test_features_are_compact_where_anything_is_to_be_done() -> None:
    assert not FeatureSettings().compact
    assert FeatureSettings(grid=2).compact
    assert FeatureSettings(width=64).compact
