"""Models that were fetched from the hub, by their names, wherever a model is taken."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from odd_photographs import photograph

import user_itr
from user_itr import ImageIndex, load
from user_itr.cli import main
from user_itr.pretrained import DEFAULT, shipped_model

sys.path.append(str(Path(__file__).parents[2] / "hub"))
from hub_cache import put_in_cache

LIGHT = """\
import sys
missing = ("torch", "transformers", "onnx", "safetensors", "scipy", "huggingface_hub")
sys.modules.update(dict.fromkeys(missing))
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        photograph(90 + 7 * number, 61, number).save(folder / f"{number}.png")
    lines = [f"{number}.png,picture {number},test" for number in range(3)]
    (folder / "captions.csv").write_text("\n".join(["image,caption,split", *lines]))
    return folder


@pytest.fixture
def light(tmp_path):
    """Runs a command without PyTorch, and without the library of the hub."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(LIGHT)
    paths = [str(tmp_path / "site"), str(Path(user_itr.__file__).parents[1])]

    def run(*arguments: object) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "user_itr", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(map(str, words)))
    return int(end.value.code or 0)


def test_photos_are_searched_by_a_name_without_the_hub_s_library(published, photos, light):
    put_in_cache(published["clip"], "me/mine")
    light("index", photos, "--model", "me/mine", "--index", "index")
    manifest = ImageIndex.open("index").manifest
    assert manifest.model == f"me/mine@{'1' * 40}"
    assert manifest.description == "CLIP me/mine, 12 wide"
    found = json.loads(light("search", "a dog", "--index", "index", "--json"))["results"]
    encoder = load(published["clip"])
    scores = encoder.encode_images([hit["path"] for hit in found]) @ encoder.encode_text("a dog").T
    np.testing.assert_allclose([hit["score"] for hit in found], scores[:, 0], atol=2e-3)


def test_one_model_by_any_name_is_one_model(published):
    put_in_cache(published["siglip"], "me/mine")
    fingerprints = {
        load(name).fingerprint
        for name in (published["siglip"], "me/mine", "me/mine@main", f"me/mine@{'1' * 40}")
    }
    assert len(fingerprints) == 1


def test_a_file_of_a_fetched_model_chooses_the_precision(published):
    put_in_cache(published["clip"], "me/mine")
    chosen = load("me/mine/onnx/vision_model.onnx")
    assert chosen.graphs.vision.name == "vision_model.onnx"


def test_an_exported_model_runs_out_of_the_cache(photos):
    put_in_cache(shipped_model(DEFAULT), "me/ours")
    ours, shipped = load("me/ours"), load()
    assert ours.fingerprint == shipped.fingerprint
    files = sorted(photos.glob("*.png"))
    assert np.array_equal(ours.encode_text("two dogs"), shipped.encode_text("two dogs"))
    assert np.array_equal(ours.encode_images(files), shipped.encode_images(files))


def test_a_folder_of_that_name_is_taken_and_said(published, photos, capfd, caplog):
    put_in_cache(published["clip"], "me/mine")
    Path("me").mkdir()
    Path("me/mine").symlink_to(published["siglip"])
    assert load("me/mine").dim == 16
    assert "me/mine is the folder" in caplog.text
    assert command("encode", photos, "--out", "shards", "--model", "me/mine@main") == 0
    assert json.loads(Path("shards/manifest.json").read_text())["dim"] == 12


@pytest.mark.parametrize(
    "words",
    [
        ("index", "photos", "--index", "index"),
        ("encode", "photos", "--out", "shards"),
        ("evaluate", "--data", "photos"),
    ],
    ids=lambda words: words[0],
)
def test_a_name_that_was_not_fetched_ends_in_one_sentence(words, photos, capsys):
    given = ["nobody/mine"] if words[0] == "evaluate" else ["--model", "nobody/mine"]
    assert command(*words, *given) == 2
    said = capsys.readouterr().err
    assert said.startswith("user-itr: nobody/mine: no such folder, and no model of this name")
    assert "run `user-itr models get nobody/mine`" in said
    assert said.count("\n") == 1


def test_a_server_answers_while_another_model_makes_its_index_again(published, photos):
    put_in_cache(published["clip"], "me/clip")
    put_in_cache(published["siglip"], "me/siglip")
    assert command("index", photos, "--model", "me/clip", "--index", "index") == 0
    source = str(Path(user_itr.__file__).parents[1])
    server = subprocess.Popen(
        [sys.executable, "-m", "user_itr", "serve", "--index", "index", "--port", "0"],
        env={**os.environ, "PYTHONPATH": source},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        found = re.search(r"http://[\d.:]+/", server.stdout.readline())
        assert found is not None
        assert server.stdout.readline() == "model: CLIP me/clip, 12 wide\n"
        models: list[str] = []
        done = threading.Event()

        def ask() -> None:
            last = False
            while not last:
                last = done.is_set()
                for path in ("api/search?q=a+dog", "api/index"):
                    with urllib.request.urlopen(found.group() + path, timeout=60) as answer:
                        models.append(json.load(answer).get("model", ""))

        asking = threading.Thread(target=ask)
        asking.start()
        words = ("--rebuild", "--model", "me/siglip", "--index", "index")
        assert command("index", *words) == 0
        done.set()
        asking.join()
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)
    assert models[1] == "CLIP me/clip, 12 wide"
    assert models[-1] == "SigLIP me/siglip, 16 wide"
    assert server.returncode == 0


def test_names_make_rows_ensembles_and_comparisons(published, photos, capsys):
    put_in_cache(published["clip"], "me/clip")
    put_in_cache(published["siglip2"], "me/siglip")
    for name in ("clip", "siglip"):
        row = ("evaluate", f"me/{name}", "--data", photos, "--json", f"{name}.json")
        assert command(*row) == 0
    models = [json.loads(Path(f"{name}.json").read_text())["models"] for name in ("clip", "siglip")]
    assert [one["name"] for [one] in models] == ["me/clip", "me/siglip"]
    assert command("compare", "clip.json", "siglip.json") == 0
    together = ("me/clip", "me/siglip", DEFAULT)
    capsys.readouterr()
    assert command("evaluate", *together, "--data", photos, "--table", "markdown") == 0
    assert f"| {' + '.join(together)} |" in capsys.readouterr().out
