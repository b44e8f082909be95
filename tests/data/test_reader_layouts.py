"""Sets as they are distributed, with pictures and without."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from user_itr.data.captions import CaptionedImages
from user_itr.data.readers import detect_format, load_captions, read_captions, splits
from user_itr.errors import DataError

PutImages = Callable[[Path, Iterable[str]], None]
KAGGLE = (
    "image,caption\n"
    "a.jpg,A child in a pink dress .\n"
    'a.jpg,"A girl, going into a ""wooden"" building ."\n'
    "b.jpg,Two dogs\n"
)
TOKEN = "a.jpg#0\tA child in a pink dress .\na.jpg#1\tA girl, | going\nb.jpg#0\tTwo dogs\n"
RESULTS = (
    "image_name| comment_number| comment\n"
    "a.jpg| 0| A child in a pink dress .\n"
    'a.jpg| 1| A girl, "going"\n'
    "b.jpg| 0   Two dogs\n"  # as one line of the real file
)
METADATA = """{"file_name": "a.jpg", "text": ["A child", "A girl"]}
{"file_name": "b.jpg", "text": "Dogs"}
"""


def pairs(items: CaptionedImages) -> list[tuple[str, str]]:
    owners = (items.image_ids[row] for row in items.caption_image)
    return list(zip(owners, items.captions, strict=True))


ONE_FILE = {
    "captions.txt": (KAGGLE, ['A girl, going into a "wooden" building .', "Two dogs"]),
    "results_20130124.token": (TOKEN, ["A girl, | going", "Two dogs"]),
    "results.csv": (RESULTS, ['A girl, "going"', "Two dogs"]),
    "metadata.jsonl": (METADATA, ["A girl", "Dogs"]),
    "metadata.csv": (
        "file_name,text\na.jpg,A child\na.jpg,A girl\nb.jpg,Dogs\n",
        ["A girl", "Dogs"],
    ),
    "captions.tsv": (
        "filepath\ttitle\na.jpg\tA child\na.jpg\tA girl, too\nb.jpg\tDogs\n",
        ["A girl, too", "Dogs"],
    ),
}


@pytest.mark.parametrize("pictures", [True, False])
@pytest.mark.parametrize("name", ONE_FILE)
def test_one_file(tmp_path: Path, put_images: PutImages, name: str, pictures: bool) -> None:
    content, rest = ONE_FILE[name]
    (tmp_path / name).write_text(content)
    if pictures:
        folder = "flickr30k-images" if name.startswith("results") else "Images"
        put_images(tmp_path / folder, ["a.jpg", "b.jpg"])
    assert detect_format(tmp_path) == "captions"
    assert splits(tmp_path) == ["train"]
    items = load_captions(tmp_path, "train", pictures=pictures)
    assert items.image_ids == ("a.jpg", "b.jpg")
    assert items.caption_image.tolist() == [0, 0, 1]
    assert list(items.captions[1:]) == rest
    assert items.captions[0].startswith("A child")
    assert pairs(load_captions(tmp_path / name, "train", pictures=pictures)) == pairs(items)


def test_without_pictures_nothing_but_them_is_forgiven(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text(KAGGLE + "c.jpg,\n,words\n")
    with pytest.raises(DataError, match="none of the 3 images is in"):
        read_captions(tmp_path, "train")
    items, problems = read_captions(tmp_path, "train", pictures=False)
    assert items.image_ids == ("a.jpg", "b.jpg")
    assert [problem.where for problem in problems] == ["line 5", "line 6", "line 5"]


@pytest.mark.parametrize("ending", ["", ".jpg"])
def test_lists_beside_the_file_are_splits(tmp_path: Path, ending: str) -> None:
    (tmp_path / "results_20130124.token").write_text(TOKEN)
    for split, name in (("train", "b"), ("test", "a")):
        (tmp_path / f"{split}.txt").write_text(f"{name}{ending}\n")
    assert splits(tmp_path) == ["train", "test"]
    assert load_captions(tmp_path, "test", pictures=False).image_ids == ("a.jpg",)
    assert load_captions(tmp_path, "train", pictures=False).captions == ("Two dogs",)


def test_metadata_in_the_folder_of_each_split(tmp_path: Path, put_images: PutImages) -> None:
    for split, names in (("train", "abc"), ("test", "a")):
        folder = tmp_path / "data" / split
        put_images(folder, [f"{name}.jpg" for name in names])
        lines = [json.dumps({"file_name": f"{name}.jpg", "text": f"a {name}"}) for name in names]
        (folder / "metadata.jsonl").write_text("\n".join(lines))
    assert splits(tmp_path) == ["train", "test"]
    items = load_captions(tmp_path, "test")
    assert pairs(items) == [("data/test/a.jpg", "a a")]
    assert items.image_paths == (tmp_path / "data/test/a.jpg",)
    assert len(load_captions(tmp_path, "train")) == 3


def test_other_tables_of_these_names_are_no_sets(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("epoch,loss\n1,0.5\n")
    (tmp_path / "metadata.csv").write_text("a,b\n1,2\n")
    (tmp_path / "captions.txt").write_text("some words\n")
    with pytest.raises(DataError, match="no captioned image set that can be read here"):
        detect_format(tmp_path)


def pack(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def test_webdataset(tmp_path: Path) -> None:
    five = json.dumps({"caption": ["one", "two  words"]}).encode()
    pack(tmp_path / "set-train-000.tar", {"0.jpg": b"x", "0.txt": b"a dog\na cat\n"})
    pack(tmp_path / "set-test-000.tar", {"1.jpg": b"x", "1.json": b'{"caption": "a boat"}'})
    pack(tmp_path / "set-test-001.tar", {"2.png": b"x", "2.json": five})
    assert detect_format(tmp_path) == "webdataset"
    assert splits(tmp_path) == ["train", "test"]
    items = load_captions(tmp_path, "test", pictures=False)
    assert pairs(items) == [("1.jpg", "a boat"), ("2.png", "one"), ("2.png", "two words")]
    assert load_captions(tmp_path, "train", pictures=False).captions == ("a dog", "a cat")
    with pytest.raises(DataError, match="its pictures are in tars; unpack them"):
        load_captions(tmp_path, "test")
    one = load_captions(tmp_path / "set-train-000.tar", "train", pictures=False)
    assert one.captions == ("a dog", "a cat")


def test_webdataset_in_folders_of_splits_and_unpacked(
    tmp_path: Path, put_images: PutImages
) -> None:
    for split in ("train", "test"):
        (tmp_path / "tars" / split).mkdir(parents=True)
        pack(tmp_path / "tars" / split / "000.tar", {"1.jpg": b"x", "1.txt": split.encode()})
        put_images(tmp_path / "files" / split, ["1.jpg", "2.jpg"])
        (tmp_path / "files" / split / "1.txt").write_text(f"{split}\nagain\n")
        (tmp_path / "files" / split / "2.json").write_text('{"caption": "two"}')
    assert splits(tmp_path / "tars") == splits(tmp_path / "files") == ["train", "test"]
    assert load_captions(tmp_path / "tars", "test", pictures=False).captions == ("test",)
    items = load_captions(tmp_path / "files", "test")
    assert pairs(items) == [
        ("test/1.jpg", "test"), ("test/1.jpg", "again"), ("test/2.jpg", "two"),
    ]  # fmt: skip
    (tmp_path / "files" / "test" / "2.json").write_text("{")
    with pytest.raises(DataError, match=r"2\.json: cannot be read as JSON"):
        load_captions(tmp_path / "files", "test")


def multi30k(root: Path) -> Path:
    for task in ("task1", "task2"):
        for folder in ("raw", "image_splits"):
            (root / "data" / task / folder).mkdir(parents=True)
    raw, lists = root / "data/task1/raw", root / "data/task1/image_splits"
    (raw / "train.en").write_text("a dog\ntwo cats\n")
    with gzip.open(raw / "train.de.gz", "wt", encoding="utf-8") as file:
        file.write("ein Hund\nzwei Kätzchen\n")
    (raw / "test_2016_flickr.en").write_text("a boat\n")
    (lists / "train.txt").write_text("1.jpg\n2.jpg\n")
    (lists / "test_2016_flickr.txt").write_text("3.jpg\n")
    for number in (1, 2):
        (root / f"data/task2/raw/train.{number}.en").write_text(f"dog {number}\ncat {number}\n")
    (root / "data/task2/image_splits/train_images.txt").write_text("1.jpg\n2.jpg\n")
    return root


def test_multi30k(tmp_path: Path, put_images: PutImages) -> None:
    root = multi30k(tmp_path)
    assert detect_format(root) == "multi30k"
    assert splits(root) == ["train", "task2.train", "test_2016_flickr", "train.de"]
    assert pairs(load_captions(root, "train", pictures=False)) == [
        ("1.jpg", "a dog"), ("2.jpg", "two cats"),
    ]  # fmt: skip
    assert load_captions(root, "train.de", pictures=False).captions == ("ein Hund", "zwei Kätzchen")
    assert pairs(load_captions(root / "data", "task2.train", pictures=False)) == [
        ("1.jpg", "dog 1"), ("1.jpg", "dog 2"), ("2.jpg", "cat 1"), ("2.jpg", "cat 2"),
    ]  # fmt: skip
    put_images(root / "flickr30k-images", ["3.jpg"])
    assert load_captions(root, "test_2016_flickr").image_ids == ("3.jpg",)
    (root / "data/task1/raw/train.en").write_text("a dog\n")
    with pytest.raises(DataError, match=r"train\.en: has 1 lines, and train\.txt lists 2 images"):
        load_captions(root, "train", pictures=False)
    (root / "data/task1/raw/train.de.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match=r"train\.de\.gz: cannot be read"):
        load_captions(root, "train.de", pictures=False)


def test_a_karpathy_file_without_splits_says_so(tmp_path: Path) -> None:
    entries = [{"filename": "a.jpg", "sentences": [{"raw": "a dog"}]}]
    (tmp_path / "dataset_x.json").write_text(json.dumps({"dataset": "x", "images": entries}))
    for call in (splits, lambda root: load_captions(root, "test", pictures=False)):
        with pytest.raises(DataError, match=r"none of its 1 images has a `split`"):
            call(tmp_path)
