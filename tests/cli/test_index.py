from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from user_itr.cli import index as cli
from user_itr.cli import search as search_cli
from user_itr.errors import UserItrError

sys.path.append(str(Path(__file__).parents[1] / "search"))
from colour_encoder import PALETTE, ColourEncoder, paint

app = typer.Typer(rich_markup_mode=None)
app.command("index")(cli.index_command)
app.command("search")(search_cli.search_command)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def mistake(*words: object) -> str:
    """Run a command that must end in an error of ours; its sentence."""
    result = run(*words)
    assert isinstance(result.exception, UserItrError), result.output
    assert result.exception.exit_code == 2
    return str(result.exception)


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint that loads as the colour encoder, photos, and a user's data folder."""
    for module in (cli, search_cli):
        monkeypatch.setattr(module, "load_encoder", lambda path: ColourEncoder(Path(path).name))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv(cli.MODEL_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    for name in ("model", "newer"):
        (tmp_path / name).mkdir()
    for colour in PALETTE:
        paint(tmp_path / "photos" / f"{colour}.png", colour)
    return tmp_path


def summary(output: str) -> dict[str, list[str]]:
    """First word of each line of the summary -> the others."""
    return {line.split()[0]: line.split()[1:] for line in output.splitlines() if line.strip()}


def told(result: Result) -> list[str]:
    """What stands on standard error beside the bars."""
    return [line for line in result.stderr.splitlines() if not line.startswith("encoding")]


def test_the_default_index_and_a_second_run(workplace: Path) -> None:
    first = run("index", "photos", "--model", "model")
    assert first.exit_code == 0, first.output
    table = summary(first.stdout)
    assert table["photos"] == [str(workplace / "photos")]
    done = {name: table[name] for name in ("added", "updated", "unchanged", "removed", "skipped")}
    assert done == {
        "added": ["8"],
        "updated": ["0"],
        "unchanged": ["0"],
        "removed": ["0"],
        "skipped": ["0"],
    }
    where = cli.default_index()
    assert first.stdout.splitlines()[-1] == f"8 photos in {where}"
    assert (where / "index.json").is_file()
    assert "skipped" not in first.stderr

    paint(workplace / "photos" / "red.png", "red", (20, 20))
    (workplace / "photos" / "blue.png").unlink()
    second = run("index", "photos")
    assert second.exit_code == 0
    table = summary(second.stdout)
    assert [table[name] for name in done] == [["0"], ["1"], ["6"], ["1"], ["0"]]


def test_skipped_files_are_listed_and_make_exit_code_1(workplace: Path) -> None:
    (workplace / "photos" / "bro\nken.jpg").write_bytes(b"nothing")
    result = run("index", "photos", "--index", "here", "--model", "model")
    assert result.exit_code == 1
    listed = [line for line in result.stderr.splitlines() if line.startswith("skipped")]
    assert len(listed) == 1
    assert listed[0].startswith(f"skipped {workplace}/photos/bro\\nken.jpg: ")
    assert "8 photos in" in result.stdout


def test_the_model_is_remembered_and_may_move(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.find_model(None, workplace / "none") == "shipped:flickr8k"
    monkeypatch.setenv(cli.MODEL_VARIABLE, str(workplace / "model"))
    assert run("index", "photos").exit_code == 0
    monkeypatch.setenv(cli.MODEL_VARIABLE, str(workplace / "newer"))
    assert run("index", "photos").exit_code == 0, "the index's own model comes first"
    monkeypatch.delenv(cli.MODEL_VARIABLE)
    (workplace / "archive").mkdir()
    (workplace / "model").rename(workplace / "archive" / "model")
    assert "not there any more" in mistake("index", "photos")
    assert "not there any more" in mistake("search", "red")
    assert run("index", "photos", "--model", "archive/model").exit_code == 0
    assert run("search", "red").exit_code == 0


def test_mistakes_name_the_remedy(workplace: Path) -> None:
    assert "nowhere: no such folder" in mistake("index", "nowhere", "--model", "model")
    assert "holds other things" in mistake("index", "photos", "--index", ".", "--model", "model")
    assert run("index", "photos", "--model", "model").exit_code == 0
    assert "--rebuild" in mistake("index", "photos", "--model", "newer")
    for option in ("--batch-size", "--workers"):
        assert run("index", "photos", option, "0").exit_code == 2
    for colour in PALETTE:
        (workplace / "photos" / f"{colour}.png").unlink()
    assert "--allow-empty" in mistake("index", "photos")
    (workplace / "photos").rmdir()
    assert "photos: no such folder" in mistake("index", "photos")
    result = run("index", "photos", "--allow-empty")
    assert result.exit_code == 0
    assert "0 photos in" in result.stdout


def test_rebuild_takes_all_folders_along(workplace: Path) -> None:
    paint(workplace / "more" / "a.png", "red", (3, 4))
    paint(workplace / "third" / "b.png", "red", (4, 3))
    for folder in ("photos", "more"):
        assert run("index", folder, "--index", "here", "--model", "model").exit_code == 0
    result = run("index", "third", "--index", "here", "--model", "newer", "--rebuild")
    assert result.exit_code == 0, result.output
    assert "10 photos in" in result.stdout
    assert summary(result.stdout)["added"] == ["1", "8", "1"]
    manifest = json.loads((workplace / "here" / "index.json").read_text())
    assert manifest["model"] == str(workplace / "newer")

    (workplace / "more").rename(workplace / "elsewhere")
    assert "more: is missing" in mistake("index", "third", "--index", "here", "--rebuild")
    assert "10 photos in" in run("index", "third", "--index", "here").stdout
    lost = run("index", "third", "--index", "here", "--rebuild", "--allow-empty")
    assert "9 photos in" in lost.stdout


def test_rebuild_of_a_new_index_makes_one() -> None:
    result = run("index", "photos", "--rebuild", "--model", "model")
    assert result.exit_code == 0
    assert "8 photos in" in result.stdout


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain é 日本\u3000語.png", "plain é 日本\u3000語.png"),
        ("[red]:dog:\\.png", "[red]:dog:\\.png"),
        ("a\nb\tc\x1b[31m.png", "a\\nb\\tc\\x1b[31m.png"),
        ("caf\udce9.png", "caf\\udce9.png"),
    ],
)
def test_printable(name: str, shown: str) -> None:
    assert cli.printable(name) == cli.printable(Path(name)) == shown


def test_several_folders_at_once(workplace: Path) -> None:
    paint(workplace / "more" / "a.png", "red", (3, 4))
    result = run("index", "photos", "more", "--index", "here", "--model", "model")
    assert result.exit_code == 0, result.output
    assert "9 photos in" in result.stdout
    (workplace / "photos" / "red.png").rename(workplace / "more" / "red.png")
    again = summary(run("index", "more", "photos", "--index", "here").stdout)
    assert (again["moved"], again["removed"], again["encoded/s"]) == (
        ["1", "0"],
        ["0", "0"],
        ["0.0", "0.0"],
    )
    assert "nowhere: no such folder" in mistake("index", "photos", "nowhere", "--index", "here")


def test_what_is_left_out_is_told(workplace: Path) -> None:
    paint(workplace / "photos" / ".thumbnails" / "t.png", "red", (3, 4))
    paint(workplace / "photos" / "$RECYCLE.BIN" / "S-1" / "x.png", "red", (4, 3))
    paint(workplace / "photos" / "private" / "y.png", "red", (5, 3))
    for name in ("film.mp4", "film2.mp4", "g.jxl"):
        (workplace / "photos" / name).touch()
    result = run("index", "photos", "--model", "model", "--exclude", "private")
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if line.startswith("passed over: ")]
    assert lines == [
        "passed over: bins 1, thumbnail caches 1 (--include-hidden takes them in)",
        "passed over: excluded by a pattern 1",
        "passed over: .jxl 1 (JPEG XL is not read; export it as a JPEG)",
        "passed over: .mp4 2",
    ]
    result = run("index", "photos", "--include-hidden")
    assert summary(result.stdout)["added"] == ["3"]
    result = run("index", "photos")
    assert "2 photos left the index, because they are passed over now" in result.stdout
    assert "9 photos in" in result.stdout


def test_photos_of_a_missing_folder_stay_until_they_are_forgotten(workplace: Path) -> None:
    paint(workplace / "photos" / "usb" / "a.png", "red", (3, 4))
    assert run("index", "photos", "--model", "model").exit_code == 0
    usb = workplace / "photos" / "usb"
    shutil.rmtree(usb)
    result = run("index", "photos")
    assert result.exit_code == 0
    assert summary(result.stdout)["kept"] == ["1"]
    assert told(result) == [
        f"kept 1 photo of {usb}, which is missing; for good they leave with "
        f"`user-itr index --forget {usb}`"
    ]
    result = run("index", "--forget", "photos/usb", "--forget", "photos/red.png")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "forgot 1 photo of photos/usb",
        "forgot 1 photo of photos/red.png",
        f"7 photos in {cli.default_index()}",
    ]
    assert "no photos from there" in mistake("index", "--forget", "photos/usb")
    assert told(run("index", "photos")) == []


def test_a_renamed_folder(workplace: Path) -> None:
    assert run("index", "photos", "--model", "model").exit_code == 0
    (workplace / "photos").rename(workplace / "Fotos")
    result = run("index", "Fotos")
    assert (result.exit_code, told(result)) == (0, [])
    assert summary(result.stdout)["moved"] == ["8"]
    assert "8 photos in" in result.stdout


def test_a_missing_disk_does_not_stop_the_other_folders(workplace: Path) -> None:
    paint(workplace / "more" / "a.png", "red", (3, 4))
    assert run("index", "photos", "more", "--model", "model").exit_code == 0
    (workplace / "more").rename(workplace / "unplugged")
    (workplace / "photos" / "red.png").unlink()
    result = run("index", "more", "photos")
    assert result.exit_code == 1
    assert summary(result.stdout)["removed"] == ["1"]
    assert "keeps its 1 photos" in result.stderr
    assert "8 photos in" in result.stdout
    assert "--forget" in mistake("index", "more")


def test_one_photo_and_several(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = workplace / "photos"
    assert run("index", "photos/red.png", "--model", "model").exit_code == 0
    result = run("index", "photos/red.png", "photos/blue.png")
    table = summary(result.stdout)
    assert (table["added"], table["unchanged"]) == (["1"], ["1"])
    assert "2 photos in" in result.stdout
    assert "no image by its ending" in mistake("index", paint(photos / "a.png", "red").rename("x"))
    monkeypatch.setenv("HOME", str(workplace))
    assert run("index", "~/photos/black.png").exit_code == 0
    assert mistake("index", "~/nothing-here").startswith(f"{workplace}/nothing-here: no such")
    assert "name a folder" in mistake("index")


def test_verify(workplace: Path) -> None:
    assert run("index", "photos", "--model", "model").exit_code == 0
    result = run("index", "photos", "--verify")
    assert "verified: 0 photos had changed at the same size and time" in result.stdout
    assert summary(result.stdout)["unchanged"] == ["8"]


def test_a_file_of_the_year_2300(workplace: Path) -> None:
    for name, year in (("red", 2300), ("blue", 1600)):
        when = int((datetime(year, 1, 1) - datetime(1970, 1, 1)).total_seconds())
        os.utime(workplace / "photos" / f"{name}.png", (when, when))
    assert run("index", "photos", "--model", "model").exit_code == 0
    again = run("index", "photos")
    assert summary(again.stdout)["unchanged"] == ["8"]
    assert run("search", "red").exit_code == 0
