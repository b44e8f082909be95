from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from user_itr.ablation.grid import first_difference, grid_names, load_grid, row_settings
from user_itr.errors import ConfigError

GRID: dict[str, Any] = {
    "description": "What SGE adds.",
    "base": "demo",
    "seeds": [0, 1],
    "common": {"training": {"epochs": 3}, "optimizer": {"rate": 2e-3}},
    "reference": "none",
    "rows": {
        "none": {"label": "None", "set": {"model": {"image": {"enhancement": "none"}}}},
        "sge": {"label": "SGE", "set": {"optimizer": {"rate": 1e-5}}},
        "both": {"label": "Both", "members": ["none", "sge"]},
    },
}


def write(folder: Path, **changes: Any) -> Path:
    file = folder / "grid.yaml"
    file.write_text(yaml.safe_dump({**GRID, **changes}, sort_keys=False))
    return file


def rows(**changes: Any) -> dict[str, Any]:
    return {"rows": {**GRID["rows"], **changes}}


def test_layers_are_laid_over_each_other(tmp_path: Path) -> None:
    grid = load_grid(write(tmp_path))
    none, sge = (row_settings(grid, name, 7) for name in ("none", "sge"))
    assert none.training.seed == sge.training.seed == 7
    assert none.training.epochs == 3
    assert none.model.image.enhancement == "none"
    assert sge.model.image.enhancement == "self"
    assert none.model.image.guide_dropout == 0.2  # the demo's, beside a changed neighbour
    assert none.optimizer.rate == 2e-3
    assert sge.optimizer.rate == 1e-5
    assert sge.optimizer.warmup_steps == 20

    last = row_settings(grid, "sge", 0, ["optimizer.rate=3e-3"], Path("things"), Path("store"))
    assert last.optimizer.rate == 3e-3
    assert last.data.path == Path.cwd() / "things"
    assert last.features.store == Path.cwd() / "store"


def test_the_base_may_be_a_file_beside_the_grid(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("model: {embedding: 48}\n")
    grid = load_grid(write(tmp_path, base="base.yaml"))
    assert row_settings(grid, "none", 0).model.embedding == 48


@pytest.mark.parametrize("name", grid_names())
def test_shipped_grids_are_valid(name: str) -> None:
    grid = load_grid(name)
    assert len(grid.seeds) >= 2
    settings = [row_settings(grid, row, 0) for row, one in grid.rows.items() if not one.members]
    for place, one in enumerate(settings):
        assert all(first_difference(one, other) for other in settings[:place])


def test_the_first_difference_is_named(tmp_path: Path) -> None:
    grid = load_grid(write(tmp_path))
    one, other = (row_settings(grid, name, 0) for name in ("none", "sge"))
    assert first_difference(one, one) is None
    assert first_difference(one, other) == ("model.image.enhancement", "none", "self")
    assert first_difference(other, row_settings(grid, "sge", 1)) == ("training.seed", 0, 1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seed": 3}, "unknown key seed; did you mean seeds?"),
        ({"seeds": []}, "seeds: Tuple should have at least 1 item"),
        ({"seeds": [1, 1]}, "seeds: names a seed twice."),
        ({"seeds": [-1]}, "seeds.0: Input should be greater than or equal to 0."),
        ({"reference": "nine"}, "reference: no row 'nine'; did you mean none?"),
        ({"reference": "x"}, "reference: no row 'x'; rows: none, sge, both."),
        ({"description": None}, "description: Input should be a valid string."),
        (rows(new={"set": {}}), "rows.new.label is missing"),
        (rows(new={"label": "N", "sets": {}}), "unknown key rows.new.sets; did you mean set?"),
        (rows(new={"label": "N", "members": ["none", "sgf"]}), "no row 'sgf'; did you mean sge?"),
        (rows(new={"label": "N", "members": ["none"]}), "an ensemble needs two rows or more"),
        (rows(new={"label": "N", "members": []}), "an ensemble needs two rows or more"),
        (rows(new={"label": "N", "members": ["none", "both"]}), "both is an ensemble itself"),
        (
            rows(new={"label": "N", "members": ["none", "sge", "none"]}),
            "rows.new: members: names a row twice.",
        ),
        (
            rows(new={"label": "N", "members": ["none", "sge"], "set": {"model": {}}}),
            "an ensemble trains nothing",
        ),
        (rows(new={"label": "N", "set": {"data": {"path": "x"}}}), "put data in common."),
        (rows(**{"../x": {"label": "N"}}), "rows.../x: the name becomes a folder's"),
    ],
)
def test_a_bad_grid_is_one_sentence(tmp_path: Path, changes: Any, sentence: str) -> None:
    file = write(tmp_path, **changes)
    with pytest.raises(ConfigError) as error:
        load_grid(file)
    assert sentence in str(error.value)
    assert str(error.value).startswith(f"{file}: ")
    assert str(error.value)[-1] in ".?"
    assert ".." not in str(error.value).replace("../x", "")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("rows: [", "grid.yaml: not valid YAML"),
        ("- a", "grid.yaml: holds list, not the keys of a grid."),
        ("", "grid.yaml: holds NoneType"),
    ],
)
def test_a_file_that_is_no_grid(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "grid.yaml").write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        load_grid(tmp_path / "grid.yaml")
    with pytest.raises(ConfigError, match=r"neither a shipped grid \(.*\) nor a file"):
        load_grid("user-flickr9k")


@pytest.mark.parametrize(
    ("changes", "overrides", "sentence"),
    [
        (rows(sge={"label": "S", "set": {"optimizer": {"rat": 1}}}), [], "row sge: demo: unknown"),
        (rows(sge={"label": "S", "set": {"optimizer": 3}}), [], "row sge: demo: optimizer = 3"),
        ({}, ["training.seed=4"], "--set training.seed: the grid sets it; give --seeds"),
        ({"common": {"training": {"seed": 4}}}, [], "common: sets training.seed"),
        (rows(sge={"label": "S", "set": {"training": {"seed": 4}}}), [], "rows.sge.set: sets tra"),
        ({"base": "dome"}, [], "dome: neither a preset"),
    ],
)
def test_bad_settings_name_the_row(
    tmp_path: Path, changes: Any, overrides: list[str], sentence: str
) -> None:
    grid = load_grid(write(tmp_path, **changes))
    with pytest.raises(ConfigError) as error:
        row_settings(grid, "sge", 0, overrides)
    assert sentence in str(error.value)
