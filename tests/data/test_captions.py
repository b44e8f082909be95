from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from user_itr.data.captions import CaptionedImages
from user_itr.errors import DataError


def make(ids, caption_image, **more):
    rows = np.asarray(caption_image, dtype=np.int64)
    captions = tuple(f"caption {number}" for number in range(len(rows)))
    return CaptionedImages("toy", "train", tuple(ids), captions, rows, **more)


@given(st.lists(st.integers(0, 5), max_size=20))
def test_captions_by_image_equals_a_plain_search(caption_image):
    by_image = make("abcdef", caption_image).captions_by_image()
    expected = [[row for row, i in enumerate(caption_image) if i == image] for image in range(6)]
    assert [rows.tolist() for rows in by_image] == expected


def test_a_subset_keeps_what_belongs_to_its_images():
    paths = tuple(Path(f"{name}.png") for name in "abc")
    rows = np.array([0, 5, 10])
    captioned = make(
        "abc", [2, 0, 1, 2], image_paths=paths, feature_file=Path("x.npy"), feature_rows=rows
    )
    part = captioned.subset([2, 0])
    assert part.image_ids == ("c", "a")
    assert part.captions == ("caption 0", "caption 3", "caption 1")
    np.testing.assert_array_equal(part.caption_image, [0, 0, 1])
    assert part.image_paths == (Path("c.png"), Path("a.png"))
    assert part.feature_rows is not None
    np.testing.assert_array_equal(part.feature_rows, [10, 0])
    assert len(captioned.subset([])) == 0


@pytest.mark.parametrize(
    ("ids", "caption_image", "more", "message"),
    [
        ("ab", [0, 2], {}, "points outside the 2 images"),
        ("ab", [-1], {}, "points outside the 2 images"),
        ("aa", [0], {}, "image ids repeat"),
        ("ab", [0], {"image_paths": (Path("a"),)}, "image_paths has 1 entries for 2 images"),
        ("ab", [0], {"feature_rows": np.arange(3)}, "feature_rows has 3 entries for 2 images"),
        ("ab", [[0]], {}, r"caption_image has shape \(1, 1\)"),
    ],
)
def test_what_does_not_fit_is_refused(ids, caption_image, more, message):
    with pytest.raises(DataError, match=rf"toy \(train\): .*{message}"):
        make(ids, caption_image, **more)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ({"caption_ids": (1, 2, 3)}, "caption_ids has 3 entries for 2 captions"),
        ({"coco_ids": (1,)}, "coco_ids has 1 entries for 2 images"),
    ],
)
def test_ids_that_do_not_fit_are_an_error(ids, message):
    with pytest.raises(DataError, match=message):
        CaptionedImages("set", "test", ("a", "b"), ("A.", "B."), np.array([0, 1]), **ids)


@given(
    st.lists(st.integers(0, 5), max_size=20),
    st.integers(1, 22),
)
def test_the_first_captions_keep_their_images(caption_image, count):
    paths = tuple(Path(f"{name}.png") for name in "abcdef")
    whole = make(
        "abcdef",
        caption_image,
        image_paths=paths,
        feature_rows=np.arange(6) * 5,
        caption_ids=tuple(range(100, 100 + len(caption_image))),
        coco_ids=tuple(range(6)),
    )
    part = whole.first_captions(count)
    assert part.captions == whole.captions[:count]
    assert part.caption_ids == whole.caption_ids[:count]
    described = [whole.image_ids[row] for row in caption_image[:count]]
    assert [part.image_ids[row] for row in part.caption_image] == described
    kept = sorted(set(caption_image[:count]))
    assert part.image_ids == tuple("abcdef"[row] for row in kept)
    assert part.image_paths == tuple(paths[row] for row in kept)
    assert part.coco_ids == tuple(kept)
    assert part.feature_rows.tolist() == [5 * row for row in kept]
