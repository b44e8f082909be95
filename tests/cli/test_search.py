from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from user_itr.cli import index as index_cli
from user_itr.cli import search as cli
from user_itr.errors import UserItrError
from user_itr.search.index import ImageIndex

sys.path.append(str(Path(__file__).parents[1] / "search"))
from colour_encoder import PALETTE, ColourEncoder, paint

app = typer.Typer(rich_markup_mode=None)
app.command("index")(index_cli.index_command)
app.command("search")(cli.search_command)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["search", *(str(word) for word in words)])


def mistake(*words: object) -> str:
    """Run a search that must end in an error of ours; its sentence."""
    result = run(*words)
    assert isinstance(result.exception, UserItrError), result.output
    assert result.exception.exit_code == 2
    return str(result.exception)


@pytest.fixture(autouse=True)
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos of every colour in the default index."""
    monkeypatch.setattr(cli, "load_encoder", lambda path: ColourEncoder(Path(path).name))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    for name in ("model", "newer"):
        (tmp_path / name).mkdir()
    folder = tmp_path / ("a long folder name " * 10).strip() / "[bold]photos"
    for colour in PALETTE:
        paint(folder / f"{colour}.png", colour, (30, 20))
    encoder = ColourEncoder("model")
    index = ImageIndex.create_or_open(index_cli.default_index(), encoder, "model")
    index.update(folder, encoder)
    return folder


def test_table_has_whole_paths(photos: Path) -> None:
    result = run("something red", "-k", 3)
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if line.strip()]
    assert lines[0].split() == ["rank", "match", "score", "path"]
    assert len(lines) == 5
    rank, word, match, percent, score, path = lines[2].split(maxsplit=5)
    assert (rank, word, percent, path) == ("1", "good", "%", str(photos / "red.png"))
    assert 80 <= int(match) <= 100
    assert 0.9 < float(score) <= 1
    assert [line.split()[0] for line in lines[2:]] == ["1", "2", "3"]
    assert all(line == line.rstrip() for line in lines)


def test_words_that_the_model_cannot_know_are_named(photos: Path) -> None:
    sentence = "The model has never or hardly seen: spaceship."
    assert sentence in run("a red spaceship").stdout.splitlines()
    assert sentence in run('"red" - "a spaceship"').stdout.splitlines()
    assert sentence not in run("red").stdout
    assert json.loads(run("spaceship", "--json").stdout)["remarks"] == [sentence]


def test_weak_matches_are_said(photos: Path) -> None:
    sentence = "All matches are weak"
    assert sentence in run("a word that is no colour").stdout
    assert sentence not in run("red").stdout
    assert sentence not in run('"red" - "blue"').stdout  # no match figure to judge by
    assert sentence not in run("a word that is no colour", "--page", 2, "-k", 3).stdout
    json.loads(run("a word that is no colour", "--json").stdout)


def test_json(photos: Path, tmp_path: Path) -> None:
    answer = json.loads(run("blue", "--json", "--top", 100).stdout)
    assert set(answer) == {"query", "image", "remarks", "results"}
    assert (answer["query"], answer["image"]) == ("blue", None)
    assert [hit["rank"] for hit in answer["results"]] == list(range(1, 9))
    assert all(
        set(hit) == {"rank", "match", "score", "path", "width", "height"}
        for hit in answer["results"]
    )
    best = answer["results"][0]
    assert best["match"]["word"] == "good"
    assert 80 <= best["match"]["percent"] <= 100
    assert best["path"] == str(photos / "blue.png")
    assert (best["width"], best["height"]) == (30, 20)
    scores = [hit["score"] for hit in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    encoder = ColourEncoder("model")
    by_hand = encoder.encode_images([photos / "blue.png"]) @ encoder.encode_text(["blue"]).T
    assert best["score"] == pytest.approx(float(by_hand[0, 0]), abs=1e-6)


def test_image_and_both(photos: Path, tmp_path: Path) -> None:
    query = paint(tmp_path / "query image.jpg", "green", (700, 600))
    alone = json.loads(run("--image", query, "--json", "-k", 1).stdout)
    assert (alone["query"], alone["image"]) == (None, str(query))
    assert alone["results"][0]["path"] == str(photos / "green.png")
    both = json.loads(run("red", "--image", query, "--json", "-k", 2).stdout)
    assert {Path(hit["path"]).stem for hit in both["results"]} == {"red", "green"}
    own = json.loads(run("--image", photos / "red.png", "--json", "-k", 8).stdout)
    assert len(own["results"]) == 7


def test_no_results_is_exit_code_1(photos: Path, tmp_path: Path) -> None:
    ImageIndex.create_or_open("bare", ColourEncoder("model"), "model")
    result = run("red", "--index", "bare")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "index is empty" in result.stderr
    result = run("red", "--index", "bare", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "query": "red",
        "image": None,
        "remarks": [],
        "results": [],
    }
    encoder = ColourEncoder("model")
    only = paint(tmp_path / "one" / "red.png", "red")
    ImageIndex.create_or_open("single", encoder, "model").update("one", encoder)
    result = run("--image", only, "--index", "single")
    assert result.exit_code == 1
    assert "no other photos" in result.stderr


def test_mistakes_name_the_remedy(photos: Path, tmp_path: Path) -> None:
    assert "nothing to search for" in mistake()
    assert "is empty" in mistake("  ")
    assert "missing.png: no such image file" in mistake("--image", "missing.png")
    assert "no such search index" in mistake("red", "--index", "nowhere")
    assert "is not a search index" in mistake("red", "--index", tmp_path)
    message = mistake("red", "--model", "newer")
    assert "made by model" in message
    assert "newer, 8 colours" in message
    assert run("red", "-k", 0).exit_code == 2
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"nothing")
    assert "cannot be decoded" in mistake("--image", broken)


def test_pages_filters_and_terms(photos: Path, tmp_path: Path) -> None:
    def names(*words: object) -> list[str]:
        answer = json.loads(run(*words, "--json").stdout)
        return [Path(hit["path"]).stem for hit in answer["results"]]

    whole = names("red", "-k", 8)
    assert names("red", "-k", 3, "--page", 2) == whole[3:6]
    assert names("red", "-k", 3, "--page", 3) == whole[6:]
    beyond = run("red", "-k", 3, "--page", 4)
    assert beyond.exit_code == 1
    assert "there is no page 4" in beyond.stderr
    today = f"{datetime.now():%Y-%m-%d}"
    assert names("red", "--after", "2001-01-01", "--folder", photos, "--min-width", 30) == whole
    nothing = run("red", "--before", "2001-01-01")
    assert nothing.exit_code == 1
    assert "wider limits" in nothing.stderr
    assert "swap the two" in mistake("red", "--after", today, "--before", "2001-01-01")
    assert run("red", "--after", "soon").exit_code == 2
    assert names('"red" + "blue"', "-k", 2) in (["red", "blue"], ["blue", "red"])
    # Taking away what an equal mixture shares leaves the rest in front.
    assert names('"red" + "blue" - "red"', "-k", 1) == ["blue"]
    assert "only what is not wanted" in mistake("--", '- "red"')
    composed = json.loads(run('"red" - "blue"', "--json").stdout)
    assert {hit["match"] for hit in composed["results"]} == {None}


def test_folders_and_photos_that_are_not_there(photos: Path, tmp_path: Path) -> None:
    message = mistake("red", "--folder", photos.with_name("[bold]photo"))
    assert f"no photos below this folder; the nearest that it has is {photos}." in message
    message = mistake("red", "--folder", photos / "red.png")
    assert (
        message == f"{photos}/red.png: is a file, a photo for instance; give its folder, {photos}."
    )
    message = mistake("--image", photos / "rad.png")
    assert message.endswith(
        f"rad.png: no such image file, so it cannot be read; the nearest name "
        f"there is {photos}/red.png."
    )
    assert "is an address" in mistake("https://example.org/red.png")


def test_a_picture_from_standard_input(photos: Path, tmp_path: Path) -> None:
    picture = paint(tmp_path / "query.png", "green").read_bytes()
    words = ["search", "--image", "-", "--json", "-k", "1"]
    found = CliRunner().invoke(app, words, input=picture)
    assert found.exit_code == 0, found.output
    answer = json.loads(found.stdout)
    assert answer["image"] == "-"
    assert answer["results"][0]["path"] == str(photos / "green.png")
    for content, message in ((b"", "is empty"), (b"nothing", "cannot be decoded")):
        failed = CliRunner().invoke(app, words, input=content)
        assert isinstance(failed.exception, UserItrError)
        assert str(failed.exception).startswith("standard input: ")
        assert message in str(failed.exception)


def test_open_starts_a_viewer(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(typer, "launch", lambda path: shown.append(path) or 0)
    assert run("red", "--open").exit_code == 0
    assert shown == [str(photos / "red.png")]
    monkeypatch.setattr(typer, "launch", lambda path: 1)
    assert "no viewer" in mistake("red", "--open")


def test_thumbnails(photos: Path) -> None:
    pytest.importorskip("textual_image")
    plain = run("red", "-k", 2)
    pictures = run("red", "-k", 2, "--thumbnails")
    assert pictures.exit_code == 0, pictures.output
    assert pictures.stdout.startswith(plain.stdout)
    assert len(pictures.stdout.splitlines()) > len(plain.stdout.splitlines()) + 10
    assert run("red", "-k", 2, "--no-thumbnails").stdout == plain.stdout
