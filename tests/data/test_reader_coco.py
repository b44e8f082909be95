from __future__ import annotations

import json

import numpy as np
import pytest

from user_itr.data.readers import detect_format, load_captions, read_captions, splits
from user_itr.errors import DataError


def write(path, images, annotations):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "images": [{"id": number, "file_name": name} for number, name in images],
        "annotations": [
            {"id": number, "image_id": image, "caption": caption}
            for number, (image, caption) in enumerate(annotations)
        ],
    }
    path.write_text(json.dumps(content), "utf-8")
    return path


def test_reads_the_distributed_layout(tmp_path, put_images):
    put_images(tmp_path, ["train2014/t1.jpg", "train2014/t2.jpg", "val2014/v1.jpg"])
    write(
        tmp_path / "annotations/captions_train2014.json",
        [(22, "t2.jpg"), (11, "t1.jpg")],
        [(11, "A dog.\n"), (22, "A cat."), (11, "A brown\ndog. ")],
    )
    write(tmp_path / "annotations/captions_val2014.json", [(33, "v1.jpg")], [(33, "A boat.")])
    assert detect_format(tmp_path) == "coco"
    assert splits(tmp_path) == ["train", "val"]
    train = load_captions(tmp_path, "train")
    assert train.image_ids == ("t2.jpg", "t1.jpg")
    assert train.captions == ("A cat.", "A dog.", "A brown dog.")
    np.testing.assert_array_equal(train.caption_image, [0, 1, 1])
    assert train.coco_ids == (22, 11)
    assert train.caption_ids == (1, 0, 2)
    dev = load_captions(tmp_path / "annotations", "dev")
    assert dev.split == "val"
    assert dev.image_paths == (tmp_path / "val2014/v1.jpg",)


def test_a_given_folder_may_be_the_parent(tmp_path, put_images):
    put_images(tmp_path / "pictures", ["val2017/1.jpg"])
    file = write(tmp_path / "captions_val2017.json", [(1, "1.jpg")], [(1, "A boat.")])
    val = load_captions(file, "val", images=tmp_path / "pictures")
    assert val.image_paths == (tmp_path / "pictures/val2017/1.jpg",)
    assert val.image_ids == ("1.jpg",)


def test_years_tell_splits_of_one_name_apart(tmp_path, put_images):
    put_images(tmp_path / "images", ["1.jpg"])
    for name in ("train2014", "train2017", "mine"):
        write(tmp_path / f"captions_{name}.json", [(1, "1.jpg")], [(1, f"From {name}.")])
    assert splits(tmp_path) == ["mine", "train2014", "train2017"]
    assert load_captions(tmp_path, "train2017").captions == ("From train2017.",)


def test_every_problem_is_reported_and_left_out(tmp_path, put_images):
    put_images(tmp_path / "images", ["a.jpg", "b.jpg"])
    file = write(
        tmp_path / "captions_train.json",
        [(1, "a.jpg"), (2, "gone.jpg"), (1, "b.jpg"), (3, "a.jpg"), (4, "b.jpg"), ([5], "b.jpg")],
        [(1, "A dog."), (9, "Whose?"), (1, ""), (2, "A boat."), (1, None)],
    )
    content = json.loads(file.read_text())
    content["annotations"].append({"id": 0, "image_id": 1, "caption": "Number 0 again."})
    content["annotations"].append({"id": 7, "caption": "Of nothing."})
    file.write_text(json.dumps(content))
    train, problems = read_captions(tmp_path, "train")
    assert train.image_ids == ("a.jpg",)
    assert train.captions == ("A dog.",)
    assert {problem.where: problem.message.split(";")[0] for problem in problems} == {
        "images[1]": f"image 'gone.jpg' is not in {tmp_path / 'images'}",
        "images[2]": "id 1 is there already",
        "images[3]": "image 'a.jpg' is listed twice, first at images[0]",
        "images[4]": "image 'b.jpg' has no captions",
        "images[5]": "id [5] and file_name 'b.jpg' do not name an image",
        "annotations[1]": "image_id 9 is none of the file's images",
        "annotations[2]": "the caption of image 'a.jpg' is empty",
        "annotations[4]": "the caption of image 'a.jpg' is missing",
        "annotations[5]": "id 0 is there already",
        "annotations[6]": "image_id None is none of the file's images",
    }
    assert len(problems) == 10


def test_another_json_is_an_error(tmp_path):
    (tmp_path / "captions_train.json").write_text('{"images": []}')
    with pytest.raises(DataError, match="no lists `images` and `annotations`"):
        read_captions(tmp_path, "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no captions_\*.json here"):
        splits(tmp_path / "empty", format="coco")


def test_two_files_of_one_split_are_an_error(tmp_path):
    write(tmp_path / "captions_val.json", [], [])
    write(tmp_path / "annotations/captions_val.json", [], [])
    with pytest.raises(DataError, match="are one split; remove one"):
        splits(tmp_path)
