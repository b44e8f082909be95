from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from user_itr.cli.data import app
from user_itr.errors import DataError


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (4, 4), "red").save(tmp_path / "images" / name)
    (tmp_path / "captions.csv").write_text(
        "image,caption,split\n"
        "a.png,A dog,train\n"
        "a.png,A brown dog,train\n"
        "b.png,A cat on a mat,train\n"
        "c.png,A boat,dev\n"
    )
    return tmp_path


def test_a_set_in_order_prints_counts_and_exits_0(folder):
    result = run("check", folder)
    assert result.exit_code == 0, result.output
    rows = [line.strip("│").split() for line in result.output.splitlines() if "│" in line]
    assert rows == [
        ["train", "│", "2", "│", "3", "│", "1", "│", "1.50", "│", "2", "│", "3.3"],
        ["dev", "│", "1", "│", "1", "│", "1", "│", "1.00", "│", "1", "│", "2.0"],
    ]
    assert result.output.endswith("no problems\n")


def test_problems_are_listed_and_exit_2(folder):
    (folder / "images/b.png").unlink()
    with (folder / "captions.csv").open("a") as stream:
        stream.write("c.png,,dev\nc.png,A,B,dev\n")
    result = run("check", folder)
    assert result.exit_code == 2
    file = folder / "captions.csv"
    tail = result.output.splitlines()[-4:]
    assert tail == [
        f"{file}: line 7: 4 fields for 3 columns; quote captions with commas.",
        f"{file}: line 4: image 'b.png' is not in {folder / 'images'}; restore or unlist it.",
        f"{file}: line 6: the caption of image 'c.png' is empty; write one or remove the entry.",
        "3 problems",
    ]


def test_json_holds_the_same(folder):
    result = run("check", folder, "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["format"] == "captions"
    assert report["problems"] == []
    assert report["splits"]["train"] == {
        "images": 2,
        "captions": 3,
        "captions_per_image": {"min": 1, "mean": 1.5, "max": 2},
        "mean_words": 3.33,
    }
    (folder / "images/c.png").unlink()
    result = run("check", folder, "--json", "--split", "dev", "--images", folder)
    assert isinstance(result.exception, DataError)  # none of the images is there
    result = run("check", folder, "--json")
    assert result.exit_code == 2
    report = json.loads(result.stdout)
    assert list(report["splits"]) == ["train"]
    assert [problem["where"] for problem in report["problems"]] == ["split dev"]


def test_decode_finds_images_that_are_no_images(folder):
    whole = (folder / "images/a.png").read_bytes()
    (folder / "images/a.png").write_bytes(whole[: len(whole) // 2])
    (folder / "images/b.png").write_text("no image")
    assert run("check", folder).exit_code == 0
    result = run("check", folder, "--decode")
    assert result.exit_code == 2
    lines = result.output.splitlines()[-3:]
    assert lines[0].startswith(f"{folder / 'images/a.png'}: cannot be decoded as an image (")
    assert lines[1].startswith(f"{folder / 'images/b.png'}: cannot be decoded as an image (")
    assert lines[2] == "2 problems"


def test_one_split_only(folder):
    result = run("check", folder, "--split", "val")
    assert result.exit_code == 0
    assert "dev" in result.output
    assert "train" not in result.output
    result = run("check", folder, "--split", "test")
    assert isinstance(result.exception, DataError)
    assert "the splits of this set are: train, dev" in str(result.exception)


def test_precomputed_features(tmp_path):
    array = np.random.default_rng(2).standard_normal((2, 3, 4)).astype(np.float32)
    np.save(tmp_path / "train_ims.npy", array)
    (tmp_path / "train_caps.txt").write_text("A dog\nA cat\nA boat\n")
    result = run("check", tmp_path)
    assert result.exit_code == 2
    assert "2 rows do not fit the 3 captions of train_caps.txt" in result.output
    assert result.output.endswith("1 problem\n")
    (tmp_path / "train_caps.txt").write_text("A dog\nA cat\n")
    assert run("check", tmp_path, "--format", "scan").exit_code == 0
    assert "omit --decode" in str(run("check", tmp_path, "--decode").exception)


def test_a_set_without_splits(tmp_path):
    (tmp_path / "Flickr8k.token.txt").write_text("")
    assert "no split of the flickr8k format" in str(run("check", tmp_path).exception)


def test_openmoji_writes_a_set_that_checks(tmp_path):
    pytest.importorskip("emoji", reason="needs the demo extra")
    result = run("openmoji", tmp_path / "set", "--limit", 5)
    assert result.exit_code == 0, result.output
    assert "5 drawings" in result.output
    assert run("check", tmp_path / "set", "--decode").exit_code == 0
