from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from user_itr.data.problems import Problem
from user_itr.data.readers import detect_format, load_captions, read_captions, splits
from user_itr.data.readers.captions_file import parse
from user_itr.errors import DataError


@pytest.fixture
def folder(tmp_path, put_images):
    put_images(tmp_path / "images", ["a.png", "b.png", "unter ordner/ç.png"])
    return tmp_path


def test_csv_with_splits(folder):
    (folder / "captions.csv").write_text(
        "image,caption,split\n"
        "b.png,A cat,test\n"
        'a.png,"A dog, running",train\n'
        "unter ordner/ç.png,Ein Boot,train\n"
        'a.png,"A ""brown""\ndog",train\n',
        "utf-8",
    )
    assert detect_format(folder) == "captions"
    assert splits(folder) == ["train", "test"]
    train = load_captions(folder, "train")
    assert train.name == folder.name
    assert train.image_ids == ("a.png", "unter ordner/ç.png")
    assert train.captions == ("A dog, running", 'A "brown" dog', "Ein Boot")
    np.testing.assert_array_equal(train.caption_image, [0, 0, 1])
    assert train.image_paths is not None
    assert all(path.is_file() for path in train.image_paths)
    assert load_captions(folder, "test").captions == ("A cat",)


def test_csv_with_byte_order_mark_crlf_other_columns_and_no_split(folder):
    (folder / "captions.csv").write_bytes(
        "\ufeffID, Image ,Caption\r\n1,a.png,Ein Hund\r\n\r\n2,b.png,猫\r\n".encode()
    )
    assert splits(folder) == ["train"]
    train = load_captions(folder, "train")
    assert dict(zip(train.image_ids, train.captions, strict=True)) == {
        "a.png": "Ein Hund",
        "b.png": "猫",
    }


def test_jsonl_with_lists(folder):
    (folder / "captions.jsonl").write_text(
        '{"image": "a.png", "caption": ["A dog", "A brown dog"], "split": "dev"}\n'
        "\n"
        '{"image": "a.png", "caption": "Third", "split": "dev", "width": 3}\r\n',
        "utf-8",
    )
    dev = load_captions(folder, "dev")
    assert dev.image_ids == ("a.png",)
    assert dev.captions == ("A dog", "A brown dog", "Third")


def test_images_may_be_named_from_the_folder_of_the_file(tmp_path, put_images):
    put_images(tmp_path, ["images/a.png", "deep/er/b.png"])
    file = tmp_path / "captions.csv"
    file.write_text("image,caption\nimages/a.png,A dog\n./deep\\er\\b.png,A cat\n")
    train = load_captions(file, "train")
    assert train.image_ids == ("images/a.png", "deep/er/b.png")
    assert train.image_paths == (tmp_path / "images/a.png", tmp_path / "deep/er/b.png")


def test_every_problem_of_a_csv_is_reported_and_left_out(folder):
    file = folder / "captions.csv"
    file.write_bytes(
        b"image,caption,split\n"
        b'a.png,"A\nlong dog",train\n'
        b"a.png,,train\n"
        b"a.png,A dog, barking,train\n"
        b"caf\xe9.png,A cup,train\n"
        b",Nothing,train\n"
        b"gone.png,A boat,train\n"
        b"gone.png,A ship,train\n"
        b"b.png,A cat,test\n"
        b"b.png,A cat,train\n"
        b"b.png,A cat,\n"
    )
    train, problems = read_captions(folder, "train")
    assert train.image_ids == ("a.png",)
    assert train.captions == ("A long dog",)
    assert {problem.file for problem in problems} == {file}
    assert {problem.where: problem.message.split(";")[0] for problem in problems} == {
        "line 4": "the caption of image 'a.png' is empty",
        "line 5": "4 fields for 3 columns",
        "line 6": "is not valid UTF-8",
        "line 7": "the image name is empty.",
        "line 8": f"image 'gone.png' is not in {folder / 'images'}",
        "line 11": "image 'b.png' is in split 'test' already",
        "line 12": "the split is empty while other rows have one",
    }
    assert len(problems) == 7


def test_every_problem_of_a_jsonl_is_reported_and_left_out(folder):
    file = folder / "captions.jsonl"
    file.write_bytes(
        b'{"image": "a.png", "caption": ["A dog", "", 3]}\n'
        b"{'image': 'a.png'}\n"
        b'{"image": "a.png"}\n'
        b"[1]\n"
        b'{"image": "b.png", "caption": "caf\xe9"}\n'
        b'{"image": "b.png", "caption": "A cat", "split": 3}\n'
        b'{"image": "b.png", "caption": []}\n'
    )
    train, problems = read_captions(folder, "train")
    assert train.captions == ("A dog",)
    found = [(problem.where, problem.message.split(";")[0]) for problem in problems]
    assert sorted(found) == [
        ("line 1", "the caption of image 'a.png' is empty"),
        ("line 1", "the caption of image 'a.png' is int, not text"),
        (
            "line 2",
            "not JSON (Expecting property name enclosed in double quotes)",
        ),
        ("line 3", 'needs {"image": "name.jpg", "caption": "..."}'),
        ("line 4", 'needs {"image": "name.jpg", "caption": "..."}'),
        ("line 5", "is not valid UTF-8"),
        ("line 6", "split 3 is no name"),
        ("line 7", "image 'b.png' has no captions"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"line 1: the header '' needs one column 'image'"),
        (b"image;caption\n", r"line 1: the header 'image;caption' needs one column 'image'"),
        (b"image,caption,caption\n", "needs one column 'caption'"),
        (b'image,caption\na.png,fine\na.png,"open\nb.png,x\n', r"line 3: .*correct the quoting"),
        (b"image,caption\na.png," + b"x" * 200_000, r"line 2: field larger than field limit"),
        ("image,caption\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
    ],
)
def test_a_malformed_csv_is_an_error(folder, content, message):
    (folder / "captions.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_captions(folder, "train")


def test_two_files_need_a_choice(folder):
    (folder / "captions.csv").write_text("image,caption\na.png,From CSV\n")
    (folder / "captions.jsonl").write_text('{"image": "a.png", "caption": "From JSONL"}\n')
    with pytest.raises(DataError, match=r"both captions\.csv and captions\.jsonl"):
        splits(folder)
    assert load_captions(folder / "captions.jsonl", "train").captions == ("From JSONL",)


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(
    lambda name: name == name.strip() and "\ufeff" not in name
)
CAPTIONS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
ROWS = st.lists(st.tuples(NAMES, CAPTIONS, st.sampled_from(["train", "dev"])), max_size=8)


def parsed(name: str, content: str) -> tuple[list[tuple[str, object, str]], list[Problem]]:
    problems: list[Problem] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, name)
        file.write_bytes(content.encode())
        records = parse(file, problems)
    return [(r.image, caption, r.split) for r in records for caption in r.captions], problems


@given(ROWS, st.booleans(), st.sampled_from(["\n", "\r\n"]))
@example([("a.png", "A dog\rA cat", "train")], False, "\n")
def test_csv_round_trips(rows, mark, end):
    stream = io.StringIO(newline="")
    # Before Python 3.13, csv quotes "\r" by itself only where it is part of the line end.
    bare = any("\r" in caption for _, caption, _ in rows)
    quoting = csv.QUOTE_ALL if bare else csv.QUOTE_MINIMAL
    writer = csv.writer(stream, lineterminator=end, quoting=quoting)
    writer.writerow(("image", "caption", "split"))
    writer.writerows(rows)
    content = ("\ufeff" if mark else "") + stream.getvalue()
    assert parsed("captions.csv", content) == (rows, [])


@given(ROWS, st.booleans(), st.booleans())
def test_jsonl_round_trips(rows, as_list, ascii_only):
    lines = [
        json.dumps(
            {"image": image, "caption": [caption] if as_list else caption, "split": split},
            ensure_ascii=ascii_only,
        )
        for image, caption, split in rows
    ]
    assert parsed("captions.jsonl", "\n".join(lines)) == (rows, [])
