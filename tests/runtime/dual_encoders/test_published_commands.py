"""What a person runs, with published models in place of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from odd_photographs import photograph

import user_itr
from user_itr import ImageIndex, load
from user_itr.cli import main
from user_itr.search.query import search_text

WITHOUT_PYTORCH = """\
import sys
sys.modules.update(dict.fromkeys(("torch", "transformers", "onnx", "safetensors", "scipy")))
"""


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        photograph(90 + 7 * number, 61, number).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def light(tmp_path):
    """Runs a command where nothing of the extra `train` can be imported, in workers too."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(WITHOUT_PYTORCH)
    paths = [str(site), str(Path(user_itr.__file__).parents[1])]

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


def test_photos_are_indexed_searched_and_described_without_pytorch(
    published, photos, light, tmp_path
):
    model, index = published["siglip2"], tmp_path / "index"
    light("index", photos, "--model", model, "--index", index)
    found = json.loads(light("search", "a dog", "--index", index, "--json"))["results"]
    encoder = load(model)
    files = sorted(photos.iterdir())
    scores = encoder.encode_images(files) @ encoder.encode_text("a dog")[0]
    order = np.argsort(-scores)
    assert [Path(hit["path"]) for hit in found] == [files[row] for row in order]
    np.testing.assert_allclose([hit["score"] for hit in found], scores[order], atol=2e-3)
    sentences = tmp_path / "sentences.txt"
    sentences.write_text("a dog\na red house\n")
    light("sentences", sentences, "--index", index)
    assert "a red house" in light("describe", files[0], "--index", index)


def test_an_index_remembers_the_precision(published, photos, tmp_path):
    file = published["clip"] / "onnx" / "vision_model.onnx"
    encoder = load(file)
    index = ImageIndex.create_or_open(tmp_path / "index", encoder, str(file))
    index.update(photos, encoder)
    assert len(search_text(index, load(published["clip"]), "a dog", k=9)) == 4


def evaluate(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main(["evaluate", *map(str, arguments)])
    return int(end.value.code or 0)


def captioned(folder: Path) -> Path:
    lines = [f"{file.name},picture {file.stem},test" for file in sorted(folder.iterdir())]
    (folder / "captions.csv").write_text("\n".join(["image,caption,split", *lines]))
    return folder


def test_a_zero_shot_row(published, photos, tmp_path, capsys):
    files, data, out = sorted(photos.iterdir()), captioned(photos), tmp_path / "row.json"
    model = published["chinese_clip"]
    assert evaluate(model, "--data", data, "--json", out) == 0
    written = json.loads(out.read_text())
    encoder = load(model)
    assert written["models"][0]["sha256"] == encoder.fingerprint
    scores = (
        encoder.encode_images(files)
        @ encoder.encode_text([f"picture {file.stem}" for file in files]).T
    )
    ranks = (scores > np.diag(scores)[:, None]).sum(axis=1)
    assert written["metrics"]["i2t"]["R@1"] == pytest.approx(100 * (ranks == 0).mean())
    assert written["metrics"]["i2t"]["mean_rank"] == pytest.approx(1 + ranks.mean())


def test_published_models_make_an_ensemble(published, photos, capsys):
    models = [published[family] for family in ("clip", "siglip")]
    assert evaluate(*models, "--data", captioned(photos), "--table", "markdown") == 0
    assert f"| {models[0]} + {models[1]} |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "names no captioned set; give --data PATH"),
        (["--data", ".", "--features", "store"], "leave --features out"),
    ],
)
def test_a_zero_shot_row_of_nothing(options, said, published, capsys):
    assert evaluate(published["clip"], *options) == 2
    assert said in capsys.readouterr().err
