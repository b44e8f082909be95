"""Reading settings: a preset or a YAML file, then `key=value` overrides, then validation."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from user_itr.config.settings import Settings
from user_itr.config.yaml_text import parse_yaml
from user_itr.errors import ConfigError


def preset_names() -> list[str]:
    """Names of the presets that come with the package."""
    folder = files("user_itr.config") / "presets"
    return sorted(
        f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")
    )


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
        values = parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"{source}: not valid YAML ({error}).") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: holds {type(values).__name__}, not sections with settings.")
    return values


def _parse_value(override: str, text: str) -> Any:
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"--set {override!r}: the value is not valid YAML.") from error


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for depth, parent in enumerate(parents):
        if values.get(parent) is None:
            values[parent] = {}
        values = values[parent]
        if not isinstance(values, dict):
            raise ConfigError(f"{key}: {'.'.join(parents[: depth + 1])} is a value, not a section.")
    values[last] = value


def _explain(error: ValidationError, label: str) -> str:
    problems: dict[str, list[ErrorDetails]] = {}  # a union has a problem for each of its members
    for problem in error.errors():
        problems.setdefault(_key(problem["loc"]), []).append(problem)
    (key, found), *others = problems.items()
    more = f" Also bad: {', '.join(other for other, _ in others)}." if others else ""
    if found[0]["type"] == "extra_forbidden":
        *sections, name = map(str, found[0]["loc"])
        known = _known_keys(sections)
        close = get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(known)}."
        return f"{label}: unknown key {key}; {hint}{more}"
    first, *rest = (str(problem["msg"]).removeprefix("Value error, ") for problem in found)
    message = first + "".join(f", or {text[0].lower()}{text[1:]}" for text in rest)
    if not key:
        return f"{label}: {message}.{more}"
    return f"{label}: {key} = {reprlib.repr(found[0]['input'])}: {message}.{more}"


def _key(location: Sequence[int | str]) -> str:
    """The key of an error: sections, field and place in a list, without members of a union."""
    section: type[BaseModel] | None = Settings
    parts: list[str] = []
    for part in location:
        if section is not None or isinstance(part, int):
            parts.append(str(part))
        section = None if section is None else _subsection(section, str(part))
    return ".".join(parts)


def _known_keys(sections: Sequence[str]) -> list[str]:
    section: type[BaseModel] = Settings
    for name in sections:
        section = _subsection(section, name) or section
    return list(section.model_fields)


def _subsection(section: type[BaseModel], name: str) -> type[BaseModel] | None:
    field = section.model_fields.get(name)
    inner = None if field is None else field.annotation
    # tuple[int, ...] is an instance of type, too, before Python 3.11
    if not isinstance(inner, type) or get_origin(inner) is not None:
        return None
    return inner if issubclass(inner, BaseModel) else None
