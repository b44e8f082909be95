"""Bad settings: YAML files, `--set`, every numeric setting, and the grids of `ablate`."""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Any

import pytest
from inputs import DIGITS, bombed_yaml, png, put
from outcomes import Case, check, refused, table
from pydantic import BaseModel

from user_itr.config.loading import load_settings
from user_itr.config.settings import Settings
from user_itr.config.yaml_text import parse_yaml
from user_itr.errors import ConfigError

TRAIN = ("train", "--config", "{}/s.yaml", "--data", "{}/no", "--out", "{}/out")


def file(name: str, content: bytes | str, says: str) -> Case:
    return Case(f"file: {name}", lambda root: put(root, "s.yaml", content), TRAIN, says)


def override(text: str, says: str) -> Case:
    words = ("train", "--preset", "flickr8k", "--data", "{}/no", "--out", "{}/out", "--set", text)
    return Case(f"set: {text[:40]!a}", lambda root: None, words, says)


NO_DATA = "no such folder"  # the settings are in order, and the next thing is not
RECURSIVE = "training: &a\n  epochs: [*a]\n"

FILES = [
    file("empty", "", NO_DATA),
    file("byte order mark and CRLF", b"\xef\xbb\xbftraining:\r\n  epochs: 3\r\n", NO_DATA),
    file("an alias", "training: {seed: &s 3}\nobjective: {summed_epochs: *s}\n", NO_DATA),
    file("a list", "- 1\n- 2\n", "holds list, not sections"),
    file("a word", "epochs\n", "holds str, not sections"),
    file("a picture", png(), "cannot be read as UTF-8 text"),
    file("latin-1", "data: {train_split: caf\xe9}\n".encode("latin-1"), "cannot be read as UTF-8"),
    file("UTF-16", "training: {epochs: 3}\n".encode("utf-16"), "cannot be read as UTF-8"),
    file("a zero byte", "training: {epochs: 3\0}\n", "not valid YAML"),
    file("a tab", "training:\n\tepochs: 3\n", "not valid YAML"),
    file("an open bracket", "training: {epochs: 3\n", "not valid YAML"),
    file(
        "a Python object", "training: !!python/object/apply:os.system ['true']\n", "not valid YAML"
    ),
    file("a Python name", "training: !!python/name:os.system ''\n", "not valid YAML"),
    file("a bomb of aliases", bombed_yaml(), "aliases stand for more than"),
    file("a bomb in a field", f"training:\n  epochs: &b [{'x, ' * 90}]\n  seed: *b\n", "epochs"),
    file("an alias of itself", RECURSIVE, "line 1: an alias is inside of what it names"),
    file("an unknown alias", "training: *nowhere\n", "not valid YAML"),
    file("deep nesting", "training: " + "[" * 5_000, "nested too deeply"),
    file(
        "a key twice", "training: {epochs: 3}\ntraining: {seed: 1}\n", "'training' is there twice"
    ),
    file("an inner key twice", "training: {seed: 1, seed: 2}\n", "key 'seed' is there twice"),
    file("a number as key", "7: 8\n", "s.yaml"),
    file("a list as key", "? [1, 2]\n: 3\n", "not valid YAML"),
    file("an impossible date", "data: {path: 2021-02-30}\n", "not valid YAML"),
    file("a number of 5,000 digits", f"training: {{seed: {DIGITS}}}\n", "not valid YAML"),
    file("two documents", "training: {}\n---\ntraining: {}\n", "not valid YAML"),
    file("a section of text", "training: fast\n", "training"),
    file("an unknown section", "trainnig: {}\n", "did you mean training?"),
    file("50,000 letters", f"data: {{format: {'x' * 50_000}}}\n", NO_DATA),
    Case("file: a folder", lambda root: (root / "s.yaml").mkdir(), TRAIN, "neither a preset"),
    Case("file: not there", lambda root: None, TRAIN, "neither a preset"),
]

OVERRIDES = [
    override("training.epochs", "write it as section.key=value"),
    override("=3", "write it as section.key=value"),
    override("training.epochs=", "training.epochs = None"),
    override("training.epochs=many", "training.epochs = 'many'"),
    override("training.epochs=[1, 2]", "training.epochs = [1, 2]"),
    override("training.epochs=2.5", "training.epochs = 2.5"),
    override("training.epochs=yes", "training.epochs = True: expected a value, got true/false"),
    override("training.epochs.more=1", "training.epochs is a value, not a section"),
    override("training.epoch=1", "did you mean epochs?"),
    override("training=3", "training"),
    override("a..b=1", "unknown key a"),
    override(".=1", "unknown key"),
    override("training.epochs=[[[", "is not valid YAML"),
    override("training.epochs=!!python/name:os.system", "is not valid YAML"),
    override("\u202etraining.epochs=1", "unknown key"),
    override("training.epochs=\x1b[2J", "is not valid YAML"),
    override("objective.batch_weight=0", NO_DATA),
    override("optimizer.decay_epochs=[-1]", "optimizer.decay_epochs.0 = -1"),
    override("optimizer.schedule=sometimes", "'sometimes'"),
    override("model.text.trainable_layers=-1", "model.text.trainable_layers = -1"),
    override("model.text.trainable_layers=some", "model.text.trainable_layers = 'some'"),
    override(f"training.epochs=[{'x, ' * 5_000}]", "training.epochs = ['x', 'x'"),
]


@table([*FILES, *OVERRIDES])
def test_outcome(
    case: Case,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check(case, tmp_path, capfd, monkeypatch)


def numbers(section: type[BaseModel] = Settings, prefix: str = "") -> dict[str, type]:
    """Every numeric setting by its key."""
    found: dict[str, type] = {}
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= numbers(kind, f"{prefix}{name}.")
            continue
        kinds = [one for one in (kind, *typing.get_args(kind)) if one in (int, float)]
        if kinds:
            found[prefix + name] = kinds[0]
    return found


UNBOUNDED_BELOW = {"model.image.attention_scale", "objective.threshold"}
MAY_BE_LARGE = {
    "model.image.attention_scale",
    "model.image.guide_norm_regions",
    "model.text.min_word_count",
    "objective.batch_weight",
    "objective.margin",
    "objective.queue_start",
    "objective.queue_weight",
    "objective.sharpness",
    "objective.summed_epochs",
    "objective.temperature",
    "optimizer.clip_norm",
    "optimizer.rate",
    "optimizer.text_rate",
    "optimizer.warmup_steps",
    "optimizer.weight_decay",
    "training.captions_per_image",
    "training.checkpoint_minutes",
    "training.max_minutes",
    "training.patience",
}


@pytest.mark.parametrize("value", ["-1", "-1.0e+300", "9" * 40, ".nan", ".inf", "-.inf", "a word"])
@pytest.mark.parametrize("key", sorted(numbers()))
def test_every_number_has_bounds(key: str, value: str) -> None:
    if (value == "-1" and key in UNBOUNDED_BELOW) or (value == "9" * 40 and key in MAY_BE_LARGE):
        load_settings(None, [f"{key}={value}"])
        return
    if key == "model.image.attention_scale" and value == "-1.0e+300":
        return
    refused(ConfigError, key, lambda: load_settings(None, [f"{key}={value}"]))


def test_a_thousand_settings_are_found() -> None:
    assert len(numbers()) > 40
    assert numbers().keys() >= MAY_BE_LARGE | UNBOUNDED_BELOW


def test_yaml_of_ordinary_size_is_read() -> None:
    assert parse_yaml("a: &x [1, 2]\nb: *x\nc: {<<: {d: 1}, e: 2}\n") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": {"d": 1, "e": 2},
    }
    assert len(parse_yaml(json.dumps([0] * 2_000))) == 2_000


SOUND_GRID: dict[str, Any] = {
    "description": "x",
    "base": "flickr8k",
    "seeds": [0, 1],
    "reference": "a",
    "rows": {"a": {"label": "A"}, "b": {"label": "B", "set": {"training": {"epochs": 2}}}},
}


def grid(name: str, says: str, *words: str, text: str | None = None, **changes: object) -> Case:
    content = json.dumps({**SOUND_GRID, **changes}) if text is None else text
    command = ("ablate", "{}/grid.yaml", "--data", "{}/no", "--out", "{}/out", *words)
    return Case(name, lambda root: put(root, "grid.yaml", content), command, says)


GRIDS = [
    grid("an empty file", "holds NoneType, not the keys of a grid", text=""),
    grid("a bomb", "aliases stand for more than", text=bombed_yaml()),
    grid(
        "a bomb of sections",
        "aliases stand for",
        text=bombed_yaml().replace("[", "{m: [").replace("]", "]}"),
    ),
    grid("deep nesting", "nested too deeply", text="[" * 5_000),
    grid("an unknown key", "did you mean seeds?", seed=[1]),
    grid("no seeds", "seeds", seeds=[]),
    grid("a seed twice", "names a seed twice", seeds=[1, 1]),
    grid("a negative seed", "seeds.0", seeds=[-1]),
    grid("a huge seed", "training.seed", seeds=[10**30]),
    grid("a row that leads out", "the name becomes a folder's", rows={"../a": {"label": "A"}}),
    grid("a row with a line end", "the name becomes a folder's", rows={"a\n": {"label": "A"}}),
    grid("no rows", "rows", rows={}),
    grid("rows of text", "rows", rows="a"),
    grid("an unknown reference", "no row 'c'", reference="c"),
    grid(
        "an ensemble of itself",
        "is an ensemble",
        rows={"a": {"label": "A", "members": ["a", "b"]}, "b": {"label": "B"}},
    ),
    grid("an unknown member", "no row 'x'", rows={"a": {"label": "A", "members": ["x", "y"]}}),
    grid("an unknown base", "neither a preset", base="../../etc/passwd"),
    grid(
        "an unknown setting",
        "row b",
        rows={"a": {"label": "A"}, "b": {"label": "B", "set": {"training": {"epoch": 1}}}},
    ),
    grid("seeds of text", "--seeds", "--seeds", "one"),
    grid("seeds that are negative", "--seeds", "--seeds", "-1"),
    grid("seeds of 5,000 digits", "--seeds", "--seeds", DIGITS),
    grid("seeds of nothing", "--seeds", "--seeds", ""),
    grid("rows that are not there", "--rows", "--rows", "a,c"),
    grid("a setting that is not there", "unknown key", "--set", "training.epoch=1"),
]


@table(GRIDS)
def test_grids(
    case: Case,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check(case, tmp_path, capfd, monkeypatch)
