"""The paths in settings."""

from __future__ import annotations

from pathlib import Path

from user_itr.config.settings import Settings


def with_absolute_paths(settings: Settings) -> Settings:
    """The same settings from any working folder, so a run can be continued from anywhere."""
    data, features = settings.data, settings.features
    absolute = {
        "data": data.model_copy(
            update={"path": _absolute(data.path), "images": _absolute(data.images)}
        ),
        "features": features.model_copy(update={"store": _absolute(features.store)}),
    }
    return settings.model_copy(update=absolute)


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.resolve()
