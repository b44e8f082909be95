from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from shell import Command

from user_itr.cli import index as index_cli

sys.path.append(str(Path(__file__).parents[1] / "search"))
from colour_encoder import PALETTE, ColourEncoder, paint


@pytest.fixture
def user_itr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """The command in a folder with `photos`, where any model is the colour encoder."""
    monkeypatch.setattr(index_cli, "load_encoder", lambda path: ColourEncoder(Path(path).name))
    monkeypatch.delenv(index_cli.MODEL_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    for colour in PALETTE:
        paint(tmp_path / "photos" / f"{colour}.png", colour)
    return Command(capfd)


def test_a_first_and_a_second_run(user_itr: Command, tmp_path: Path) -> None:
    words = ["encode", "photos", "--out", "out", "--model", "model", "--workers", 1]
    code, out, err = user_itr(*words)
    assert code == 0, err
    assert out.startswith("8 embeddings in 1 shards in out; 8 images in ")
    assert "skipped" not in err
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["model"] == str(tmp_path / "model")
    assert manifest["sources"] == [str(tmp_path / "photos")]
    code, out, _ = user_itr(*words)
    assert (code, out) == (0, "8 embeddings in 1 shards in out, finished before; nothing to do\n")
    assert "--overwrite" in user_itr.mistake(*words, "--dtype", "float16")
    code, out, _ = user_itr(*words, "--dtype", "float16", "--format", "lance", "--overwrite")
    assert code == 0
    assert (tmp_path / "out" / "shards" / "00000.lance").is_dir()


def test_skipped_images_make_exit_code_1(user_itr: Command, tmp_path: Path) -> None:
    for number in range(22):
        (tmp_path / "photos" / f"{number:02d}\n.png").write_bytes(b"no picture")
    words = ["encode", "photos", "--out", "out", "--model", "model", "--workers", 1]
    for _ in range(2):
        code, out, err = user_itr(*words)
        assert code == 1
        assert out.startswith("8 embeddings in 1 shards in out")
        listed = [line for line in err.splitlines() if line.startswith("skipped")]
        assert len(listed) == 21
        assert listed[0].startswith(f"skipped {tmp_path}/photos/00\\n.png: cannot be decoded")
        assert listed[20] == "skipped 2 more; out/skipped.jsonl has all"
    assert len((tmp_path / "out" / "skipped.jsonl").read_text().splitlines()) == 22


def test_mistakes(user_itr: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mistake(*words: object) -> str:
        return user_itr.mistake("encode", "photos", "--out", "out", "--model", "model", *words)

    assert mistake("--engine", "spark") == "--engine 'spark': use local or ray."
    assert mistake("--format", "csv") == "--format 'csv': use parquet or lance."
    assert mistake("--dtype", "int8") == "--dtype 'int8': use float32 or float16."
    assert mistake("--address", "auto") == "--address goes with --engine ray."
    assert "give 992 or 1024" in mistake("--shard-rows", 1000)
    assert "nowhere: no such folder or tar" in user_itr.mistake("encode", "nowhere", "--out", "out")
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'user-itr[ray]'" in mistake("--engine", "ray")
    assert not (tmp_path / "out").exists()
