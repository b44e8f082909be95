from __future__ import annotations

from pathlib import Path

import pytest
from colour_encoder import PALETTE, paint

from user_itr.errors import DataError
from user_itr.search.places import absolute, outermost_with_images

COMPOSED, DECOMPOSED = "\u00c9t\u00e9", "E\u0301te\u0301"


def test_outermost_folders(tmp_path: Path) -> None:
    for name in ("a/x", "b", "ab"):
        paint(tmp_path / name / "1.png", next(iter(PALETTE)))
    (tmp_path / "bare").mkdir()
    folders = [tmp_path / name for name in ("b", "a/x", "a", "ab")]
    wanted = [tmp_path / name for name in ("a", "ab", "b")]
    assert outermost_with_images(folders, allow_empty=False) == wanted
    for lost in ("bare", "missing"):
        with pytest.raises(DataError, match=f"{lost}.*--allow-empty"):
            outermost_with_images([*folders, tmp_path / lost], allow_empty=False)
        assert outermost_with_images([*folders, tmp_path / lost], allow_empty=True) == wanted


@pytest.mark.parametrize(("on_disk", "given"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_the_form_on_the_disk_counts(tmp_path: Path, on_disk: str, given: str) -> None:
    (tmp_path / on_disk / "Italy").mkdir(parents=True)
    assert absolute(tmp_path / given / "Italy") == tmp_path / on_disk / "Italy"


def test_two_forms_of_a_name_are_two_folders(tmp_path: Path) -> None:
    for name in (COMPOSED, DECOMPOSED):
        (tmp_path / name).mkdir()
        assert absolute(tmp_path / name).name == name


def test_home_and_what_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert absolute("~/nothing-here") == tmp_path / "nothing-here"
    with pytest.raises(DataError, match="is no path"):
        absolute("a\0b")
