from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from shell import Command

from user_itr.cli import describe as cli
from user_itr.cli import index as index_cli

sys.path.append(str(Path(__file__).parents[1] / "search"))
from colour_encoder import PALETTE, ColourEncoder, paint


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Photos of every colour in an index called `here`."""
    for module in (cli, index_cli):
        monkeypatch.setattr(module, "load_encoder", lambda path: ColourEncoder(Path(path).name))
    monkeypatch.chdir(tmp_path)
    for name in ("model", "newer"):
        (tmp_path / name).mkdir()
    for colour in PALETTE:
        paint(tmp_path / "photos" / f"{colour}.png", colour)
    command = Command(capfd)
    assert command("index", "photos", "--index", "here", "--model", "model").code == 0
    return command


def best(command: Command, photo: str) -> str:
    found = command("describe", photo, "--index", "here", "--json")
    assert found.code == 0, found.err
    return json.loads(found.out)["sentences"][0]["text"]


def test_photos_are_described_by_the_sentences_that_were_indexed(command: Command) -> None:
    none = command("describe", "photos/red.png", "--index", "here")
    assert (none.code, none.out) == (1, "")
    assert "user-itr sentences" in none.err
    Path("some.txt").write_text("a red  thing\n\na blue thing\na red thing\n", "utf-8")
    Path("more.txt").write_text("\ufeffa green thing\r\n", "utf-8")
    added = command("sentences", "some.txt", "more.txt", "--index", "here")
    assert added.code == 0, added.err
    assert added.out.startswith("3 sentences in ")
    for colour in ("red", "blue", "green"):
        assert best(command, f"photos/{colour}.png") == f"a {colour} thing"
    table = command("describe", "photos/red.png", "--index", "here", "-k", 2).out.splitlines()
    assert next(line.split()[-2] for line in table if "thing" in line) == "red"

    # A rebuild takes them along; other sentences take their place.
    rebuilt = command("index", "photos", "--index", "here", "--model", "newer", "--rebuild")
    assert rebuilt.code == 0, rebuilt.err
    assert best(command, "photos/blue.png") == "a blue thing"
    Path("some.txt").write_text("a yellow thing\n", "utf-8")
    assert command("sentences", "some.txt", "--index", "here").out.startswith("1 sentences")
    assert best(command, "photos/yellow.png") == "a yellow thing"
    other = command("describe", "photos/blue.png", "--index", "here")
    assert (other.code, other.out) == (1, "")
    assert "none of its sentences fits" in other.err


def test_mistakes(command: Command) -> None:
    for name, content, message in (
        ("empty.txt", b"\n \n", "holds no sentences"),
        ("latin.txt", "caf\u00e9".encode("latin-1"), "is not UTF-8 text"),
        ("long.txt", b"a\n" + b"b" * 2001, "line 2 has 2,001 characters"),
    ):
        Path(name).write_bytes(content)
        assert message in command.mistake("sentences", name, "--index", "here")
    assert "cannot be read" in command.mistake("sentences", "missing.txt", "--index", "here")
    Path("good.txt").write_text("red")
    message = command.mistake("sentences", "good.txt", "--index", "here", "--model", "newer")
    assert "made by model" in message
    assert command("sentences", "good.txt", "--index", "here").code == 0
    assert "cannot be read" in command.mistake("describe", "missing.png", "--index", "here")
