"""Fetching models from a hub that runs on this machine."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Hub, running_hub

import user_itr
from user_itr.errors import CheckpointError, DownloadError
from user_itr.hub import fetching
from user_itr.hub.cache import cache_folder, repository_folder
from user_itr.hub.fetching import fetch_model
from user_itr.hub.names import resolve_model
from user_itr.hub.records import read_records, records_file

ONE, TWO = "1" * 40, "2" * 40
random.seed(0)
WEIGHTS = random.randbytes(3_000_000)
FILES = {
    "config.json": b'{"model_type": "clip"}',
    "tokenizer.json": b'{"a": "' + b"b" * 300 + b'"}',
    "onnx/text_model.onnx": b"text" * 100,
    "onnx/vision_model.onnx": WEIGHTS,
    "onnx/text_model_int8.onnx": b"small text" * 100,
    "onnx/vision_model_int8.onnx": b"small" * 100,
    "model.safetensors": b"tensors" * 100,
    "pytorch_model.bin": b"pickle" * 100,
    "modeling_clip.py": b"print('code')",
    "README.md": b"A model.",
}
EXACT = {
    "README.md",
    "config.json",
    "tokenizer.json",
    "onnx/text_model.onnx",
    "onnx/vision_model.onnx",
}
INT8 = "me/mine/onnx/vision_model_int8.onnx"
VISION = "onnx/vision_model.onnx"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub() as running:
        running.put("me/mine", dict(FILES))
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        yield running


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def refused(name: str) -> str:
    with pytest.raises(DownloadError) as error:
        fetch_model(name)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_needed_comes_and_is_found_by_its_name(hub):
    shown: list[tuple[int, int]] = []
    fetched = fetch_model("me/mine", lambda done, total: shown.append((done, total)))
    assert contents(fetched.path) == {path: FILES[path] for path in EXACT}
    total = sum(len(FILES[path]) for path in EXACT)
    assert fetched.bytes == fetched.received == total
    assert shown[-1] == (total, total)
    assert shown == sorted(shown)
    assert str(fetched.name) == f"me/mine@{ONE}"
    assert resolve_model("me/mine").path == fetched.path
    assert resolve_model("me/mine@main").path == fetched.path
    record = read_records()["me/mine"]
    assert record.commit == ONE
    assert record.files[VISION].hash == hashlib.sha256(WEIGHTS).hexdigest()


def test_the_hub_s_own_library_finds_it_too(hub):
    from huggingface_hub import snapshot_download, try_to_load_from_cache

    fetched = fetch_model("me/mine")
    folder = snapshot_download(
        "me/mine", revision="main", cache_dir=cache_folder(), local_files_only=True
    )
    assert Path(folder) == fetched.path
    found = try_to_load_from_cache("me/mine", VISION, cache_dir=cache_folder())
    assert isinstance(found, str)
    assert Path(found).read_bytes() == WEIGHTS


def test_a_second_time_asks_nobody(hub):
    fetch_model("me/mine")
    hub.asked.clear()
    assert fetch_model("me/mine").received == 0
    assert hub.asked == []


def test_a_file_chooses_among_precisions_and_weights(hub):
    assert set(contents(fetch_model(INT8).path.parents[1])) == {
        "README.md",
        "config.json",
        "tokenizer.json",
        "onnx/text_model_int8.onnx",
        "onnx/vision_model_int8.onnx",
    }
    hub.asked.clear()
    fetch_model("me/mine/model.safetensors")
    assert hub.files_asked() == ["model.safetensors"]
    fetch_model("me/mine")
    assert set(hub.files_asked()[1:]) == {"onnx/text_model.onnx", VISION}


def test_the_commit_holds_until_another_is_asked_for(hub):
    fetch_model("me/mine")
    hub.put("me/mine", {**FILES, "config.json": b'{"model_type": "siglip"}'}, TWO)
    assert str(fetch_model("me/mine").name) == f"me/mine@{ONE}"
    assert str(fetch_model("me/mine@main").name) == f"me/mine@{TWO}"
    assert resolve_model("me/mine").recorded == f"me/mine@{TWO}"
    assert resolve_model(f"me/mine@{ONE}").recorded == f"me/mine@{ONE}"


def test_the_short_choice_comes_at_its_commit(hub):
    commit = "3ba9ad23187f2b95723d902072ef8d91b0a2d081"
    hub.put("Xenova/siglip-base-patch16-224", dict(FILES), commit, ref="old")
    assert fetch_model("siglip-b16").name.revision == commit
    assert resolve_model("siglip-b16").path.name == commit


def test_a_connection_that_breaks_is_taken_up_where_some_came(hub):
    hub.cut[VISION] = [1_000_000, 1_200_000]
    fetched = fetch_model("me/mine")
    assert (fetched.path / VISION).read_bytes() == WEIGHTS
    starts = [headers.get("Range") for _, path, headers in hub.asked if path.startswith("/cdn")]
    assert [start for start in starts if start] == ["bytes=1000000-", "bytes=2200000-"]


def test_what_was_interrupted_goes_on_later(hub):
    hub.cut[VISION] = [1_500_000, 0]
    said = refused("me/mine")
    assert "cannot be reached" in said
    assert "1.5 of 3.0 MB of onnx/vision_model.onnx are there, and the same command goes on" in said
    with pytest.raises(CheckpointError, match="models get me/mine"):
        resolve_model("me/mine")
    fetched = fetch_model("me/mine")
    assert fetched.received == len(WEIGHTS) - 1_500_000
    assert (fetched.path / VISION).read_bytes() == WEIGHTS
    assert not list(cache_folder().rglob("*incomplete"))


def test_ctrl_c_keeps_what_came(hub):
    def stop(done: int, total: int) -> None:
        if done > 2_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_model("me/mine", stop)
    assert fetch_model("me/mine").received < 2_000_000


def test_a_hub_that_sends_all_again_is_no_fault(hub):
    hub.cut[VISION] = [1_000_000]
    hub.whole = True
    assert (fetch_model("me/mine").path / VISION).read_bytes() == WEIGHTS


@pytest.mark.parametrize("path", [VISION, "config.json"])
def test_a_wrong_hash_is_refused_and_thrown_away(path, hub):
    right = FILES[path]
    hub.changed[path] = right[:-1] + bytes([right[-1] ^ 1])
    assert f"{path} came with other contents than its hash says" in refused("me/mine")
    with pytest.raises(CheckpointError):
        resolve_model("me/mine")
    hub.changed.clear()
    assert (fetch_model("me/mine").path / path).read_bytes() == right


@pytest.mark.parametrize("more", [b"", WEIGHTS + b"x"])
def test_a_file_of_another_size_is_refused(more, hub):
    hub.changed[VISION] = more
    assert "other contents" in refused("me/mine")


def test_a_damaged_file_is_fetched_again(hub):
    fetched = fetch_model("me/mine")
    blob = (fetched.path / VISION).resolve()
    blob.chmod(0o644)
    blob.write_bytes(b"x" * len(WEIGHTS))
    again = fetch_model("me/mine")
    assert again.received == len(WEIGHTS)
    assert (again.path / VISION).read_bytes() == WEIGHTS


def test_another_hash_at_the_same_commit_is_refused(hub):
    fetch_model(INT8)
    hub.put("me/mine", {**FILES, "tokenizer.json": b'{"evil": 1}'})
    said = refused("me/mine")
    assert "another hash of tokenizer.json" in said
    assert "do not trust it" in said


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ((401, "RepoNotFound"), "there is no such model on http://127.0.0.1"),
        ((404, "RepoNotFound"), "there is no such model"),
        ((404, "RevisionNotFound"), "has no revision main"),
        ((403, "GatedRepo"), "asks you to accept terms first"),
        ((500, ""), "answers with status 500; try again later"),
        ((429, ""), "answers with status 429"),
        ((200, ""), "cannot be reached"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence_at_once(status, said, hub):
    hub.status = status
    assert said in refused("me/mine")
    assert len(hub.asked) == 1


def test_no_hub_at_all_is_one_sentence_at_once(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    said = refused("me/mine")
    assert "http://127.0.0.1:9 cannot be reached" in said
    assert "HTTPS_PROXY" in said


def test_a_file_that_vanishes_is_said(hub):
    class Vanishing(dict):
        def get(self, key, default=None):
            return default

    hub.repositories["me/mine"][ONE] = Vanishing(FILES)
    assert "answers with status 404" in refused("me/mine")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody/mine", "there is no such model"),
        ("me/mine@v9", "has no revision v9"),
        ("me/mine/onnx/model_q4.onnx", "the model has no such file"),
        ("mine", "is no model's name; give OWNER/NAME"),
        ("../me/mine", "is no model's name"),
    ],
)
def test_what_is_not_on_the_hub_is_said(name, said, hub):
    assert said in refused(name)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"config.json": b"{}"}, "holds neither ONNX files nor safetensors"),
        ({"pytorch_model.bin": b"x"}, "run `hf download me/other` if you trust its owner"),
        ({"../model.safetensors": b"x"}, "holds neither"),
        ({"a/../model.safetensors": b"x"}, "holds neither"),
        ({"/model.safetensors": b"x"}, "holds neither"),
        (
            {"config.json": b'{"auto_map": {"AutoModel": "x.Y"}}', "model.safetensors": WEIGHTS},
            "asks to run code of its own",
        ),
    ],
)
def test_what_cannot_be_used_is_not_fetched(files, said, hub):
    hub.put("me/other", files)
    assert said in refused("me/other")
    assert "model.safetensors" not in " ".join(hub.files_asked())
    assert list(cache_folder().parent.rglob("model.safetensors")) == []


def test_a_model_in_parts_and_one_of_ours(hub):
    parts = {f"model-0000{n}-of-00002.safetensors": b"part" for n in (1, 2)}
    hub.put("me/parts", {"config.json": b"{}", "model.safetensors.index.json": b"{}", **parts})
    assert set(parts) < set(contents(fetch_model("me/parts").path))
    pair = ("modules.json", "model.safetensors", "2_Dense/config.json", "2_Dense/model.safetensors")
    hub.put("me/pair", {**dict.fromkeys(pair, b"{}"), "onnx/model.onnx": b"x", "rust.ot": b"x"})
    assert set(contents(fetch_model("me/pair").path)) == set(pair)
    hub.put("me/pickled", {**dict.fromkeys(pair[:3], b"{}"), "2_Dense/pytorch_model.bin": b"x"})
    assert "a pickle of PyTorch alone" in refused("me/pickled")
    own = ("exported.json", "text.onnx", "image.onnx", "frozen.bin", "model.safetensors")
    hub.put("me/ours", {**dict.fromkeys(own, b"ours"), "train.py": b"code"})
    assert set(contents(fetch_model("me/ours").path)) == set(own)


def test_a_full_disk_is_said_before_anything_comes(hub, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1, 1, 999))
    said = refused("me/mine")
    assert "takes 3 MB" in said
    assert "make room, or set HF_HUB_CACHE" in said
    assert hub.files_asked() == []


def test_a_disk_that_fills_up_keeps_what_came(hub, monkeypatch):
    made = repository_folder("me/mine") / "blobs"
    made.mkdir(parents=True)
    made.chmod(0o555)
    if os.access(made, os.W_OK):  # root may write anywhere
        made.rmdir()
        made.write_text("a file")
    said = refused("me/mine")
    assert "cannot be written" in said
    assert "goes on where it stopped" in said


def test_two_processes_do_not_fetch_at_once(hub):
    def other(done: int, total: int) -> None:
        assert "another process fetches it" in refused("me/mine")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_model("me/mine", other)


def test_nothing_is_told_beside_what_is_asked(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch_model("me/mine")
    large = [path for path in EXACT if len(FILES[path]) >= 200]
    assert len(hub.asked) == 1 + len(EXACT) + len(large)
    for host, path, headers in hub.asked:
        assert path.startswith(("/api/models/me/mine/", "/me/mine/resolve/", "/cdn/me/mine/"))
        agent = headers["User-Agent"].split("; ")
        assert [part.partition("/")[0] for part in agent] == ["user-itr", "hf_hub", "python"]
        assert ("Authorization" in headers) == (not path.startswith("/cdn/")), host


def command(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    source = str(Path(user_itr.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-m", "user_itr", "models", *words],
        env={**os.environ, "PYTHONPATH": source, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_proxy_of_the_environment_is_taken(hub):
    variables = {"HTTP_PROXY": hub.address, "http_proxy": hub.address, "NO_PROXY": ""}
    hub.refs["me/mine"]["main"] = ONE
    hub.repositories["me/mine"][ONE] = {
        path: content for path, content in FILES.items() if len(content) < 200
    } | {"model.safetensors": b"small"}
    done = command("get", "me/mine", HF_ENDPOINT="http://hub.example", **variables)
    assert done.returncode == 0, done.stderr
    assert f"me/mine@{ONE}: fetched, 0.0 MB" in done.stdout
    assert {host for host, _, _ in hub.asked} == {"hub.example"}
    assert records_file().is_file()


def test_a_mistake_of_the_command_is_one_line_and_code_2(hub):
    for words, variables in (
        (("get", "nobody/mine"), {}),
        (("get", "me/mine"), {"HF_ENDPOINT": "http://127.0.0.1:9"}),
        (("get", "me/mine"), {"HF_HUB_OFFLINE": "1"}),
    ):
        done = command(*words, **variables)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("user-itr: ")
        assert done.stderr.count("\n") == 1
    assert fetching.fetch_model("me/mine").received


def test_the_choice_is_listed_with_what_was_fetched(hub):
    commit = "3ba9ad23187f2b95723d902072ef8d91b0a2d081"
    hub.put("Xenova/siglip-base-patch16-224", dict(FILES), commit)
    fetch_model("siglip-b16")
    fetch_model("me/mine")
    done = command()
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    [row] = [line for line in lines if line.startswith("siglip-b16 ")]
    assert row.split()[-1] == "yes"
    source = "Xenova/siglip-base-patch16-224 at 3ba9ad2, figure of arXiv 2502.14786"
    assert f"siglip-b16: {source}" in lines
    assert "also fetched: me/mine" in lines
    assert len([line for line in lines if line.endswith("%")]) == 3
