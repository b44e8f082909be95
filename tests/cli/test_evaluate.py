from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from shell import Command

sys.path.append(str(Path(__file__).parents[1] / "training"))
from tiny_runs import (
    CAPTIONS,
    silent,
    tiny_settings,
    write_bert,
    write_picture_set,
    write_scan_set,
)

from user_itr import load
from user_itr.evaluation.document import read_document
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
    [scored_by] = document["models"]
    assert scored_by["sha256"] == model.fingerprint
    assert scored_by["settings"]["model"]["embedding"] == 24
    assert document["queries"]["i2t"]["queries"] == list(range(12))
    stored = read_document(file)
    assert stored.ranks.i2t.ranks().tolist() == first.tolist()
    assert stored.ranks.t2i.ranks().tolist() == of_caption.tolist()
    interval = document["intervals"]["i2t"]["R@1"]
    assert interval["low"] <= metrics["i2t"]["R@1"] <= interval["high"]


def test_captions_in_bfloat16(command: Command, checkpoint: Path, tmp_path: Path) -> None:
    bert = write_bert(tmp_path / "bert")
    words = (f"model.text.encoder={bert}", "model.text.cache=false")
    settings = tiny_settings(checkpoint.parent / "things", *words)
    save_model(tmp_path / "model", prepare(settings, silent).model)
    done = command("evaluate", tmp_path / "model", "--text-dtype", "bfloat16")
    assert done.code == 0, done.err
    assert "model: captions were encoded in bfloat16." in " ".join(done.err.split())
    done = command("evaluate", checkpoint, "--text-dtype", "bfloat16")
    assert done.code == 2
    assert "a BiGRU encodes captions only in float32" in " ".join(done.err.split())


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
        assert f"rsum {rsum:.1f}" in printed

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
        (["{model}", "--ties", "lucky"], "ties is 'lucky'; use one of pessimistic"),
        (["{model}", "--fusion", "sum"], "--fusion 'sum': use mean or rank."),
        (["{model}", "{model}", "--fusion", "rank", "--folds", "3"], "no scores for folds; use"),
        (["{model}", "--resamples", "-1"], "resamples is -1; give 0 for none"),
        (["{model}", "--cxc", "{data}"], "the images of this split have no MSCOCO ids"),
        (["{model}", "--folds", "5"], "folds is 5, and 12 images do not fall into 5 equal folds"),
        (["{model}", "--split", "tset"], "no split 'tset'"),
        (["{model}", "--data", "nowhere"], "nowhere: no such folder"),
        (["{model}", "--data", "{data}", "--format", "jpeg"], "unknown format 'jpeg'"),
    ],
)
def test_mistakes(command: Command, checkpoint: Path, words: list[str], sentence: str) -> None:
    filled = [w.format(model=checkpoint, data=checkpoint.parent / "things") for w in words]
    assert sentence in command.mistake("evaluate", *filled)


def test_scans_folder_is_scored_by_cxc_with_the_ids_of_a_karpathy_json(
    command: Command, checkpoint: Path, tmp_path: Path
) -> None:
    data = tmp_path / "coco_precomp"
    shutil.copytree(checkpoint.parent / "things", data)
    for kind in ("ims.npy", "caps.txt"):
        (data / f"test_{kind}").rename(data / f"testall_{kind}")
    lines = (data / "testall_caps.txt").read_text().splitlines()
    images = [
        {
            "filename": f"{image}.jpg",
            "split": "test",
            "cocoid": 500 - image,
            "sentences": [
                {"raw": lines[row].capitalize() + ".", "sentid": 9000 - row}
                for row in range(image * CAPTIONS, (image + 1) * CAPTIONS)
            ],
        }
        for image in range(len(lines) // CAPTIONS)
    ]
    ids = tmp_path / "dataset_coco.json"
    ids.write_text(json.dumps({"dataset": "coco", "images": images}))
    rows = {
        "sits": [
            "caption,image",
            *(f"x:sentid:{9000 - 3 * n},x_{500 - n:012}.jpg" for n in (0, 1)),
        ],
        "sis": ["image1,image2", "x_000000000500.jpg,x_000000000499.jpg"],
        "sts": ["caption1,caption2", "x:sentid:9000,x:sentid:8997"],
    }
    for task, (header, *pairs) in rows.items():
        text = [f"{header},agg_score,sampling_method", *(f"{pair},5.0,method" for pair in pairs)]
        (tmp_path / f"{task}_test.csv").write_text("\n".join(text) + "\n")
    words = ("evaluate", checkpoint, "--data", data, "--split", "testall", "--cxc", tmp_path)
    assert "add --ids dataset_coco.json" in command.mistake(*words)
    result = tmp_path / "result.json"
    done = command(*words, "--ids", ids, "--json", result)
    assert done.code == 0, done.err
    assert json.loads(result.read_text())["protocols"]["cxc"]["i2i"]["queries"] == 2


def embeddings(checkpoint: Path) -> tuple[np.ndarray, np.ndarray]:
    model = load(checkpoint)
    data = checkpoint.parent / "things"
    captions = (data / "test_caps.txt").read_text().splitlines()
    return model.encode_regions(np.load(data / "test_ims.npy")), model.encode_text(captions)


@pytest.mark.parametrize("truth", ["set", "file"])
def test_files_of_other_peoples_models_score_the_same(
    command: Command, checkpoint: Path, tmp_path: Path, truth: str
) -> None:
    images, captions = embeddings(checkpoint)
    folder = tmp_path / "vectors"
    folder.mkdir()
    np.save(folder / "images.npy", images)
    np.save(folder / "captions.npy", captions)
    np.save(tmp_path / "scores.npy", images.astype(np.float64) @ captions.astype(np.float64).T)
    np.save(tmp_path / "owner.npy", np.arange(len(captions)) // CAPTIONS)
    right = {
        "set": ("--data", checkpoint.parent / "things"),
        "file": ("--caption-image", tmp_path / "owner.npy"),
    }[truth]
    found = {}
    for name, words in {
        "checkpoint": (checkpoint,),
        "embeddings": (folder, *right),
        "similarity": (tmp_path / "scores.npy", *right),
        "all": (folder, tmp_path / "scores.npy", folder, *right),
        "rank": (folder, folder, "--fusion", "rank", *right),
    }.items():
        file = tmp_path / f"{name}.json"
        done = command("evaluate", *words, "--k", "1,2,3", "--json", file, "--resamples", "50")
        assert done.code == 0, done.err
        found[name] = json.loads(file.read_text())
    for name, document in found.items():
        assert document["metrics"] == found["checkpoint"]["metrics"], name
    assert found["embeddings"]["models"][0]["kind"] == "embeddings"
    assert (
        found["similarity"]["models"][0]["sha256"]
        == hashlib.sha256((tmp_path / "scores.npy").read_bytes()).hexdigest()
    )
    assert (found["all"]["fusion"], found["rank"]["fusion"]) == ("mean", "rank")
    assert found["checkpoint"]["fusion"] is None
    if truth == "set":
        assert found["embeddings"]["split_key"] == found["checkpoint"]["split_key"]


def test_mistakes_in_files(command: Command, checkpoint: Path, tmp_path: Path) -> None:
    data = ("--data", checkpoint.parent / "things")
    good = tmp_path / "scores.npy"
    np.save(good, np.zeros((12, 12 * CAPTIONS), np.float32))
    assert "do not say what is right; give --data SET" in command.mistake("evaluate", good)
    small = tmp_path / "small.npy"
    np.save(small, np.zeros((11, 12 * CAPTIONS), np.float32))
    sentence = command.mistake("evaluate", small, *data)
    assert "small.npy: has 11 rows for 12 images and 36 captions" in sentence
    nan = tmp_path / "nan.npy"
    np.save(nan, np.full((12, 12 * CAPTIONS), np.nan))
    assert "nan.npy: the similarity matrix, row 0, column 0" in command.mistake(
        "evaluate", nan, *data
    )
    text = tmp_path / "text.npy"
    text.write_text("no array")
    assert "text.npy: cannot be read as a NumPy array" in command.mistake("evaluate", text, *data)
    objects = tmp_path / "objects.npy"
    np.save(objects, np.array([{}]), allow_pickle=True)
    assert "objects.npy: cannot be read as a NumPy" in command.mistake("evaluate", objects, *data)
    floats = tmp_path / "floats.npy"
    np.save(floats, np.zeros(3))
    assert "floats.npy: caption_image is float64" in command.mistake(
        "evaluate", good, "--caption-image", floats
    )
    assert "a checkpoint needs a set" in command.mistake(
        "evaluate", checkpoint, "--caption-image", floats
    )


def test_folds_that_do_not_fit_are_known_before_anything_is_embedded(
    command: Command, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def embed(*_: object, **__: object) -> None:
        raise AssertionError("embedded")

    monkeypatch.setattr("user_itr.model.split_embeddings.embed_loaded", embed)
    assert "12 images do not fall into 5" in command.mistake("evaluate", checkpoint, "--folds", "5")


def test_the_page_of_a_set_without_pictures(
    command: Command, checkpoint: Path, tmp_path: Path
) -> None:
    page = tmp_path / "new" / "page.html"
    done = command("evaluate", checkpoint, "--report", page)
    assert done.code == 0, done.err
    assert "page written to" in done.err
    assert "things, test" in page.read_text(encoding="utf-8")


def test_compare(command: Command, checkpoint: Path, tmp_path: Path) -> None:
    images, captions = embeddings(checkpoint)
    rng = np.random.default_rng(0)
    own = np.arange(len(captions)) // CAPTIONS == np.arange(len(images))[:, None]
    noise = rng.normal(size=own.shape)
    files = {}
    for name, signal in {"weak": 0.0, "strong": 3.0}.items():
        np.save(tmp_path / f"{name}.npy", noise + signal * own)
        files[name] = tmp_path / f"{name}.json"
        words = (tmp_path / f"{name}.npy", "--data", checkpoint.parent / "things")
        done = command("evaluate", *words, "--json", files[name], "--k", "1,5")
        assert done.code == 0, done.err
    out = tmp_path / "compared.json"
    done = command("compare", files["weak"], files["strong"], "--json", out, "--moved", "3")
    assert done.code == 0, done.err
    for part in ("A: weak", "B: strong", "image to text R@1", "rsum", "queries that moved most"):
        assert part in done.out
    found = json.loads(out.read_text())
    weak, strong = (json.loads(files[name].read_text())["metrics"] for name in ("weak", "strong"))
    difference = found["difference"]["t2i"]["R@1"]
    assert difference["value"] == pytest.approx(strong["t2i"]["R@1"] - weak["t2i"]["R@1"])
    assert difference["mcnemar"]["wins"] > difference["mcnemar"]["losses"] == 0
    assert found["first"]["rsum"] == pytest.approx(weak["rsum"])
    assert found["second"]["rsum"] == pytest.approx(strong["rsum"])
    moved = found["moved"]["t2i"]
    ratios = [one["before"] / one["after"] for one in moved]
    assert len(moved) == 3
    assert ratios == sorted(ratios, reverse=True)
    assert moved[0]["query"] in (checkpoint.parent / "things" / "test_caps.txt").read_text()

    same = command("compare", files["weak"], files["weak"], "--json", out)
    assert same.code == 0, same.err
    assert json.loads(out.read_text())["difference"]["rsum"]["p_value"] == 1
    assert "moved most" not in same.out


def test_what_cannot_be_compared(command: Command, checkpoint: Path, tmp_path: Path) -> None:
    good = tmp_path / "good.json"
    words = ("evaluate", checkpoint, "--resamples", "0", "--json")
    assert command(*words, good).code == 0
    document = json.loads(good.read_text())
    assert document["intervals"] is None
    bad = tmp_path / "bad.json"

    def mistake(**changed: object) -> str:
        bad.write_text(json.dumps({**document, **changed}))
        return command.mistake("compare", good, bad)

    assert "bad.json: field format is 1, this release reads 2" in mistake(format=1)
    assert "are different items; evaluate both" in mistake(split_key="0")
    assert "bad.json: field models.0.name" in mistake(models=[{}])
    queries = document["queries"]
    assert "bad.json: field queries.i2t: a row is outside the 12" in mistake(
        queries={**queries, "i2t": {**queries["i2t"], "queries": [99] * 12}}
    )
    assert "lists of queries are of different lengths" in mistake(
        queries={**queries, "i2t": {**queries["i2t"], "ahead": []}}
    )
    assert "bad.json" in mistake(items={**document["items"], "caption_image": [99]})
    assert "one evaluation has pessimistic ties and the other optimistic" in mistake(
        metrics={**document["metrics"], "ties": "optimistic"}
    )
    assert "share no cut-off" in mistake(metrics={**document["metrics"], "i2t": {"R@7": 1.0}})
    bad.write_text("{")
    assert "bad.json: is no evaluation" in command.mistake("compare", good, bad)
    assert "nowhere.json: cannot be read" in command.mistake("compare", good, "nowhere.json")
    assert "--moved -1" in command.mistake("compare", good, good, "--moved", "-1")


def test_a_result_that_cannot_be_written(
    command: Command, checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = command("evaluate", checkpoint, "--json", tmp_path / "file" / "result.json")
    assert done.code == 2
    assert "result.json: cannot be written" in done.err
    assert "Traceback" not in done.err
    assert done.out == ""  # known before anything was measured
