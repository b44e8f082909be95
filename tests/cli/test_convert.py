from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from shell import Command

sys.path.append(str(Path(__file__).parents[1] / "conversion"))
from published import (
    EMBEDDING,
    REGIONS,
    WIDTH,
    WORDS,
    ids_of,
    official,
    plain_image,
    plain_text,
    write_tokenizer,
)

from user_itr.model.checkpoint import load_model


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(capfd)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.save(official("USER"), tmp_path / "official.pth")
    return tmp_path / "official.pth"


def test_convert_then_evaluate(command: Command, tmp_path: Path, file: Path) -> None:
    out, tokenizer = tmp_path / "models" / "user", write_tokenizer(tmp_path / "tokenizer")
    done = command("convert", file, out, "--tokenizer", tokenizer)
    assert done.code == 0, done.err
    assert done.out.splitlines()[:2] == [
        "USER (f30k_precomp, epoch 9, dev rsum 512.2)",
        f"reads {REGIONS} regions of width {WIDTH}, embeds {EMBEDDING}",
    ]
    assert "left out, never read by its forward pass: mlp.bns.1.weight, " in done.out
    assert f"written to {out}" in done.out
    assert sorted(p.name for p in out.parent.iterdir()) == ["user"]
    assert load_model(out).metrics["rsum"] == 512.25

    rng = np.random.default_rng(0)
    regions = rng.normal(size=(30, REGIONS, WIDTH)).astype(np.float32)
    captions = [" ".join(rng.permutation(WORDS[5:])[: 4 + i % 5]) for i in range(60)]
    assert len(set(captions)) == 60  # equal ones would tie
    data = tmp_path / "set"
    data.mkdir()
    np.save(data / "test_ims.npy", regions)
    (data / "test_caps.txt").write_text("\n".join(captions) + "\n")
    result = tmp_path / "result.json"
    done = command("evaluate", out, "--data", data, "--json", result)
    assert done.code == 0, done.err

    image, text = official("USER")["model"]
    images = plain_image(image, torch.from_numpy(regions))
    words = torch.stack([plain_text(text, ids_of(caption)) for caption in captions])
    scores = (images @ words.T).numpy()
    owner = np.arange(60) // 2
    best = np.array([scores[i, owner == i].max() for i in range(30)])
    ranks = (scores > best[:, None]).sum(axis=1) + 1
    found = json.loads(result.read_text())["metrics"]["i2t"]
    assert found["mean_rank"] == pytest.approx(ranks.mean(), abs=0.1)  # a near tie may turn
    for k in (1, 5, 10):
        assert found[f"R@{k}"] == pytest.approx(100 * np.mean(ranks <= k))

    np.save(data / "test_ims.npy", regions[:, :-1])
    assert "(regions differ)" in command.mistake("evaluate", out, "--data", data)


def test_mistakes(command: Command, tmp_path: Path, file: Path) -> None:
    out = tmp_path / "out"
    assert "give --tokenizer FOLDER" in command.mistake("convert", file, out)
    assert "nowhere.pth: no such file" in command.mistake("convert", "nowhere.pth", out)
    (tmp_path / "notes.txt").write_text("hello")
    assert "is damaged, or no ch" in command.mistake("convert", tmp_path / "notes.txt", out)
    assert not out.exists()
    out.mkdir()
    assert "is there already; choose another" in command.mistake("convert", file, out)


def test_a_malicious_pickle(command: Command, tmp_path: Path) -> None:
    marker = tmp_path / "marker"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {marker}",)

    torch.save(official("USER") | {"opt": Evil()}, tmp_path / "evil.pth")
    sentence = command.mistake("convert", tmp_path / "evil.pth", tmp_path / "out")
    assert "evil.pth: names posix.system" in sentence
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evil.pth"]
