from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_cache import put_in_cache
from hypothesis import given
from hypothesis import strategies as st

from user_itr.errors import CheckpointError
from user_itr.hub.cache import HubName, cache_folder, folder_title, hub_name
from user_itr.hub.names import recorded_name, resolve_model
from user_itr.hub.records import FileRecord, Record, records_file, write_records
from user_itr.pretrained import DEFAULT, shipped_model

ONE, TWO = "1" * 40, "2" * 40


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    (folder / "onnx").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "onnx" / "text_model_int8.onnx").write_text("no graph")
    return folder


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("openai/clip-vit-base-patch32", ("openai/clip-vit-base-patch32", None, None)),
        ("a/b@main", ("a/b", "main", None)),
        (f"a/b@{ONE}", ("a/b", ONE, None)),
        ("a/b/onnx/text_model_q4.onnx", ("a/b", None, "onnx/text_model_q4.onnx")),
        ("a/b@v1.2/model.safetensors", ("a/b", "v1.2", "model.safetensors")),
    ],
)
def test_the_parts_of_a_name(text, parts):
    name = hub_name(text)
    assert name == HubName(*parts)
    assert str(name) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bert",
        "a/b/c",
        "./a/b",
        "/a/b",
        "../b",
        "a/..",
        "a/b@",
        "a/b@../../x",
        "a/b@refs/pr/1",
        "a--b/c",
        "a/b/config.json",
        "a/b/../c.onnx",
        "a/b/x/y/z.onnx",
        "scores/mine.npy",
        "a/b\n",
        "a b/c",
        "s3://bucket/prefix",
        "https://huggingface.co/a/b",
        "transformers:a/b",
    ],
)
def test_no_name_of_the_hub(text):
    assert hub_name(text) is None


@given(st.text(alphabet="ab./@-_~\\ \n", max_size=20))
def test_no_name_leads_out_of_the_cache(text):
    name = hub_name(text)
    if name is not None:
        assert str(name) == text
        assert ".." not in text
        assert not Path(text).is_absolute()


def test_a_model_that_ships_and_a_path_need_no_hub(model, monkeypatch):
    assert resolve_model(DEFAULT).path == shipped_model(DEFAULT)
    assert resolve_model(DEFAULT).recorded == DEFAULT
    monkeypatch.chdir(model.parent)
    found = resolve_model("made")
    assert (found.path, found.recorded, found.notice) == (Path("made"), str(model), None)


def test_a_fetched_model_is_found_by_its_name(model):
    snapshot = put_in_cache(model, "me/mine")
    found = resolve_model("me/mine")
    assert (found.path, found.recorded) == (snapshot, f"me/mine@{ONE}")
    assert resolve_model(found.recorded) == found
    assert folder_title(found.path) == "me/mine"
    chosen = resolve_model("me/mine/onnx/text_model_int8.onnx")
    assert chosen.path == snapshot / "onnx" / "text_model_int8.onnx"
    assert chosen.recorded == f"me/mine@{ONE}/onnx/text_model_int8.onnx"


def test_a_short_name_is_that_of_a_fetched_model(model):
    put_in_cache(model, "Xenova/siglip-base-patch16-224")
    assert resolve_model("siglip-b16").recorded == f"Xenova/siglip-base-patch16-224@{ONE}"


def test_the_commit_that_was_fetched_comes_before_the_cache_s_main(model):
    put_in_cache(model, "me/mine", TWO, ref=None)
    put_in_cache(model, "me/mine", ONE, ref="main")
    write_records({"me/mine": Record(commit=TWO, files={"a": FileRecord(size=1, hash="0" * 64)})})
    assert resolve_model("me/mine").recorded == f"me/mine@{TWO}"
    assert resolve_model("me/mine@main").recorded == f"me/mine@{ONE}"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("me/mine", "run `user-itr models get me/mine`, or check the path"),
        ("me/mine@v2", "run `user-itr models get me/mine@v2`"),
        ("me/other/onnx/model.onnx", "run `user-itr models get me/other/onnx/model.onnx`"),
        ("siglip-b16", "run `user-itr models get siglip-b16`."),
        ("nowhere", "no such folder"),
        ("./me/mine", "no such folder; give a checkpoint or a run"),
        ("shipped:other", "no such model ships"),
        ("", "no such folder"),
    ],
)
def test_what_is_not_there_is_said_with_the_remedy(name, said):
    with pytest.raises(CheckpointError, match="^" + name) as error:
        resolve_model(name)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert recorded_name(name) == name


def test_a_file_that_was_not_fetched_is_not_there(model):
    put_in_cache(model, "me/mine")
    with pytest.raises(CheckpointError, match=r"models get me/mine/onnx/text_model\.onnx"):
        resolve_model("me/mine/onnx/text_model.onnx")


def test_a_folder_of_a_fetched_model_s_name_is_taken_and_said(model, tmp_path, monkeypatch):
    put_in_cache(model, "me/mine")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me" / "mine").mkdir(parents=True)
    found = resolve_model("me/mine")
    assert found.path == Path("me/mine")
    assert found.recorded == str(tmp_path / "me" / "mine")
    assert found.notice is not None
    assert "is the folder" in found.notice
    assert "give me/mine@main for that, or ./me/mine" in found.notice
    assert resolve_model("./me/mine").notice is None
    assert resolve_model(Path("me/mine")).notice is None
    assert resolve_model("me/mine@main").recorded == f"me/mine@{ONE}"


def test_a_folder_of_a_short_name_is_taken_and_said(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "siglip-b16").mkdir()
    notice = resolve_model("siglip-b16").notice
    assert notice is not None
    assert "Xenova/siglip-base-patch16-224@main" in notice


def test_a_run_in_a_folder_is_no_other_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "best").mkdir(parents=True)
    assert resolve_model("runs/best").notice is None


def test_the_cache_is_where_the_hub_s_library_has_it(tmp_path):
    library = (
        "from huggingface_hub import constants\n"
        "from user_itr.hub.cache import cache_folder\n"
        "assert str(cache_folder()) == constants.HF_HUB_CACHE, (cache_folder(), constants)\n"
        "print(cache_folder())"
    )
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    source = str(Path(sys.modules["user_itr"].__file__ or "").parents[1])
    said = []
    for given_variables in (
        {},
        {"XDG_CACHE_HOME": "/x"},
        {"HF_HOME": "~/h"},
        {"HF_HUB_CACHE": "$HOME/c", "HF_HOME": "/h"},
    ):
        done = subprocess.run(
            [sys.executable, "-c", library],
            env={**home, "PYTHONPATH": source, **given_variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.strip())
    assert said[1:] == ["/x/huggingface/hub", f"{tmp_path}/h/hub", f"{tmp_path}/c"]


def test_a_cache_that_was_tampered_with_leads_nowhere(model, tmp_path):
    snapshot = put_in_cache(model, "me/mine")
    ref = cache_folder() / "models--me--mine" / "refs" / "main"
    for text in ("../../..", "", "\0", "ü", ONE[:-1]):
        ref.write_text(text)
        with pytest.raises(CheckpointError, match="fetched from"):
            resolve_model("me/mine")
    ref.write_text(f"{ONE}\n")
    assert resolve_model("me/mine").path == snapshot


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a/b": {"commit": 3}}', "[" * 100_000])
def test_a_damaged_record_is_said(content):
    records_file().parent.mkdir(parents=True)
    records_file().write_text(content)
    with pytest.raises(CheckpointError, match="is damaged; delete it"):
        resolve_model("me/mine")
