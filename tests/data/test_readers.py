from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from user_itr.data.problems import Problem
from user_itr.data.readers import FORMATS, detect_format, read_captions, read_splits, splits
from user_itr.data.readers.image_folder import ImageFolder
from user_itr.data.readers.text import read_lines
from user_itr.errors import DataError


def test_a_problem_reads_as_file_place_message():
    assert (
        str(Problem(Path("a/b.txt"), "line 3", "is empty."))
        == f"{Path('a/b.txt')}: line 3: is empty."
    )
    assert str(Problem(Path("a.npy"), "", "is cut.")) == "a.npy: is cut."


def test_an_unknown_folder_is_told_what_is_known(tmp_path):
    with pytest.raises(DataError) as caught:
        detect_format(tmp_path)
    assert all(f"{name}: {entry.layout}" in str(caught.value) for name, entry in FORMATS.items())
    for format in ("auto", "scan"):
        with pytest.raises(DataError, match="no such folder"):
            splits(tmp_path / "nowhere", format)
    with pytest.raises(DataError, match="unknown format 'csv'; known are auto, flickr8k"):
        splits(tmp_path, "csv")


def test_a_folder_of_two_layouts_needs_a_choice(tmp_path, put_images):
    put_images(tmp_path / "images", ["a.png"])
    (tmp_path / "captions.csv").write_text("image,caption\na.png,A dog\n")
    (tmp_path / "captions_train.json").write_text(json.dumps({"images": [], "annotations": []}))
    with pytest.raises(DataError, match="could be coco or captions; choose one by --format"):
        detect_format(tmp_path)
    captioned, problems = read_captions(tmp_path, "train", format="captions")
    assert captioned.image_ids == ("a.png",)
    assert problems == []


def test_all_splits_report_shared_images_and_unreadable_splits(tmp_path, put_images):
    put_images(tmp_path / "Images", ["a.jpg", "b.jpg", "c.jpg"])
    (tmp_path / "Flickr8k.token.txt").write_text(
        "a.jpg#0\tA dog\nb.jpg#0\tA cat\nc.jpg#0\tA boat\nmalformed\n"
    )
    for split, names in {"train": "ab", "dev": "bc", "test": "x"}.items():
        listed = "".join(f"{name}.jpg\n" for name in names)
        (tmp_path / f"Flickr_8k.{split}Images.txt").write_text(listed)
    sets, problems = read_splits(tmp_path, ["train", "dev", "test"])
    assert [captioned.split for captioned in sets] == ["train", "dev"]
    assert [(problem.where, problem.message.split(";")[0]) for problem in problems] == [
        ("line 4", "'malformed' is not `name.jpg#k<TAB>caption`"),
        ("split test", f"flickr8k (test): none of the 1 images is in {tmp_path / 'Images'} "
         "(the first is 'x.jpg')"),
        ("split dev, image 'b.jpg'", "is also in split train"),
    ]  # fmt: skip


def test_test_may_be_a_part_of_testall(tmp_path):
    array = np.random.default_rng(1).standard_normal((2, 3, 4)).astype(np.float32)
    for split, count in (("test", 1), ("testall", 2)):
        np.save(tmp_path / f"{split}_ims.npy", array[:count])
        (tmp_path / f"{split}_caps.txt").write_text("A dog\nA cat\n" * count)
        (tmp_path / f"{split}_ids.txt").write_text("5\n7\n"[: 2 * count])
    sets, problems = read_splits(tmp_path, splits(tmp_path))
    assert [captioned.image_ids for captioned in sets] == [("5",), ("5", "7")]
    assert problems == []


def test_lines_end_at_line_feeds_alone(tmp_path):
    file = tmp_path / "text.txt"
    file.write_bytes("\ufeffa\r\n\r\nb\u2028c\x0cd\rstill d\n \n".encode())
    problems: list[Problem] = []
    assert read_lines(file, problems) == ["a", "", "b\u2028c\x0cd\rstill d", " "]
    assert problems == []
    file.write_bytes(b"good\nb\xff\xfed\r\nalso good")
    assert read_lines(file, problems) == ["good", None, "also good"]
    assert [problem.where for problem in problems] == ["line 2"]
    file.write_bytes(b"")
    assert read_lines(file, problems) == []
    with pytest.raises(DataError, match="cannot be read"):
        read_lines(tmp_path, problems)


def test_a_folder_is_listed_once(tmp_path, put_images, monkeypatch):
    put_images(tmp_path, ["a.png", "b.png", "sub/c.png"])
    folder = ImageFolder(tmp_path)
    assert folder.locate("a.png") == ("a.png", tmp_path / "a.png")
    assert folder.locate("sub/c.png")[1] == tmp_path / "sub/c.png"
    monkeypatch.setattr("os.scandir", lambda _: pytest.fail("listed again"))
    assert folder.locate("b.png")[1] == tmp_path / "b.png"
    assert folder.locate("none.png") == ("none.png", None)
    assert folder.locate("sub") == ("sub", None)
    assert folder.locate("sub\\c.png") == ("sub/c.png", tmp_path / "sub/c.png")


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", "sub/../../a.png", "..", "a\0b", ""])
def test_names_outside_the_folder_are_not_found(tmp_path, put_images, name):
    put_images(tmp_path, ["a.png", "inner/sub/b.png"])
    assert ImageFolder(tmp_path / "inner").locate(name)[1] is None
