"""Damaged and hostile checkpoints, runs and training states: each is a `CheckpointError`."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from inputs import DEEP, DIGITS, pickled_npy, put, safetensors
from outcomes import refused, snapshot
from safetensors.torch import load_file, save

sys.path.append(str(Path(__file__).parents[1] / "training"))
from tiny_runs import silent, tiny_settings, write_bert, write_scan_set

from user_itr import load
from user_itr.errors import CheckpointError
from user_itr.model.checkpoint import load_model, save_model
from user_itr.training.preparation import prepare
from user_itr.training.run_folder import RunFolder
from user_itr.training.state import read_state, write_state

Spoil = Callable[[Path], object]
Config = dict[str, Any]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint with a BiGRU and one with a tiny BERT, written once."""
    home = tmp_path_factory.mktemp("checkpoints")
    data = write_scan_set(home / "things")
    bert = write_bert(home / "pretrained")
    more = {"gru": ["features.width=6"], "bert": [f"model.text.encoder={bert}"]}
    for name, overrides in more.items():
        save_model(home / name, prepare(tiny_settings(data, *overrides), silent).model)
    return {name: home / name for name in more}


def config(change: Callable[[Config], object]) -> Spoil:
    """Change `config.json`."""

    def spoil(folder: Path) -> None:
        values = json.loads((folder / "config.json").read_text())
        change(values)
        put(folder, "config.json", json.dumps(values))

    return spoil


def weights(content: bytes | Callable[[Path], bytes]) -> Spoil:
    """Replace `model.safetensors`, and correct its hash: whoever can do the one can do the other."""

    def spoil(folder: Path) -> None:
        new = content if isinstance(content, bytes) else content(folder / "model.safetensors")
        put(folder, "model.safetensors", new)
        digest = hashlib.sha256(new).hexdigest()
        config(lambda values: values.update(weights_sha256=digest))(folder)

    return spoil


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Spoil:
    def content(file: Path) -> bytes:
        found = load_file(file)
        change(found)
        return save(found)

    return weights(content)


def header(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """Change the header of the weights, and leave their bytes as they are."""

    def content(file: Path) -> bytes:
        raw = file.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        values = json.loads(raw[8 : 8 + length])
        change(values)
        return safetensors(values, raw[8 + length :])

    return weights(content)


def set_to(*path: str, value: object) -> Spoil:
    def change(values: Config) -> None:
        for part in path[:-1]:
            values = values[part]
        values[path[-1]] = value

    return config(change)


LINEAR = "model.text.linear.weight"


def overlap(values: dict[str, Any]) -> None:
    first, second = [name for name in values if name != "__metadata__"][:2]
    values[second]["data_offsets"] = values[first]["data_offsets"]


def first(values: dict[str, Any], **fields: object) -> None:
    values[LINEAR].update(fields)


@dataclass(frozen=True)
class Damage:
    name: str
    spoil: Spoil
    says: str
    of: str = "gru"


def text(content: bytes | str, name: str = "config.json") -> Spoil:
    return lambda folder: put(folder, name, content)


DAMAGED = [
    Damage("config empty", text(""), "is not valid JSON"),
    Damage("config cut short", text('{"format": "user'), "is not valid JSON"),
    Damage("config deep", text("[" * DEEP), "nested too deeply"),
    Damage("config in UTF-16", text('{"format": 1}'.encode("utf-16")), "is not valid JSON"),
    Damage("config with a long number", text(f'{{"vocabulary": {DIGITS}}}'), "is not valid JSON"),
    Damage("config of a list", text("[]"), "config.json: the whole"),
    Damage("config with another key", set_to("extra", value=1), "extra"),
    Damage("config of the future", set_to("format_version", value=9), "upgrade user-itr"),
    Damage("no vocabulary", config(lambda v: v.pop("vocabulary")), "vocabulary"),
    Damage("a negative vocabulary", set_to("vocabulary", value=-5), "vocabulary"),
    Damage("a vocabulary of 10^12", set_to("vocabulary", value=10**12), "vocabulary"),
    Damage("another vocabulary", set_to("vocabulary", value=5), "size mismatch"),
    Damage("another vocabulary than the tokenizer", set_to("vocabulary", value=5), "tokenizer.json has", "bert"),
    Damage("no backbone", config(lambda v: v["features"].pop("backbone")), "features"),
    Damage("no width", config(lambda v: v["features"].pop("width")), "features"),
    Damage("a width of text", set_to("features", "width", value="wide"), "features"),
    Damage("a negative width", set_to("features", "width", value=-16), "features"),
    Damage("another width", set_to("features", "width", value=17), "cannot be put together"),
    Damage("settings of text", set_to("settings", value="x"), "settings"),
    Damage("an unknown setting", set_to("settings", "training", "epoch", value=1), "unknown key"),
    Damage("10^9 wide", set_to("settings", "model", "embedding", value=10**9), "model.embedding"),
    Damage("far too wide", set_to("settings", "model", "embedding", value=65_000), "config.json asks for"),
    Damage("a GRU far too wide", set_to("settings", "model", "text", "gru_width", value=60_000), "config.json asks for"),
    Damage("another hash", set_to("weights_sha256", value="0" * 64), "does not match the hash"),
    Damage("packaged weights of text", set_to("packaged_weights", value={}), "cannot be put together"),
    Damage("a transformer of nothing", set_to("transformer", value={}), "cannot be put together", "bert"),
    Damage("an unknown architecture", set_to("transformer", "model_type", value="evil"), "cannot be put together", "bert"),
    Damage("a transformer of 10^9 layers", set_to("transformer", "num_hidden_layers", value=10**9), "layers", "bert"),
    Damage("a transformer too wide", set_to("transformer", "hidden_size", value=40_000), "cannot be put together", "bert"),
    Damage("heads that do not divide", set_to("transformer", "num_attention_heads", value=7), "cannot be put together", "bert"),
    Damage("heads of zero", set_to("transformer", "num_attention_heads", value=0), "cannot be put together", "bert"),
    Damage("an activation that is none", set_to("transformer", "hidden_act", value="evil"), "cannot be put together", "bert"),
    Damage("a transformer's width of text", set_to("transformer", "hidden_size", value="x"), "cannot be put together", "bert"),
    Damage("weights empty", weights(b""), "is no safetensors file"),
    Damage("weights of text", weights(b"a dog"), "is no safetensors file"),
    Damage("weights of a pickle", weights(lambda file: pickled_npy(file.parent / "marker")), "is no safetensors file"),
    Damage("weights cut short", weights(lambda file: file.read_bytes()[:-9]), "is no safetensors file"),
    Damage("weights with more", weights(lambda file: file.read_bytes() + b"more"), "is no safetensors file"),
    Damage("a header of 2^63 bytes", weights(safetensors({}, b"", 2**63)), "is no safetensors file"),
    Damage("a header longer than the file", weights(safetensors({}, b"", 10**6)), "is no safetensors file"),
    Damage("a header that is no text", weights(safetensors(b"\xff" * 64, b"")), "is no safetensors file"),
    Damage("a header of deep nesting", weights(safetensors(b"[" * DEEP, b"")), "is no safetensors file"),
    Damage("a header of a list", weights(safetensors(b"[]", b"")), "is no safetensors file"),
    Damage("tensors that overlap", header(overlap), "is no safetensors file"),
    Damage("a negative offset", header(lambda v: first(v, data_offsets=[-4, 8])), "is no safetensors file"),
    Damage("an offset beyond", header(lambda v: first(v, data_offsets=[0, 2**62])), "is no safetensors file"),
    Damage("an unknown type", header(lambda v: first(v, dtype="F99")), "is no safetensors file"),
    Damage("a huge shape", header(lambda v: first(v, shape=[2**62, 2**62])), "is no safetensors file"),
    Damage("a shape of another size", header(lambda v: first(v, shape=[3, 3])), "is no safetensors file"),
    Damage("a turned shape", tensors(lambda t: t.update({LINEAR: t[LINEAR][:, :5].clone()})), "cannot be put together"),
    Damage("a tensor less", tensors(lambda t: t.pop(LINEAR)), "cannot be put together"),
    Damage("a tensor more", tensors(lambda t: t.update({"model.more": torch.ones(2)})), "cannot be put together"),
    Damage("a tensor of nothing of ours", tensors(lambda t: t.update({"evil": torch.ones(2)})), "holds evil"),
    Damage("a guide that is not there", tensors(lambda t: t.update({"guide_compactor.mean": torch.ones(2)})), "not part"),
    Damage("whole numbers as weights", tensors(lambda t: t.update({LINEAR: t[LINEAR].long()})), "holds torch.int64"),
    Damage("complex weights", tensors(lambda t: t.update({LINEAR: t[LINEAR].to(torch.complex64)})), "complex64"),
    Damage("tokenizer empty", text("", "tokenizer.json"), "is no tokenizer"),
    Damage("tokenizer deep", text("[" * DEEP, "tokenizer.json"), "is no tokenizer"),
    Damage("tokenizer of nothing", text("{}", "tokenizer.json"), "is no tokenizer"),
    Damage("tokenizer in latin-1", text(b'{"a": "\xe9"}', "tokenizer.json"), "is no tokenizer"),
    Damage("no tokenizer", lambda folder: (folder / "tokenizer.json").unlink(), "is missing"),
    Damage("no weights", lambda folder: (folder / "model.safetensors").unlink(), "is missing"),
    Damage("no config", lambda folder: (folder / "config.json").unlink(), "is no checkpoint"),
]  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED, ids=[case.name for case in DAMAGED])
def test_damage_is_told(case: Damage, sound: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sound[case.of], folder)
    case.spoil(folder)
    before = snapshot(folder)
    refused(CheckpointError, case.says, lambda: load_model(folder))
    assert snapshot(folder) == before


def test_what_is_spoiled_is_sound_before(sound: dict[str, Path]) -> None:
    for folder in sound.values():
        assert load(folder).encode_text(["a dog"]).shape == (1, 24)


def test_tokens_beyond_the_vocabulary(sound: dict[str, Path], tmp_path: Path) -> None:
    """As many tokens as before, but one of a number that the embeddings have no row for."""
    folder = tmp_path / "model"
    shutil.copytree(sound["gru"], folder)
    values = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = values["model"]["vocab"]
    vocabulary["dog"] = 10**6
    put(folder, "tokenizer.json", json.dumps(values))
    refused(CheckpointError, "up to id 1,000,000", lambda: load_model(folder))


@pytest.mark.parametrize(
    "key", ["auto_map", "attn_implementation", "_attn_implementation", "quantization_config"]
)
def test_no_configuration_names_code(sound: dict[str, Path], tmp_path: Path, key: str) -> None:
    """Transformers would fetch and import what these name; it is told nothing of them."""
    folder = tmp_path / "model"
    shutil.copytree(sound["bert"], folder)
    evil = {"AutoModel": "evil/repository--model.Evil", "quant_method": "evil"}
    value: object = evil if key in ("auto_map", "quantization_config") else "evil/kernels"
    set_to("transformer", key, value=value)(folder)
    assert load(folder).encode_text(["a dog"]).shape == (1, 24)


RUNS = [
    ("empty", "", "is damaged"),
    ("deep", "[" * DEEP, "is damaged"),
    ("a list", "[]", "is damaged"),
    ("no best", "{}", "is damaged"),
    ("a way out", '{"best": "../../secret", "last": "../../secret"}', "is damaged"),
    ("a path from the root", '{"best": "/etc", "last": "/etc"}', "is damaged"),
    ("a number", '{"best": 5, "last": 5}', "is damaged"),
    ("a list as name", '{"best": ["a"], "last": ["a"]}', "is damaged"),
    ("UTF-16", '{"best": null}'.encode("utf-16"), "is damaged"),
]


@pytest.mark.parametrize(("content", "says"), [case[1:] for case in RUNS], ids=[c[0] for c in RUNS])
def test_damaged_runs(tmp_path: Path, content: bytes | str, says: str) -> None:
    put(tmp_path, "run/run.json", content)
    put(tmp_path, "run/config.yaml", "{}\n")
    put(tmp_path, "secret/config.json", "{}")
    before = snapshot(tmp_path)
    refused(CheckpointError, says, lambda: load_model(tmp_path / "run"))
    if content != "{}":  # a run that has no checkpoint yet
        refused(CheckpointError, says, lambda: RunFolder(tmp_path / "run").open())
    assert snapshot(tmp_path) == before


STATES: list[tuple[str, Callable[[Path], object], str]] = [
    ("empty", text("", "training.json"), "is damaged"),
    ("deep", text("[" * DEEP, "training.json"), "is damaged"),
    ("a list", text("[]", "training.json"), "format version None"),
    ("of the future", text('{"format_version": 9}', "training.json"), "format version 9"),
    ("no state", text('{"format_version": 1}', "training.json"), "is damaged"),
    ("a number", text('{"format_version": 1, "state": 7}', "training.json"), "is damaged"),
    ("a bad pair", text('{"format_version": 1, "state": {"$dict": [7]}}', "training.json"), "is damaged"),
    ("a list as key", text('{"format_version": 1, "state": {"$dict": [[[], 1]]}}', "training.json"), "is damaged"),
    ("an unknown tensor", text('{"format_version": 1, "state": {"$tensor": "x"}}', "training.json"), "is damaged"),
    ("a tensor named by a list", text('{"format_version": 1, "state": {"$tensor": []}}', "training.json"), "is damaged"),
    ("tensors cut short", text(b"x", "training.safetensors"), "is damaged"),
    ("no tensors", lambda folder: (folder / "training.safetensors").unlink(), "is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "says"), [c[1:] for c in STATES], ids=[c[0] for c in STATES])
def test_damaged_training_states(tmp_path: Path, spoil: Spoil, says: str) -> None:
    state = {"numbers": torch.arange(3), "epoch": 3}
    write_state(tmp_path, copy.deepcopy(state))
    assert read_state(tmp_path)["epoch"] == 3
    spoil(tmp_path)
    refused(CheckpointError, says, lambda: read_state(tmp_path))


def test_weights_that_are_no_numbers_give_no_results(
    sound: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sound["gru"], folder)
    tensors(lambda t: t.update({LINEAR: torch.full_like(t[LINEAR], float("nan"))}))(folder)
    assert np.isnan(load(folder).encode_text(["a dog"])).all()
