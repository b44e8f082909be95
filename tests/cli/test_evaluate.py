from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from shell import Command

sys.path.append(str(Path(__file__).parents[1] / "training"))
from tiny_runs import CAPTIONS, silent, tiny_settings, write_picture_set, write_scan_set

from user_itr import load
from user_itr.features.backbones.registry import create_backbone
from user_itr.model.building import build_dual_encoder
from user_itr.model.checkpoint import TrainedModel, save_model
from user_itr.model.tokenizer import CaptionTokenizer
from user_itr.training.preparation import prepare


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(capfd)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of the set beside it."""
    folder = tmp_path_factory.mktemp("evaluate")
    data = write_scan_set(folder / "things")
    save_model(folder / "model", prepare(tiny_settings(data), silent).model)
    return folder / "model"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_table_and_the_document_say_what_a_plain_ranking_says(
    command: Command, checkpoint: Path, tmp_path: Path
) -> None:
    file = tmp_path / "new" / "result.json"
    done = command("evaluate", checkpoint, "--k", "3,1", "--json", file)
    assert done.code == 0, done.err
    assert f"written to {file}" in " ".join(done.err.split())

    model = load(checkpoint)
    data = checkpoint.parent / "things"
    captions = (data / "test_caps.txt").read_text().splitlines()
    scores = model.encode_regions(np.load(data / "test_ims.npy")) @ model.encode_text(captions).T
    owner = np.arange(len(captions)) // CAPTIONS
    own = owner == np.arange(12)[:, None]
    best = np.where(own, scores, -2).max(axis=1)
    first = 1 + ((scores >= best[:, None]) & ~own).sum(axis=1)  # ties count against
    of_caption = 1 + (scores >= scores.max(axis=0, where=own, initial=-2)).sum(axis=0) - 1

    document = json.loads(file.read_text())
    metrics = document["metrics"]
    for direction, ranks in (("i2t", first), ("t2i", of_caption)):
        found = metrics[direction]
        assert set(found) >= {"R@1", "R@3"}
        assert "R@5" not in found
        for k in (1, 3):
            assert found[f"R@{k}"] == pytest.approx(100 * np.mean(ranks <= k))
        assert found["median_rank"] == np.median(ranks)
        assert found["mean_rank"] == pytest.approx(ranks.mean())
        line = next(
            line
            for line in done.out.splitlines()
            if ("image to text" if direction == "i2t" else "text to image") in line
        )
        numbers = [float(n) for n in re.findall(r"\d+\.?\d*", line)]
        assert numbers[:2] == [round(found["R@1"], 1), round(found["R@3"], 1)]
        assert numbers[-2:] == [found["queries"], found["candidates"]]
    assert document["split"] == "test"
    assert document["images"] == 12
    assert document["extra"]["fingerprint"] == model.fingerprint
    assert document["extra"]["settings"]["model"]["embedding"] == 24


def test_folds_beside_the_whole_split(command: Command, checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    done = command("evaluate", checkpoint, "--folds", "3", "--k", "1,2", "--json", file)
    assert done.code == 0, done.err

    model = load(checkpoint)
    data = checkpoint.parent / "things"
    captions = (data / "test_caps.txt").read_text().splitlines()
    scores = model.encode_regions(np.load(data / "test_ims.npy")) @ model.encode_text(captions).T
    recalls = []
    for fold in range(3):
        part = scores[4 * fold : 4 * fold + 4, 4 * CAPTIONS * fold : 4 * CAPTIONS * (fold + 1)]
        place = part.argsort(axis=0)[::-1].argsort(axis=0)  # of each image, for each caption
        own = place[np.arange(4 * CAPTIONS) // CAPTIONS, np.arange(4 * CAPTIONS)]
        recalls.append(100 * np.mean(own < 1))
    document = json.loads(file.read_text())
    mean = document["folded"]["mean"]
    assert mean["t2i"]["R@1"] == pytest.approx(np.mean(recalls))
    assert [fold["t2i"]["candidates"] for fold in document["folded"]["folds"]] == [4, 4, 4]
    assert document["metrics"]["t2i"]["candidates"] == 12
    whole, folded = done.out.split("mean of 3 folds")
    for printed, rsum in ((whole, document["metrics"]["rsum"]), (folded, mean["rsum"])):
        assert f"rsum {rsum:.1f}, " in printed

    plain = command("evaluate", checkpoint, "--k", "1,2")
    assert plain.out.splitlines() == whole.splitlines()[: len(plain.out.splitlines())]


def test_another_set_with_another_number_of_captions(
    command: Command, checkpoint: Path, tmp_path: Path
) -> None:
    data = tmp_path / "others"
    data.mkdir()
    np.save(data / "new_ims.npy", np.random.default_rng(0).normal(size=(4, 6, 16)).astype("f4"))
    (data / "new_caps.txt").write_text("a dog\na cat\na hat\na kite\n")
    done = command("evaluate", checkpoint, "--data", data, "--split", "new", "--format", "scan")
    assert done.code == 0, done.err
    assert "others, new" in done.out
    np.save(data / "new_ims.npy", np.zeros((4, 6, 15), np.float32))
    sentence = command.mistake("evaluate", checkpoint, "--data", data, "--split", "new")
    assert "not of the kind that the model was trained on (width differ)" in sentence


def test_images_of_another_backbone_are_refused(command: Command, tmp_path: Path) -> None:
    pictures = write_picture_set(tmp_path / "pictures", train=2, dev=4)
    backbone = create_backbone("efficientnet-lite0")
    settings = tiny_settings(pictures, "features.backbone=efficientnet-lite0")
    tokenizer = CaptionTokenizer.from_words(["red over blue"], 16, 1)
    encoder = build_dual_encoder(settings.model, backbone.width, tokenizer.vocabulary_size)
    identity = backbone.identity()
    save_model(tmp_path / "model", TrainedModel(settings, encoder, None, tokenizer, identity))
    done = command("evaluate", tmp_path / "model", "--features", tmp_path / "store")
    assert done.code == 0, done.err
    assert "extracting features" in done.err
    assert (
        "extracting"
        not in command("evaluate", tmp_path / "model", "--features", tmp_path / "store").err
    )

    sentence = command.mistake(
        "evaluate", tmp_path / "model", "--split", "dev", "--features", tmp_path / "store"
    )
    assert "no features of 4 of 4 images" in sentence
    identity = {**identity, "weights_hash": "0" * 64}
    save_model(tmp_path / "older", TrainedModel(settings, encoder, None, tokenizer, identity))
    sentence = command.mistake("evaluate", tmp_path / "older", "--features", tmp_path / "store")
    assert "trained on (weights_hash differ); extract them again with efficientnet-l" in sentence


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "nowhere: no such folder; give a checkpoint or a run."),
        (["{data}"], "things: is no checkpoint (no config.json) and no run (no run.json)"),
        (["{model}", "--k", "0"], "--k '0': give whole numbers from 1 on with commas"),
        (["{model}", "--k", "1;5"], "--k '1;5': give whole numbers"),
        (["{model}", "--folds", "5"], "folds is 5, and 12 images do not fall into 5 equal folds"),
        (["{model}", "--split", "tset"], "no split 'tset'"),
        (["{model}", "--data", "nowhere"], "nowhere: no such folder"),
        (["{model}", "--data", "{data}", "--format", "jpeg"], "unknown format 'jpeg'"),
    ],
)
def test_mistakes(command: Command, checkpoint: Path, words: list[str], sentence: str) -> None:
    filled = [w.format(model=checkpoint, data=checkpoint.parent / "things") for w in words]
    assert sentence in command.mistake("evaluate", *filled)


def test_a_result_that_cannot_be_written(
    command: Command, checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = command("evaluate", checkpoint, "--json", tmp_path / "file" / "result.json")
    assert done.code == 2
    assert "result.json: cannot be written" in done.err
    assert "Traceback" not in done.err
    assert "rsum" in done.out  # what was measured is shown all the same
