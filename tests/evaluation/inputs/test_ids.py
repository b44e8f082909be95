"""Embeddings with ids, in any order and form, have the figures of embeddings in order."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import save_file

sys.path.append(str(Path(__file__).parents[2] / "cli"))
from shell import Command

from user_itr.bulk.collection import (
    MANIFEST,
    SHARDS,
    CollectionManifest,
    Shard,
    hash_rows,
    row_schema,
)

SETS = ("coco", "flickr8k")


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(capfd)


class Set:
    """12 images with 2 to 4 captions, in a layout, without any picture; and embeddings of them."""

    def __init__(self, folder: Path, layout: str) -> None:
        self.root = folder / "set"
        self.root.mkdir()
        random = np.random.default_rng(0)
        counts = random.integers(2, 5, size=12)
        self.owner = np.repeat(np.arange(12), counts)
        captions = [f"words {row}" for row in range(len(self.owner))]
        names = [f"COCO_val2014_{number:012}.jpg" for number in random.permutation(900)[:12]]
        if layout == "coco":
            sentids = random.permutation(5000)[: len(captions)].tolist()
            entries = [
                {
                    "filename": name,
                    "filepath": "val2014",
                    "cocoid": int(name[-10:-4]),
                    "split": "test",
                    "sentences": [
                        {"raw": captions[row], "sentid": sentids[row]}
                        for row in np.flatnonzero(self.owner == image).tolist()
                    ],
                }
                for image, name in enumerate(names)
            ]
            content = {"dataset": "coco", "images": entries}
            (self.root / "dataset_coco.json").write_text(json.dumps(content))
            self.image_ids = [f"val2014/{name}" for name in names]
            self.caption_ids = [str(one) for one in sentids]
        else:
            lines, keys = [], []
            for image, name in enumerate(names):
                for number, row in enumerate(np.flatnonzero(self.owner == image).tolist()):
                    keys.append(f"{name}#{number}")
                    lines.append(f"{keys[-1]}\t{captions[row]}")
            (self.root / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
            (self.root / "Flickr_8k.testImages.txt").write_text("\n".join(names) + "\n")
            self.image_ids, self.caption_ids = names, keys
        self.images = random.normal(size=(12, 6)).astype(np.float32)
        around = random.normal(size=(len(captions), 6))
        self.captions = (self.images[self.owner] + 0.8 * around).astype(np.float32)
        self.images, self.captions = (
            side / np.linalg.norm(side, axis=1, keepdims=True)
            for side in (self.images, self.captions)
        )
        self.order = random.permutation(12), random.permutation(len(captions))

    def shuffled(self) -> dict[str, Any]:
        images, captions = self.order
        return {
            "images": self.images[images],
            "captions": self.captions[captions],
            "image_ids": [self.image_ids[row] for row in images],
            "caption_ids": [self.caption_ids[row] for row in captions],
        }


@pytest.fixture(params=SETS)
def made(tmp_path: Path, request: pytest.FixtureRequest) -> Set:
    return Set(tmp_path, request.param)


def evaluated(command: Command, folder: Path, *words: object) -> dict[str, Any]:
    out = folder / "out.json"
    done = command("evaluate", *words, "--resamples", "0", "--json", out)
    assert done.code == 0, done.err
    return dict(json.loads(out.read_text()))


def in_order(command: Command, folder: Path, made: Set) -> dict[str, Any]:
    path = folder / "ordered"
    path.mkdir()
    np.save(path / "images.npy", made.images)
    np.save(path / "captions.npy", made.captions)
    return evaluated(command, folder, path, "--data", made.root)


@pytest.mark.parametrize("form", ["npy txt", "npy json", "npy npy", "npz", "safetensors", "pt"])
def test_any_order_and_form(command: Command, tmp_path: Path, made: Set, form: str) -> None:
    found = made.shuffled()
    path = tmp_path / "model"
    kind, _, ids = form.partition(" ")
    if kind in ("npz", "npy"):
        path.mkdir()
    if kind == "npz":
        path = path / "all.npz"
        np.savez(path, **{name: np.array(values) for name, values in found.items()})
    elif kind == "safetensors":
        path.mkdir()
        for name in ("images", "captions"):
            save_file({"anything": found[name]}, path / f"{name}.safetensors")
        ids = "txt"
    elif kind == "pt":
        path.mkdir()
        for name in ("images", "captions"):
            torch.save({name: torch.from_numpy(found[name])}, path / f"{name}.pt")
        ids = "json"
    else:
        np.save(path / "images.npy", found["images"])
        np.save(path / "captions.npy", found["captions"])
    for side in ("image_ids", "caption_ids"):
        if ids == "txt":
            (path / f"{side}.txt").write_text("\n".join(found[side]) + "\n")
        elif ids == "json":
            (path / f"{side}.json").write_text(json.dumps(found[side]))
        elif ids == "npy":
            np.save(path / f"{side}.npy", np.array(found[side]))
    document = evaluated(command, tmp_path, path, "--data", made.root)
    expected = in_order(command, tmp_path, made)
    assert document["metrics"] == expected["metrics"]
    assert document["queries"] == expected["queries"]
    assert document["split_key"] == expected["split_key"]
    assert document["notes"] == []


@pytest.mark.parametrize("way", ["base", "stem", "number", "given"])
def test_ids_in_other_words(command: Command, tmp_path: Path, way: str) -> None:
    made = Set(tmp_path, "coco")
    found = made.shuffled()
    path = tmp_path / "model"
    path.mkdir()
    np.save(path / "images.npy", found["images"])
    np.save(path / "captions.npy", found["captions"])
    base = [one.rpartition("/")[2] for one in found["image_ids"]]
    names = {
        "base": base,
        "stem": [one.removesuffix(".jpg") for one in base],
        "number": [str(int(one[-10:-4])) for one in base],
        "given": base,
    }[way]
    words: list[object] = []
    for side, ids in (("image", names), ("caption", found["caption_ids"])):
        file = (tmp_path if way == "given" else path) / f"{side}_ids.txt"
        file.write_text("\n".join(ids))
        words += [f"--{side}-ids", file] if way == "given" else []
    document = evaluated(command, tmp_path, path, "--data", made.root, *words)
    assert document["metrics"] == in_order(command, tmp_path, made)["metrics"]


@pytest.mark.parametrize("manifest", [True, False])
def test_shards_of_encode(command: Command, tmp_path: Path, manifest: bool) -> None:
    """Images in Parquet shards by key, as `encode --out` leaves them; captions in a file."""
    made = Set(tmp_path, "coco")
    found = made.shuffled()
    path = tmp_path / "model"
    folder = path / "images" / (SHARDS if manifest else "")
    folder.mkdir(parents=True)
    shards = []
    for number, part in enumerate((slice(0, 5), slice(5, None))):
        keys = found["image_ids"][part]
        columns = {
            "source": ["photos"] * len(keys),
            "key": keys,
            "caption": [None] * len(keys),
            "hash": ["0"] * len(keys),
            "width": [4] * len(keys),
            "height": [4] * len(keys),
            "embedding": pa.FixedSizeListArray.from_arrays(
                pa.array(found["images"][part].ravel().astype(np.float32)), 6
            ),
        }
        table = pa.table(columns, row_schema(6, "float32"))
        name = f"{number:05}.parquet"
        pq.write_table(table, folder / name)
        shards.append(Shard(name=name, rows=len(keys), sha256=hash_rows(table)))
    if manifest:
        content = CollectionManifest(
            model="m", fingerprint="f", description="d", dim=6, dtype="float32", format="parquet",
            sources=("photos",), batch_size=4, shard_rows=8, planned=2, shards=tuple(shards),
        )  # fmt: skip
        (path / "images" / MANIFEST).write_text(content.model_dump_json())
    np.save(path / "captions.npy", found["captions"])
    (path / "caption_ids.txt").write_text("\n".join(found["caption_ids"]))
    document = evaluated(command, tmp_path, path, "--data", made.root)
    assert document["metrics"] == in_order(command, tmp_path, made)["metrics"]
    if manifest:
        (folder / "00001.parquet").unlink()
        said = command.mistake("evaluate", path, "--data", made.root)
        assert "images: cannot be read as embeddings in Parquet" in said


def test_without_a_set_ids_say_what_is_right(command: Command, tmp_path: Path, made: Set) -> None:
    found = made.shuffled()
    path = tmp_path / "model"
    path.mkdir()
    np.save(path / "images.npy", found["images"])
    np.save(path / "captions.npy", found["captions"])
    (path / "image_ids.txt").write_text("\n".join(found["image_ids"]))
    if "#" in found["caption_ids"][0]:
        (path / "caption_ids.txt").write_text("\n".join(found["caption_ids"]))
    else:
        owners = [made.image_ids[made.owner[row]] for row in made.order[1]]
        (path / "caption_image_ids.json").write_text(json.dumps(owners))
    document = evaluated(command, tmp_path, path)
    assert document["metrics"] == in_order(command, tmp_path, made)["metrics"]


def test_an_order_at_chance_level_is_named(command: Command, tmp_path: Path) -> None:
    made = Set(tmp_path, "coco")
    path = tmp_path / "model"
    path.mkdir()
    annotated = np.argsort([int(one) for one in made.caption_ids])
    np.save(path / "images.npy", made.images)
    np.save(path / "captions.npy", made.captions[annotated])
    document = evaluated(command, tmp_path, path, "--data", made.root, "--k", "1,2")
    [note] = document["notes"]
    right = in_order(command, tmp_path, made)
    assert "is at chance level" in note
    assert "captions by their number, the order of annotation: rsum" in note
    (path / "caption_ids.txt").write_text("\n".join(made.caption_ids[row] for row in annotated))
    found = evaluated(command, tmp_path, path, "--data", made.root)
    assert found["metrics"] == right["metrics"]


def test_the_order_of_a_set(command: Command, tmp_path: Path, made: Set) -> None:
    done = command("data", "order", made.root, "--split", "test")
    assert done.code == 0, done.err
    lines = [line.split("\t") for line in done.out.splitlines()]
    assert [line[:3] for line in lines[:12]] == [
        ["image", str(row), key] for row, key in enumerate(made.image_ids)
    ]
    assert [line[1:4] for line in lines[12:]] == [
        [str(row), key, str(made.owner[row])] for row, key in enumerate(made.caption_ids)
    ]
    assert lines[12][4] == "words 0"
    only = command("data", "order", made.root, "--side", "captions")
    assert only.out.splitlines() == made.caption_ids
    told = json.loads(command("data", "order", made.root, "--json").out)
    assert told == {"images": made.image_ids, "captions": made.caption_ids}
    assert "--side 'words'" in command.mistake("data", "order", made.root, "--side", "words")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        ("short", "image_ids.txt: holds 11 ids, and"),
        ("other", "image_ids.txt: 1 of the 12 images of the set are not there (the first is"),
        ("differ", "rows 0 and 1 have the id"),
        ("both", "image_ids.txt and image_ids.json are there; keep one"),
        ("broken", "image_ids.json: is no list of ids"),
        ("pickle", "captions.pt: cannot be read as arrays of a .pt file"),
        ("objects", "captions.npz: cannot be read as arrays of a .npz file"),
    ],
)
def test_mistakes(command: Command, tmp_path: Path, spoil: str, sentence: str) -> None:
    made = Set(tmp_path, "coco")
    path = tmp_path / "model"
    path.mkdir()
    images, ids = made.images, list(made.image_ids)
    if spoil == "short":
        ids = ids[:-1]
    if spoil == "other":
        ids[4] = "another.jpg"
    if spoil == "differ":
        images, ids = np.concatenate([images[:1] + 0.1, images]), [ids[0], *ids]
    np.save(path / "images.npy", images)
    np.save(path / "captions.npy", made.captions)
    (path / "image_ids.txt").write_text("\n".join(ids))
    if spoil in ("both", "broken"):
        (path / "image_ids.json").write_text("{}" if spoil == "broken" else json.dumps(ids))
        if spoil == "broken":
            (path / "image_ids.txt").unlink()
    if spoil in ("pickle", "objects"):
        (path / "captions.npy").unlink()
        marker = tmp_path / "marker"

        class Payload:
            def __reduce__(self) -> tuple[Any, ...]:
                return (marker.touch, ())

        if spoil == "pickle":
            torch.save({"captions": Payload()}, path / "captions.pt")
        else:
            np.savez(path / "captions.npz", captions=np.array([Payload()], object))
    said = command.mistake("evaluate", path, "--data", made.root)
    assert sentence in said
    assert not (tmp_path / "marker").exists()
