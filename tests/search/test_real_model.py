"""Index and search with a real checkpoint, untrained: it finds what its own embeddings say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from colour_encoder import PALETTE
from made_rows import kept
from PIL import Image
from typer.testing import CliRunner

from user_itr import ImageIndex, load
from user_itr.cli.index import index_command
from user_itr.cli.search import search_command
from user_itr.config.settings import Settings
from user_itr.features.backbones.registry import create_backbone
from user_itr.model.building import build_dual_encoder
from user_itr.model.checkpoint import TrainedModel, save_model
from user_itr.model.tokenizer import CaptionTokenizer
from user_itr.search.query import search_text

CAPTIONS = ["two dogs play in the snow", "a red ball"]


def save_untrained(out: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    text = {"encoder": "bigru", "gru_width": 16, "word_width": 8, "min_word_count": 1}
    settings = Settings.model_validate({"model": {"embedding": 32, "text": text}})
    backbone = create_backbone("efficientnet-lite0")
    tokenizer = CaptionTokenizer.from_words(CAPTIONS, 16, 1)
    encoder = build_dual_encoder(settings.model, backbone.width, tokenizer.vocabulary_size)
    save_model(out, TrainedModel(settings, encoder, None, tokenizer, backbone.identity()))
    return out


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed, colour in enumerate(PALETTE):
        noise = np.random.default_rng(seed).integers(-60, 60, (5, 7, 3)) + PALETTE[colour]
        image = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
        image.resize((140, 100)).save(folder / f"{colour}.jpg")
    return folder


def test_python_and_command_line_agree_with_the_model(tmp_path: Path, pictures: Path) -> None:
    checkpoint = save_untrained(tmp_path / "checkpoint", seed=0)
    app = typer.Typer()
    app.command("index")(index_command)
    app.command("search")(search_command)
    options = ["--index", str(tmp_path / "index")]
    words = ["index", str(pictures), "--model", str(checkpoint), *options]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    found = CliRunner().invoke(app, ["search", CAPTIONS[0], "--json", *options])
    assert found.exit_code == 0, found.output

    model = load(checkpoint)
    paths = sorted(pictures.iterdir())
    scores = kept(model.encode_images(paths), half=True) @ model.encode_text(CAPTIONS[:1])[0]
    hits = search_text(ImageIndex.open(tmp_path / "index"), model, CAPTIONS[0], k=8)
    assert sorted(hit.path for hit in hits) == paths
    by_path = dict(zip(paths, scores, strict=True))
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(scores)[::-1], atol=1e-6)
    for hit in hits:
        assert hit.score == pytest.approx(by_path[hit.path], abs=1e-6)
    results = json.loads(found.stdout)["results"]
    assert [hit["path"] for hit in results] == [str(hit.path) for hit in hits]
    assert [hit["score"] for hit in results] == pytest.approx([hit.score for hit in hits])

    other = save_untrained(tmp_path / "other", seed=1)
    refused = CliRunner().invoke(app, ["search", "a ball", "--model", str(other), *options])
    assert "made by model" in str(refused.exception)
