from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from user_itr.data.captions import CaptionedImages
from user_itr.data.coco_ids import with_coco_ids
from user_itr.errors import DataError

SENTENCES = ["A dog runs.", "a cat", "Two men, one hat", "snow", "a red car", "nothing"]


def karpathy(entries, split="test"):
    """A JSON of images with sentences; image i has id 100 + i, its caption k id 1000 i + k."""
    images = [
        {
            "filename": f"{i}.jpg",
            "split": split,
            "cocoid": 100 + i,
            "sentences": [{"raw": raw, "sentid": 1000 * i + k} for k, raw in enumerate(sentences)],
        }
        for i, sentences in enumerate(entries)
    ]
    return json.dumps({"dataset": "coco", "images": images})


def scan(captions, split="testall"):
    owners = np.repeat(np.arange(len(captions)), [len(c) for c in captions]).astype(np.int64)
    flat = tuple(text for one in captions for text in one)
    return CaptionedImages("coco", split, tuple(map(str, range(len(captions)))), flat, owners)


@given(st.lists(st.lists(st.sampled_from(SENTENCES), min_size=3, max_size=6), max_size=6))
def test_every_image_finds_one_with_its_captions(tmp_path_factory, entries):
    """SCAN's folders hold five captions an image at most, in other case and punctuation."""
    file = tmp_path_factory.mktemp("ids") / "dataset_coco.json"
    file.write_text(karpathy([*entries, ["more"]]))
    written = [[text.upper().rstrip(".") + " ." for text in one[:5]] for one in entries]
    joined = with_coco_ids(scan(written), file)
    assert len(set(joined.coco_ids)) == len(entries)
    assert len(set(joined.caption_ids)) == len(joined.captions)
    for caption_id, text, owner in zip(
        joined.caption_ids, joined.captions, joined.caption_image, strict=True
    ):
        entry, place = divmod(caption_id, 1000)
        assert joined.coco_ids[owner] == 100 + entry
        assert entries[entry][place].upper().rstrip(".") == text.removesuffix(" .")


def test_equal_captions_keep_the_order(tmp_path):
    file = tmp_path / "dataset_coco.json"
    file.write_text(karpathy([["snow"] * 5, ["snow"] * 5, ["a cat"] * 5]))
    joined = with_coco_ids(scan([["snow"] * 5, ["snow"] * 5]), file)
    assert joined.coco_ids == (100, 101)
    assert joined.caption_ids == (*range(5), *range(1000, 1005))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (karpathy([["a cat", "snow"]]), "no image of its split test has the captions of image '0'"),
        (karpathy([["a cat", "a dog"]], "val"), "no split 'test'"),
        (karpathy([["a cat"]]).replace("cocoid", "id"), "images\\[0\\] lacks `cocoid`"),
        (karpathy([["a cat"]]).replace("sentid", "id"), "lacks `cocoid`, or `raw` and `sentid`"),
        ("{}", "no list `images`"),
    ],
)
def test_a_file_that_does_not_fit(tmp_path, text, message):
    file = tmp_path / "dataset_coco.json"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        with_coco_ids(scan([["a cat", "a dog"]]), file)


def test_dev_is_the_json_files_val(tmp_path):
    file = tmp_path / "dataset_coco.json"
    file.write_text(karpathy([["snow"]], "val"))
    for split in ("dev", "val"):
        assert with_coco_ids(replace(scan([["snow"]]), split=split), file).coco_ids == (100,)
