"""Reading settings: a preset or a YAML file, then `key=value` overrides, then validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from user_itr.config.settings import Settings
from user_itr.errors import ConfigError


def preset_names() -> list[str]:
    """Names of the presets that come with the package."""
    folder = files("user_itr.config") / "presets"
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


def load_settings(
    source: str | Path | None = None, overrides: Sequence[str] = (), **fixed: Mapping[str, Any]
) -> Settings:
    """Build settings.

    Args:
        source: name of a preset, or path of a YAML file; None for the defaults.
        overrides: "section.key=value" texts, values in YAML, later ones win.
        fixed: sections (as nested mappings) laid over everything else.

    Raises:
        ConfigError: naming the key, the value and what is allowed.
    """
    values: dict[str, Any] = {} if source is None else _read_yaml(source)
    label = "settings" if source is None else str(source)
    for override in overrides:
        key, found, text = override.partition("=")
        if not found or not key.strip():
            raise ConfigError(f"--set {override!r}: write it as section.key=value.")
        _set(values, key.strip(), _parse_value(override, text))
    for section, entries in fixed.items():
        for key, value in entries.items():
            _set(values, f"{section}.{key}", value)
    return validate_settings(values, label)


def validate_settings(values: Mapping[str, Any], label: str) -> Settings:
    """Turn nested values into settings, or raise a ConfigError that names the first bad key."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, label)) from None


def dump_settings(settings: Settings) -> str:
    """The settings as YAML text that `load_settings` reads back."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read_yaml(source: str | Path) -> dict[str, Any]:
    path = Path(source)
    if str(source) in preset_names():
        text = (files("user_itr.config") / "presets" / f"{source}.yaml").read_text("utf-8")
    elif path.is_file():
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read as UTF-8 text ({error}).") from None
    else:
        raise ConfigError(
            f"{source}: neither a preset ({', '.join(preset_names())}) nor a file; check the name."
        )
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML ({' '.join(str(error).split())}).") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: holds {type(values).__name__}, not sections with settings.")
    return values


def _parse_value(override: str, text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override!r}: the value is not valid YAML.") from error
    if isinstance(value, str):  # YAML 1.1 takes 5e-4 for a text
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for depth, parent in enumerate(parents):
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{key}: {'.'.join(parents[: depth + 1])} is a value, not a section.")
    values[last] = value


def _explain(error: ValidationError, label: str) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
    more = "" if error.error_count() == 1 else f" ({error.error_count() - 1} more problems)"
    if first["type"] == "extra_forbidden":
        known = _known_keys(Settings, first["loc"][:-1])
        close = get_close_matches(str(first["loc"][-1]), known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(known)}."
        return f"{label}: unknown key {key}; {hint}{more}"
    message = str(first["msg"]).removeprefix("Value error, ")
    if not key:
        return f"{label}: {message}.{more}"
    return f"{label}: {key} = {first['input']!r}: {message}.{more}"


def _known_keys(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    for part in location:
        inner = model.model_fields[str(part)].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)
