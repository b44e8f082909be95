"""A grid: named rows of settings over one base, run with several seeds.

The file is YAML:

    description: What each part of the method adds.
    base: flickr8k                       # a preset, or a settings file beside this one
    seeds: [0, 1]
    common: {training: {epochs: 5}}      # laid over the base, for every row
    reference: baseline                  # the row that the others are tested against
    rows:
      baseline: {label: No enhancement, set: {model: {image: {enhancement: none}}}}
      sge: {label: SGE}
      both: {label: Ensemble, members: [baseline, sge]}   # mean similarity, same seed
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from user_itr.config.loading import load_settings, preset_names
from user_itr.config.paths import with_absolute_paths
from user_itr.config.settings import Settings
from user_itr.config.yaml_text import parse_yaml
from user_itr.errors import ConfigError

_ROW_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(_Frozen):
    """One line of the ablation: a model to train, or an ensemble of other rows."""

    label: str = Field(min_length=1, description="its name in tables and plots")
    changes: dict[str, Any] = Field(
        default={}, alias="set", description="nested settings over base and common"
    )
    members: tuple[str, ...] = Field(
        default=(), description="rows whose similarities are averaged; nothing is trained"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Row:
        if "members" in self.model_fields_set and len(set(self.members)) < 2:
            raise ValueError("members: an ensemble needs two rows or more, each once.")
        if len(set(self.members)) < len(self.members):
            raise ValueError("members: names a row twice.")
        if self.members and self.changes:
            raise ValueError("set: an ensemble trains nothing; leave out set or members.")
        if "data" in self.changes:
            raise ValueError(
                "set: rows are compared image by image, so all have the same data; "
                "put data in common."
            )
        return self


class Grid(_Frozen):
    """The contents of a grid's file."""

    description: str
    base: str
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    common: dict[str, Any] = {}
    reference: str
    rows: dict[str, Row] = Field(min_length=1)

    @model_validator(mode="after")
    def _agree(self) -> Grid:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: names a seed twice.")
        for name, row in self.rows.items():
            if not _ROW_NAME.fullmatch(name):
                raise ValueError(
                    f"rows.{name}: the name becomes a folder's; use letters, digits, '.', '_', '-' "
                    "and begin with one of the first two."
                )
            for member in row.members:
                self.require_row(member, f"rows.{name}.members")
                if self.rows[member].members:
                    raise ValueError(
                        f"rows.{name}.members: {member} is an ensemble itself; name its members."
                    )
        self.require_row(self.reference, "reference")
        return self

    def require_row(self, name: str, where: str) -> None:
        """Raise a ValueError that names the rows there are, if `name` is none of them."""
        if name not in self.rows:
            close = get_close_matches(name, self.rows, 1)
            hint = f"did you mean {close[0]}?" if close else f"rows: {', '.join(self.rows)}."
            raise ValueError(f"{where}: no row {name!r}; {hint}")


def grid_names() -> list[str]:
    """Names of the grids that come with the package."""
    folder = files("user_itr.config") / "ablations"
    return sorted(
        f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")
    )


def load_grid(source: str | Path) -> Grid:
    """Read a shipped grid by name, or a grid's file.

    Raises:
        ConfigError: naming the file, the key and what is allowed.
    """
    path = Path(source)
    try:
        if str(source) in grid_names():
            shipped = files("user_itr.config") / "ablations" / f"{source}.yaml"
            values = parse_yaml(shipped.read_text("utf-8"))
        elif path.is_file():
            values = parse_yaml(path.read_text("utf-8"))
        else:
            raise ConfigError(
                f"{source}: neither a shipped grid ({', '.join(grid_names())}) nor a file; "
                "check the name."
            )
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text ({error}).") from None
    except ValueError as error:
        raise ConfigError(f"{source}: not valid YAML ({error}).") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: holds {type(values).__name__}, not the keys of a grid.")
    try:
        grid = Grid.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, str(source))) from None
    if grid.base in preset_names():
        return grid
    return grid.model_copy(update={"base": str(path.parent / grid.base)})


def row_settings(
    grid: Grid,
    name: str,
    seed: int,
    overrides: Sequence[str] = (),
    data: Path | None = None,
    features: Path | None = None,
) -> Settings:
    """Settings of one run: base, then common, then the row's, then `overrides`.

    Args:
        grid: the grid.
        name: of a row that is no ensemble.
        seed: becomes training.seed.
        overrides: "section.key=value" texts, for every row.
        data: captioned set; data.path by default.
        features: feature store; features.store by default.

    Returns:
        Settings with absolute paths.

    Raises:
        ConfigError: naming the row and the key.
    """
    for values, where in ((grid.common, "common"), (grid.rows[name].changes, f"rows.{name}.set")):
        if any(key == "training.seed" for key, _ in _leaves(values)):
            raise ConfigError(f"{where}: sets training.seed; give the grid's seeds instead.")
    if any(text.partition("=")[0].strip() == "training.seed" for text in overrides):
        raise ConfigError("--set training.seed: the grid sets it; give --seeds instead.")
    layers = [*_leaves(grid.common), *_leaves(grid.rows[name].changes)]
    texts = [f"{key}={yaml.safe_dump(value, default_flow_style=True)}" for key, value in layers]
    fixed: dict[str, dict[str, Any]] = {"training": {"seed": seed}}
    if data is not None:
        fixed["data"] = {"path": str(data)}
    if features is not None:
        fixed["features"] = {"store": str(features)}
    try:
        return with_absolute_paths(load_settings(grid.base, [*texts, *overrides], **fixed))
    except ConfigError as error:
        raise ConfigError(f"row {name}: {error}") from None


def first_difference(old: Settings, new: Settings) -> tuple[str, Any, Any] | None:
    """The first setting that is not the same in both: its key and both values."""
    before, after = (dict(_leaves(one.model_dump(mode="json"))) for one in (old, new))
    for key in before | after:
        if before.get(key) != after.get(key):
            return key, before.get(key), after.get(key)
    return None


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested sections."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _explain(error: ValidationError, label: str) -> str:
    problem = error.errors()[0]
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        model = Row if location[0] == "rows" else Grid
        known = [field.alias or name for name, field in model.model_fields.items()]
        close = get_close_matches(location[-1], known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(known)}."
        return f"{label}: unknown key {key}; {hint}"
    if problem["type"] == "missing":
        return f"{label}: {key} is missing; every grid needs it."
    message = problem["msg"].removeprefix("Value error, ")
    end = "" if message.endswith((".", "?")) else "."
    return ": ".join(filter(None, (label, key, message))) + end
