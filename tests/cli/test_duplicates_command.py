from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from shell import Command

sys.path.append(str(Path(__file__).parents[1] / "search"))
from colour_encoder import ColourEncoder, paint

from user_itr.search.index import ImageIndex


def test_copies_are_listed_and_stay(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    user_itr, photos = Command(capfd), tmp_path / "photos"
    index = ImageIndex.create_or_open(tmp_path / "index", ColourEncoder(), tmp_path)
    paint(photos / "red.png", "red", (40, 30))
    index.update(photos, ColourEncoder())
    code, out, err = user_itr("duplicates", "--index", index.path)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == f"{index.path}: no copies were found."
    paint(photos / "small.png", "red", (20, 15))
    shutil.copy(photos / "small.png", photos / "small again.png")
    index.update(photos, ColourEncoder())
    code, out, _ = user_itr("duplicates", "--index", index.path)
    assert code == 0
    lines = [line.split(maxsplit=6) for line in out.splitlines() if str(photos) in line]
    assert [(Path(line[-1]).name, line[1]) for line in lines] == [
        ("red.png", "40"),  # the first has no word in the column `copy`
        ("small again.png", "1.000"),
        ("small.png", "same"),
    ]
    assert "1 photos have 2 further copies" in out
    code, out, _ = user_itr("duplicates", "--index", index.path, "--json")
    [[first, second, third]] = json.loads(out)["groups"]
    assert (first["path"], first["width"], first["same_bytes_as"]) == (
        str(photos / "red.png"),
        40,
        None,
    )
    assert (second["cosine"], second["same_bytes_as"]) == (1.0, None)
    assert third["same_bytes_as"] == second["path"]
    code, out, _ = user_itr("duplicates", "--index", index.path, "--json", "--same-bytes")
    assert [one["width"] for one in json.loads(out)["groups"][0]] == [20, 20]
    assert len(list(photos.iterdir())) == 3
