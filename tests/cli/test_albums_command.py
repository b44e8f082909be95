from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from shell import Command

sys.path.append(str(Path(__file__).parents[1] / "search"))
from colour_encoder import PALETTE, ColourEncoder, paint

from user_itr.cli import search as search_cli
from user_itr.search.albums import Albums
from user_itr.search.index import ImageIndex


@pytest.fixture
def user_itr(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr(search_cli, "load_encoder", lambda _path: ColourEncoder())
    return Command(capfd)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An index in which red is in an album, green a favourite and blue hidden."""
    for colour in PALETTE:
        paint(tmp_path / "photos" / f"{colour}.png", colour)
    index = ImageIndex.create_or_open(tmp_path / "index", ColourEncoder(), tmp_path)
    index.update(tmp_path / "photos", ColourEncoder())
    ids = {one.path.stem: one.id for one in index.newest(99)}
    albums = Albums(index)
    albums.put_in(albums.create("Été [2024]\u202e"), [ids["red"]])
    albums.favour([ids["green"]])
    albums.hide([ids["blue"]])
    return tmp_path / "index"


def test_albums_are_listed(user_itr: Command, place: Path) -> None:
    code, out, err = user_itr("albums", "--index", place)
    assert (code, err) == (0, "")
    assert "Été [2024]\\u202e" in out
    assert out.splitlines()[-1] == "1 favourites, 1 hidden photos"


def test_an_index_without_any(user_itr: Command, tmp_path: Path) -> None:
    ImageIndex.create_or_open(tmp_path / "index", ColourEncoder(), tmp_path)
    code, out, _ = user_itr("albums", "--index", tmp_path / "index")
    assert code == 0
    assert out.startswith("no albums yet")


def test_a_search_within_them(user_itr: Command, place: Path) -> None:
    def found(*words: object) -> list[str]:
        code, out, _ = user_itr("search", "blue", "--index", place, "--json", "-k", 99, *words)
        assert code == 0
        return [Path(one["path"]).stem for one in json.loads(out)["results"]]

    assert found("--album", "Été [2024]\u202e") == ["red"]
    assert found("--favourites") == ["green"]
    assert sorted([*found(), "blue"]) == sorted(PALETTE)
    assert found("--all")[0] == "blue"
    said = user_itr.mistake("search", "blue", "--index", place, "--album", "Winter")
    assert said.startswith("there is no album 'Winter'; there are ")


def test_an_export_and_its_import(user_itr: Command, place: Path, tmp_path: Path) -> None:
    file = tmp_path / "albums.json"
    code, out, _ = user_itr("albums", "--index", place, "--export", file)
    assert (code, out) == (0, f"{file}: 1 albums, 1 favourites, 1 hidden photos\n")
    whole = Albums(ImageIndex.open(place)).export()
    other = ImageIndex.create_or_open(tmp_path / "other", ColourEncoder(), tmp_path)
    other.update(tmp_path / "photos", ColourEncoder())
    assert user_itr("albums", "--index", other.path, "--import", file).code == 0
    assert Albums(other).export() == whole
    assert "cannot be read" in user_itr.mistake("albums", "--index", place, "--import", tmp_path)
