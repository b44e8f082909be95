from __future__ import annotations

import json

import numpy as np
import pytest

from user_itr.data.readers import detect_format, load_captions, read_captions, splits
from user_itr.errors import DataError


def entry(name, split, *captions, **more):
    return {
        "filename": name,
        "split": split,
        "sentences": [{"raw": caption, "tokens": []} for caption in captions],
        **more,
    }


def write(folder, *entries, name="dataset_flickr8k.json", dataset="flickr8k"):
    path = folder / name
    path.write_text(json.dumps({"dataset": dataset, "images": entries}), "utf-8")
    return path


def test_reads_splits_and_counts_restval_as_train(tmp_path, put_images):
    put_images(tmp_path / "images", ["a.jpg", "ü.jpg", "c.jpg", "d.jpg"])
    write(
        tmp_path,
        entry("a.jpg", "train", "A dog.", "Dog 🐶"),
        entry("c.jpg", "val", "A boat."),
        entry("ü.jpg", "restval", "Two girls."),
        entry("d.jpg", "test", "A cat."),
    )
    assert detect_format(tmp_path) == "karpathy"
    assert splits(tmp_path) == ["train", "val", "test"]
    train = load_captions(tmp_path, "train")
    assert train.name == "flickr8k"
    assert train.image_ids == ("a.jpg", "ü.jpg")
    assert train.captions == ("A dog.", "Dog 🐶", "Two girls.")
    np.testing.assert_array_equal(train.caption_image, [0, 0, 1])
    assert load_captions(tmp_path, "dev").image_ids == ("c.jpg",)


def test_coco_paths_are_part_of_the_id(tmp_path, put_images):
    put_images(tmp_path / "pictures", ["train2014/1.jpg", "val2014/1.jpg"])
    file = write(
        tmp_path,
        entry("1.jpg", "train", "A dog.", filepath="train2014", cocoid=1),
        entry("1.jpg", "restval", "A cat.", filepath="val2014/", cocoid=2),
        name="dataset_coco.json",
        dataset="coco",
    )
    train = load_captions(file, "train", images=tmp_path / "pictures")
    assert train.name == "coco"
    assert train.image_ids == ("train2014/1.jpg", "val2014/1.jpg")
    assert train.image_paths == tuple(tmp_path / "pictures" / name for name in train.image_ids)


def test_ids_of_captions_and_images(tmp_path, put_images):
    """Ids are kept by the side of what was kept; one that is missing leaves the set without."""
    put_images(tmp_path / "images", ["a.jpg", "b.jpg"])

    def sentences(image, *numbered):
        image["sentences"] = [{"raw": raw, "sentid": number} for number, raw in numbered]
        return image

    first = sentences(entry("a.jpg", "test", cocoid=391895), (7, "A dog."), (9, ""), (8, "A cat."))
    second = sentences(entry("b.jpg", "test", cocoid=60623), (3, "A boat."))
    write(tmp_path, first, second)
    test, _ = read_captions(tmp_path, "test")
    assert test.caption_ids == (7, 8, 3)
    assert test.coco_ids == (391895, 60623)
    cut = test.subset([1, 0])
    assert cut.caption_ids == (3, 7, 8)
    assert cut.coco_ids == (60623, 391895)

    del second["cocoid"]
    first["sentences"][0]["sentid"] = "7"
    write(tmp_path, first, second)
    test, _ = read_captions(tmp_path, "test")
    assert test.caption_ids is None
    assert test.coco_ids is None
    assert test.subset([0]).caption_ids is None


def test_images_beside_the_file_are_found(tmp_path, put_images):
    (tmp_path / "images").mkdir()
    put_images(tmp_path / "val2014", ["1.jpg"])
    write(tmp_path, entry("1.jpg", "test", "A dog.", filepath="val2014"))
    assert load_captions(tmp_path, "test").image_ids == ("val2014/1.jpg",)


def test_every_problem_is_reported_and_left_out(tmp_path, put_images):
    put_images(tmp_path / "images", ["a.jpg", "b.jpg", "c.jpg", "e.jpg"])
    broken = entry("e.jpg", "train")
    broken["sentences"] = "no list"
    file = write(
        tmp_path,
        entry("a.jpg", "train", "A dog.", " ", "\ud800 half"),
        entry("gone.jpg", "train", "A boat."),
        entry("a.jpg", "train", "Again."),
        {"split": "train", "sentences": []},
        {"filename": "c.jpg"},
        entry("b.jpg", "train"),
        broken,
        "nonsense",
        {"filename": "c.jpg", "split": "train", "sentences": [{"raw": 7}, {}, "text"]},
    )
    train, problems = read_captions(tmp_path, "train")
    assert train.image_ids == ("a.jpg",)
    assert train.captions == ("A dog.",)
    assert {problem.file for problem in problems} == {file}
    found = {problem.where: problem.message for problem in problems}
    assert {place: message.split(";")[0] for place, message in found.items()} == {
        "images[0].sentences[1]": "the caption of image 'a.jpg' is empty",
        "images[0].sentences[2]": "the caption of image 'a.jpg' is no valid Unicode",
        "images[1]": f"image 'gone.jpg' is not in {tmp_path / 'images'}",
        "images[2]": "image 'a.jpg' is listed twice, first at images[0]",
        "images[3]": "has no `filename`",
        "images[4]": "has no `split`",
        "images[5]": "image 'b.jpg' has no captions",
        "images[6]": "image 'e.jpg' has no captions",
        "images[7]": "has no `split`",
        "images[8].sentences[0]": "the caption of image 'c.jpg' is int, not text",
        "images[8].sentences[1]": "the caption of image 'c.jpg' is missing",
        "images[8].sentences[2]": "the caption of image 'c.jpg' is missing",
        "images[8]": "image 'c.jpg' has no captions",
    }
    assert len(problems) == 14  # images[6] has two


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"dataset_x\.json: line 1, column 2: not JSON"),
        (b'{"images":\n ["caf\xe9"]}', r"dataset_x\.json: line 2: is not valid UTF-8"),
        (b"[]", r"dataset_x\.json: no list `images`"),
        (b'{"images": {}}', r"dataset_x\.json: no list `images`"),
        (b"[" * 100_000, r"dataset_x\.json: not a caption file"),
    ],
)
def test_a_malformed_file_is_an_error(tmp_path, content, message):
    (tmp_path / "dataset_x.json").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_captions(tmp_path, "train")


def test_several_files_need_a_choice(tmp_path, put_images):
    put_images(tmp_path / "images", ["a.jpg"])
    write(tmp_path, entry("a.jpg", "train", "A dog."))
    other = write(tmp_path, entry("a.jpg", "test", "A cat."), name="dataset_other.json")
    with pytest.raises(DataError, match=r"several sets \(dataset_flickr8k.json, dataset_other"):
        splits(tmp_path)
    assert load_captions(other, "test").captions == ("A cat.",)
