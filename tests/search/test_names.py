from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from colour_encoder import ColourEncoder, paint
from hypothesis import given
from hypothesis import strategies as st

from user_itr.errors import ConfigError
from user_itr.search.filters import Filters
from user_itr.search.folders import indexed_folder, with_indexed_folder
from user_itr.search.index import ImageIndex
from user_itr.search.names import as_on_disk, nearest
from user_itr.search.query import search_image

COMPOSED, APART = "\u00c9t\u00e9", "E\u0301te\u0301"


@pytest.fixture
def album(tmp_path: Path, index: ImageIndex, encoder: ColourEncoder) -> Path:
    """Photos in folders, one of which has its name from a Mac."""
    for name in ("Italy/Rome 2021", f"{APART}/beach", "Norway"):
        paint(tmp_path / "album" / name / "a.png", "red")
    index.update(tmp_path / "album", encoder)
    return tmp_path / "album"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_unicode_forms_are_one_name(tmp_path: Path, form: str) -> None:
    photo = paint(tmp_path / unicodedata.normalize(form, f"{APART}/\u00e5.png"), "red")
    for other in ("NFC", "NFD"):
        given = tmp_path / unicodedata.normalize(other, f"{APART}/\u00e5.png")
        assert as_on_disk(given).samefile(photo)
        missing = given.with_name("missing")
        assert as_on_disk(missing) == missing


def test_a_tilde_that_no_shell_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    assert as_on_disk(Path("~/photos")) == tmp_path / "photos"
    assert as_on_disk(Path("~/nothing")) == tmp_path / "nothing"
    (tmp_path / "~").mkdir()
    assert as_on_disk(Path("~")) == Path("~")
    assert as_on_disk(Path("~nobody-of-that-name/x")) == Path("~nobody-of-that-name/x")


@given(st.text(min_size=1, max_size=20))
def test_any_name_is_taken(name: str) -> None:
    path = Path(name.replace("\0", ""))
    assert as_on_disk(path).name == path.name or name.startswith("~")
    assert nearest(path, [path]) in (path, None)


def test_the_folder_as_the_index_has_it(album: Path, index: ImageIndex) -> None:
    assert index.folders() == {
        str(album / "Italy" / "Rome 2021"): 1,
        str(album / APART / "beach"): 1,
        str(album / "Norway"): 1,
    }
    for name in (COMPOSED, APART):
        assert indexed_folder(index, album / name) == album / APART
        assert indexed_folder(index, album / name / "beach") == album / APART / "beach"
        found = with_indexed_folder(index, Filters(folder=album / name, min_width=5))
        assert found == Filters(folder=album / APART, min_width=5)
    assert indexed_folder(index, album) == album
    assert indexed_folder(index, album / "Ital") is None
    assert with_indexed_folder(index, Filters()) == Filters()


def test_a_folder_whose_disk_is_away_is_still_found(album: Path, index: ImageIndex) -> None:
    album.rename(album.with_name("elsewhere"))
    assert indexed_folder(index, album / COMPOSED) == album / APART


@pytest.mark.parametrize(
    ("given_name", "named"),
    [
        ("Itally", "nearest that it has is {}/Italy."),
        ("italy/rome2021", "nearest that it has is {}/Italy/Rome 2021."),
        ("qqqqqqqqqqq", "it has those below {}."),
        ("Norway/a.png", "is a file, a photo for instance; give its folder, {}/Norway."),
    ],
)
def test_a_folder_without_photos_is_a_mistake(
    album: Path, index: ImageIndex, given_name: str, named: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        with_indexed_folder(index, Filters(folder=album / given_name))
    assert str(refused.value).startswith(f"{album / given_name}: ")
    assert named.format(album) in str(refused.value)


def test_a_photo_is_left_out_of_its_own_neighbours_by_any_form_of_its_name(
    album: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    photo = paint(album / f"{APART}.png", "red")
    index.update(album, encoder)
    hits = search_image(index, encoder, as_on_disk(album / f"{COMPOSED}.png"))
    assert len(hits) == 3
    assert photo not in [hit.path for hit in hits]
