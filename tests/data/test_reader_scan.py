from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from user_itr.data.readers import detect_format, load_captions, read_captions, scan, splits
from user_itr.errors import DataError


def features(images, regions=3, width=8, dtype=np.float32):
    return np.random.default_rng(7).standard_normal((images, regions, width)).astype(dtype)


def write(folder, array, captions, ids=None, split="train"):
    np.save(folder / f"{split}_ims.npy", array)
    (folder / f"{split}_caps.txt").write_text("".join(f"{c}\n" for c in captions), "utf-8")
    if ids is not None:
        (folder / f"{split}_ids.txt").write_text("".join(f"{i}\n" for i in ids))


CAPTIONS = [f"caption {number}" for number in range(12)]


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_one_row_an_image_and_copies_give_the_same_set(tmp_path, copies, dtype):
    array = features(4, dtype=dtype)
    write(tmp_path, np.repeat(array, copies, axis=0), CAPTIONS, ids=[11, 22, 33, 44])
    assert detect_format(tmp_path) == "scan"
    train = load_captions(tmp_path, "train")
    assert train.name == tmp_path.name
    assert train.image_ids == ("11", "22", "33", "44")
    assert train.captions == tuple(CAPTIONS)
    np.testing.assert_array_equal(train.caption_image, np.repeat(np.arange(4), 3))
    assert train.image_paths is None
    assert train.feature_file == tmp_path / "train_ims.npy"
    mapped = np.load(train.feature_file, mmap_mode="r")
    np.testing.assert_array_equal(mapped[train.feature_rows], array)


def test_one_caption_an_image(tmp_path):
    write(tmp_path, features(12), CAPTIONS)
    train = load_captions(tmp_path, "train")
    assert train.image_ids[:2] == ("train-0", "train-1")
    np.testing.assert_array_equal(train.caption_image, np.arange(12))


def test_without_ids_an_image_is_named_by_its_row(tmp_path):
    write(tmp_path, np.repeat(features(4), 3, axis=0), CAPTIONS)
    train = load_captions(tmp_path, "train")
    assert train.image_ids == ("train-0", "train-3", "train-6", "train-9")
    np.testing.assert_array_equal(train.feature_rows, [0, 3, 6, 9])


@pytest.mark.parametrize("copies", [1, 3])
def test_ids_may_be_repeated_for_every_caption(tmp_path, copies):
    array = np.repeat(features(4), copies, axis=0)
    write(tmp_path, array, CAPTIONS, ids=np.repeat([1, 2, 3, 4], 3))
    assert load_captions(tmp_path, "train").image_ids == ("1", "2", "3", "4")


def test_neighbouring_images_that_look_alike_do_not_hide_the_copies(tmp_path):
    array = features(4)
    array[2] = array[1]
    write(tmp_path, np.repeat(array, 3, axis=0), CAPTIONS)
    assert len(load_captions(tmp_path, "train")) == 4


def test_nan_features_are_copies_of_themselves(tmp_path):
    array = features(4)
    array[:, 0, 0] = np.nan
    write(tmp_path, np.repeat(array, 3, axis=0), CAPTIONS)
    assert len(load_captions(tmp_path, "train")) == 4


@pytest.mark.parametrize("place", [(7, 0, 2), (7, 1, 2)], ids=["first region", "inner region"])
def test_an_image_whose_copies_differ_is_reported(tmp_path, place):
    array = np.repeat(features(4), 3, axis=0)
    array[place] += 1
    write(tmp_path, array, CAPTIONS)
    train, problems = read_captions(tmp_path, "train")
    assert train.image_ids == ("train-0", "train-3", "train-9")
    assert train.captions == tuple(CAPTIONS[:6] + CAPTIONS[9:])
    np.testing.assert_array_equal(train.caption_image, np.repeat(np.arange(3), 3))
    assert [problem.where for problem in problems] == ["rows 6 to 8"]
    assert "not 3 equal rows" in problems[0].message


@settings(max_examples=50)
@given(
    images=st.integers(1, 30),
    copies=st.integers(1, 6),
    chunk=st.integers(1, 9),
    seed=st.integers(0, 9),
)
def test_copies_are_counted_whatever_the_chunk(images, copies, chunk, seed):
    array = np.random.default_rng(seed).standard_normal((images, 2, 3)).astype(np.float16)
    array = np.repeat(array, copies, axis=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_CHUNK", chunk)
        found, uneven = scan.find_copies(array, Path("x.npy"))
    assert found == copies
    assert uneven.tolist() == []


def test_every_problem_is_reported_and_left_out(tmp_path):
    captions = [*CAPTIONS[:1], " ", *CAPTIONS[2:]]
    write(tmp_path, features(6), captions, ids=["a", "b", "", "a", "e", "f"])
    lines = (tmp_path / "train_caps.txt").read_bytes().split(b"\n")
    lines[2] = b"caf\xe9"
    lines[8] = lines[9] = b""
    (tmp_path / "train_caps.txt").write_bytes(b"\r\n".join(lines))
    train, problems = read_captions(tmp_path, "train")
    assert train.image_ids == ("a", "b", "f")
    assert train.captions == ("caption 0", "caption 3", "caption 10", "caption 11")
    np.testing.assert_array_equal(train.caption_image, [0, 1, 2, 2])
    np.testing.assert_array_equal(train.feature_rows, [0, 1, 5])
    found = {(p.file.name, p.where): p.message.split(";")[0] for p in problems}
    assert found == {
        ("train_caps.txt", "line 2"): "the caption of image 'a' is empty",
        ("train_caps.txt", "line 3"): "is not valid UTF-8",
        ("train_caps.txt", "line 9"): "the caption of image 'e' is empty",
        ("train_caps.txt", "line 10"): "the caption of image 'e' is empty",
        ("train_caps.txt", "lines 9 to 10"): "image 'e' has no captions",
        ("train_ids.txt", "line 3"): "the id is empty",
        ("train_ids.txt", "line 4"): "id 'a' is there already on line 1",
    }
    assert len(problems) == 7


def test_ids_of_one_image_that_differ(tmp_path):
    ids = [1, 1, 1, 2, 9, 2, 3, 3, 3, 4, 4, 4]
    write(tmp_path, features(4), CAPTIONS, ids=ids)
    train, problems = read_captions(tmp_path, "train")
    assert train.image_ids == ("1", "3", "4")
    assert [(problem.where, problem.message) for problem in problems] == [
        ("line 4", "3 ids of one image differ; repeat one id.")
    ]


@pytest.mark.parametrize(
    ("array", "ids", "message"),
    [
        (features(5), None, "5 rows do not fit the 12 captions of train_caps.txt"),
        (features(24), None, "24 rows do not fit the 12 captions"),
        (features(4)[:0], None, "shape \\(0, 3, 8\\)"),
        (features(4)[0], None, "float32 of shape \\(3, 8\\)"),
        (features(4).astype(np.float64), None, "holds float64"),
        (np.array([{}, {}]), None, "no array to map"),
        (features(4), [1, 2, 3], "3 ids do not fit 4 images"),
        (features(4), [1] * 8, "8 ids do not fit 4 images"),
        (np.repeat(features(3), [5, 5, 2], axis=0), None, "12 rows are no multiple of 5"),
    ],
)
def test_what_does_not_fit_is_an_error(tmp_path, array, ids, message):
    write(tmp_path, array, CAPTIONS, ids)
    with pytest.raises(DataError, match=message):
        read_captions(tmp_path, "train")


def test_missing_and_cut_files_are_errors(tmp_path):
    write(tmp_path, features(4), CAPTIONS)
    (tmp_path / "dev_caps.txt").write_text("A dog\n")
    assert splits(tmp_path) == ["train", "dev"]
    with pytest.raises(DataError, match=r"dev_ims\.npy: no such file"):
        read_captions(tmp_path, "dev")
    with pytest.raises(DataError, match="omit --images"):
        read_captions(tmp_path, "train", images=tmp_path)
    os.truncate(tmp_path / "train_ims.npy", 300)
    with pytest.raises(DataError, match=r"train_ims\.npy: no array to map"):
        read_captions(tmp_path, "train")
    (tmp_path / "train_caps.txt").unlink()
    np.save(tmp_path / "train_ims.npy", features(4))
    with pytest.raises(DataError, match=r"train_caps\.txt: no such file"):
        read_captions(tmp_path, "train")


def test_a_big_file_is_never_loaded(tmp_path):
    """An array of 800 MB, mostly holes of a sparse file, in a few megabytes of memory."""
    shape = (2000, 50, 2048)
    array = np.lib.format.open_memmap(tmp_path / "dev_ims.npy", "w+", np.float32, shape)
    array[:, 0, 0] = np.arange(2000) // 5 + 1
    array.flush()
    del array
    (tmp_path / "dev_caps.txt").write_text("A dog\n" * 2000)
    tracemalloc.start()
    try:
        dev = load_captions(tmp_path, "dev")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert dev.feature_rows is not None
    np.testing.assert_array_equal(dev.feature_rows, np.arange(0, 2000, 5))
    assert peak < 40e6


def test_two_equal_neighbours_of_three_images(tmp_path):
    array = features(3)
    array[1] = array[0]
    array = np.repeat(array, 5, axis=0)
    assert scan.find_copies(array, tmp_path)[0] == 5


@pytest.mark.parametrize("ids", [None, "each", "repeated"])
def test_captions_alone_serve_embeddings_that_are_ready(tmp_path, ids):
    lines = [f"caption {row}" for row in range(10)]
    (tmp_path / "test_caps.txt").write_text("\n".join(lines) + "\n")
    names = ["a", "b"]
    if ids is not None:
        repeated = [name for name in names for _ in range(1 if ids == "each" else 5)]
        (tmp_path / "test_ids.txt").write_text("\n".join(repeated) + "\n")
    items = load_captions(tmp_path, "test", pictures=False)
    assert items.image_ids == (("test-0", "test-1") if ids is None else ("a", "b"))
    assert items.captions == tuple(lines)
    np.testing.assert_array_equal(items.caption_image, np.repeat([0, 1], 5))
    assert items.feature_file is None
    with pytest.raises(DataError, match=r"test_ims\.npy: no such file"):
        load_captions(tmp_path, "test")
    (tmp_path / "test_caps.txt").write_text("one\ntwo\nthree\n")
    with pytest.raises(DataError, match="3 captions do not fit"):
        load_captions(tmp_path, "test", pictures=False)
