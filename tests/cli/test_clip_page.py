"""The commands of docs/how-to/clip.md, with a small CLIP and a small set."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from shell import Command

sys.path.append(str(Path(__file__).parents[1] / "training"))
sys.path.append(str(Path(__file__).parents[1] / "runtime" / "dual_encoders"))
sys.path.append(str(Path(__file__).parents[1] / "hub"))
from hub_cache import put_in_cache
from tiny_dual_encoders import save_dual_encoder
from tiny_runs import write_picture_set

SMALL = """\
features: {width: 8, grid: 2}
model:
  embedding: 24
  text: {encoder: bigru, gru_width: 16, word_width: 8, min_word_count: 1}
training: {epochs: 1, batch_size: 4}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A captioned set, and a CLIP that was fetched from the hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    write_picture_set(tmp_path / "flickr8k")
    (tmp_path / "small.yaml").write_text(SMALL)
    put_in_cache(save_dual_encoder("clip", tmp_path / "clip"), "me/clip")
    return tmp_path


def test_searched_evaluated_and_trained_with_a_clip_by_its_name(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    user_itr = Command(capfd)

    def done(*words: str) -> str:
        code, out, err = user_itr(*words)
        assert code == 0, err
        return out

    clip = ("--backbone", "transformers:me/clip", "--guide", "me/clip")
    done("features", "extract", "flickr8k", "clip-store", *clip)
    settings = (
        "features.backbone=transformers:me/clip",
        "features.guide=me/clip",
        "model.image.enhancement=clip",
    )
    chosen = [word for setting in settings for word in ("--set", setting)]
    out = ("--features", "clip-store", "--out", "runs/cge")
    done("train", "--config", "small.yaml", "--data", "flickr8k", *out, *chosen)
    done("evaluate", "runs/cge", "--data", "flickr8k", "--json", "cge.json")
    done("evaluate", "me/clip", "--data", "flickr8k", "--json", "clip.json")
    assert "rank by A" in done("compare", "clip.json", "cge.json")
    together = done("evaluate", "runs/cge", "me/clip", "--data", "flickr8k", "--table", "markdown")
    assert "| runs/cge + me/clip |" in together
    done("index", "flickr8k/images", "--model", "runs/cge", "--index", "index")
    found = json.loads(done("search", "red over blue", "--index", "index", "--json"))
    assert len(found["results"]) == 10
    names = {"backbone": "transformers:me/clip", "guide": "transformers:me/clip"}
    [checkpoint] = (place / "runs" / "cge" / "checkpoints").iterdir()
    config = json.loads((checkpoint / "config.json").read_text())
    assert config["features"]["backbone"] == names["backbone"]
    assert config["guide"]["backbone"] == names["guide"]


def test_a_guide_that_was_not_fetched_ends_in_one_sentence(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("features", "extract", "flickr8k", "store", "--backbone")
    said = Command(capfd).mistake(*words, "transformers:nobody/clip")
    assert "run `user-itr models get nobody/clip`" in said
    said = Command(capfd).mistake(*words, "transformers:me/clip", "--guide", "nobody/clip")
    assert "run `user-itr models get nobody/clip`" in said
    assert not (place / "store").exists()
