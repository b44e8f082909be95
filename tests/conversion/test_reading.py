from __future__ import annotations

import argparse
import builtins
import os
import pickle
import subprocess
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published import official
from torch import nn

from user_itr.conversion.reading import read_published
from user_itr.errors import CheckpointError

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def shell(marker: Path) -> object:
    return Call(os.system, f"touch {marker}")


def evaluated(marker: Path) -> object:
    return Call(builtins.eval, f"__import__('pathlib').Path({str(marker)!r}).touch()")


def executed(marker: Path) -> object:
    return Call(builtins.exec, f"open({str(marker)!r}, 'w').close()")


def process(marker: Path) -> object:
    return Call(subprocess.check_call, ["touch", str(marker)])


def unpickled(marker: Path) -> object:
    return Call(pickle.loads, pickle.dumps(shell(marker)))


def attribute(marker: Path) -> object:
    return Call(getattr, Call(argparse.Namespace), "a", shell(marker))


PAYLOADS = [
    (shell, r"posix\.system|nt\.system"),
    (evaluated, "eval"),
    (executed, "exec"),
    (process, r"(commands|subprocess)\.check_call"),
    (unpickled, r"_?pickle\.loads"),
    (attribute, "getattr"),
]


def at_the_top(content: dict[str, Any], payload: object) -> None:
    content["best_rsum"] = payload


def in_the_weights(content: dict[str, Any], payload: object) -> None:
    content["model"][0]["fc.weight"] = payload


def in_the_options(content: dict[str, Any], payload: object) -> None:
    content["opt"].loader = argparse.Namespace(inner=[{"deep": (payload,)}])


def in_a_state_dict_attribute(content: dict[str, Any], payload: object) -> None:
    state = OrderedDict(content["model"][1])
    state._metadata = payload  # type: ignore[attr-defined]
    content["model"][1] = state


@FORMATS
@pytest.mark.parametrize(
    "place", [at_the_top, in_the_weights, in_the_options, in_a_state_dict_attribute]
)
@pytest.mark.parametrize(("payload", "name"), PAYLOADS)
def test_malicious_pickles_are_refused_and_nothing_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    payload: Callable[[Path], object],
    name: str,
    place: Callable[[dict[str, Any], object], None],
    zipped: bool,
) -> None:
    marker, file = tmp_path / "marker", tmp_path / "evil.pth"
    content = official("USER")
    place(content, payload(marker))
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    # The variable by which people make old code load anything.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(CheckpointError, match=rf"evil\.pth: names ({name}), .* nothing was run"):
        read_published(file)
    assert not marker.exists()
    torch.load(file, weights_only=False)  # the trap is a real one
    assert marker.exists()


@FORMATS
@pytest.mark.parametrize(
    ("rsum", "expected"),
    [
        (np.float64(512.25), 512.25),
        (np.float32(512.25), 512.25),
        (np.dtype(">f8").type(512.25), 512.25),
        (np.int64(-3), -3.0),
        (np.float64("nan"), None),
        (torch.tensor(512.25), 512.25),
        (512.25, 512.25),
        (0, 0.0),
        (None, None),
    ],
)
def test_everything_official_is_read(
    tmp_path: Path, rsum: object, expected: float | None, zipped: bool
) -> None:
    content = official("USER", mu=np.float64(90.0)) | {"best_rsum": rsum}
    torch.save(content, tmp_path / "user.pth", _use_new_zipfile_serialization=zipped)
    published = read_published(tmp_path / "user.pth")
    assert published.rsum == expected
    assert published.epoch == 9
    assert published.options == vars(content["opt"])
    for state, original in zip((published.image, published.text), content["model"], strict=True):
        assert state.keys() == original.keys()
        assert all(torch.equal(state[key], original[key]) for key in state)


def test_numpy_1_names_its_scalars_elsewhere(tmp_path: Path) -> None:
    torch.save(official("USER"), tmp_path / "new.pth", _use_new_zipfile_serialization=False)
    raw = (tmp_path / "new.pth").read_bytes()
    old = raw.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != raw
    (tmp_path / "old.pth").write_bytes(old)
    assert read_published(tmp_path / "old.pth").rsum == 512.25


def test_numpy_itself_is_never_called(tmp_path: Path) -> None:
    """A dtype's pickled state can say that eight plain bytes are a pointer to an object."""
    lying = np.dtype([("pointer", "O")])
    content = official("USER") | {"best_rsum": Call(np.dtype, "V8", lying)}
    torch.save(content, tmp_path / "user.pth")
    with pytest.raises(CheckpointError, match="is damaged, or no checkpoint"):
        read_published(tmp_path / "user.pth")


def test_the_prefix_of_data_parallel_is_taken_off(tmp_path: Path) -> None:
    content = official("USER")
    plain = content["model"]
    content["model"] = [{f"module.{k}": t for k, t in state.items()} for state in plain]
    torch.save(content, tmp_path / "user.pth")
    published = read_published(tmp_path / "user.pth")
    assert published.image.keys() == plain[0].keys()
    assert published.text.keys() == plain[1].keys()


def test_parameters_and_missing_extras(tmp_path: Path) -> None:
    image, text = official("VSE-infinity")["model"]
    image["fc.bias"] = nn.Parameter(image["fc.bias"])
    torch.save({"model": [image, text]}, tmp_path / "vse.pth")
    published = read_published(tmp_path / "vse.pth")
    assert (published.epoch, published.rsum, published.options) == (None, None, {})
    assert not published.image["fc.bias"].requires_grad


def refused(file: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        read_published(file)
    sentence = str(error.value)
    assert sentence.startswith(f"{file}: ")
    assert "\n" not in sentence
    return sentence


def test_a_torchscript_program(tmp_path: Path) -> None:
    torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "model.pt"))
    assert "is a TorchScript program" in refused(tmp_path / "model.pt")


@FORMATS
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_a_file_cut_short(tmp_path: Path, kept: float, zipped: bool) -> None:
    whole = tmp_path / "user.pth"
    torch.save(official("USER"), whole, _use_new_zipfile_serialization=zipped)
    raw = whole.read_bytes()
    whole.write_bytes(raw[: int(kept * len(raw))])
    assert "is damaged, or no checkpoint" in refused(whole)


@pytest.mark.parametrize("raw", [b"hello", b"\x80\x02K\x01.", b"PK\x03\x04 and then nothing"])
def test_a_file_of_something_else(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "notes.txt").write_bytes(raw)
    assert "is damaged, or no checkpoint" in refused(tmp_path / "notes.txt")


def test_no_file(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "nowhere.pth")
    assert "no such file" in refused(tmp_path)


def test_a_compressed_archive_is_not_unpacked(tmp_path: Path) -> None:
    torch.save({"model": [{"a": torch.zeros(1_000_000)}, {}]}, tmp_path / "zeros.pth")
    with (
        zipfile.ZipFile(tmp_path / "zeros.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in plain.infolist():
            bomb.writestr(entry.filename, plain.read(entry))
    assert (tmp_path / "bomb.pth").stat().st_size < 100_000
    assert "is compressed" in refused(tmp_path / "bomb.pth")


def test_a_tensor_larger_than_its_file(tmp_path: Path) -> None:
    content = official("USER")
    content["model"][0]["fc.weight"] = torch.zeros(1).expand(1_000_000, 1_000_000)
    torch.save(content, tmp_path / "user.pth")
    assert "more bytes than the file has" in refused(tmp_path / "user.pth")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([1, 2], "is no official checkpoint (key model is missing)"),
        ({"epoch": 1}, "is no official checkpoint (key model is missing)"),
        ({"model": [{}, {}], "queue": 1, "ema\n": 2}, "unknown queue, 'ema\\n'; such a file"),
        ({"model": {}}, "holds no list of two state dicts"),
        ({"model": [{}]}, "holds no list of two state dicts"),
        ({"model": [{}, 3]}, "key model holds int, no state dict"),
        ({"model": [{"a": 3}, {}]}, "a is no plain tensor of real numbers"),
        ({"model": [{3: torch.ones(1)}, {}]}, "3 is no plain tensor"),
        ({"model": [{"a": torch.ones(1, dtype=torch.cfloat)}, {}]}, "a is no plain tensor"),
        ({"model": [{"a": torch.eye(2).to_sparse()}, {}]}, "a is no plain tensor"),
        ({"model": [{"a": torch.ones(2, device="meta")}, {}]}, "a is no plain tensor"),
    ],
)
def test_another_content(tmp_path: Path, content: object, sentence: str) -> None:
    torch.save(content, tmp_path / "other.pth")
    assert sentence in refused(tmp_path / "other.pth")


def test_no_tensor_reaches_beyond_its_file(tmp_path: Path) -> None:
    """A record of 16 bytes whose tensor claims 4,000: what lies behind is not read into it."""
    saved = tmp_path / "saved.pth"
    content = official("USER")
    content["model"][0]["fc.bias"] = torch.zeros(1_000)
    torch.save(content, saved)
    evil = tmp_path / "evil.pth"
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(evil, "w") as new:
        cut = next(e.filename for e in old.infolist() if e.file_size == 4_000)
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename == cut:
                data = bytes(16)
            elif "/data/" in entry.filename:
                data = b"\x3f" * len(data)
            new.writestr(entry.filename, data)
    try:
        found = read_published(evil).image["fc.bias"]
    except CheckpointError:
        return
    content_of_file = evil.read_bytes()
    assert found.numpy().tobytes() in content_of_file
