from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from user_itr.data.problems import Problem
from user_itr.data.readers import detect_format, load_captions, read_captions, splits
from user_itr.data.readers.flickr8k import parse_token_line
from user_itr.errors import DataError

REPOSITORY = Path(__file__).parents[2]
CORPUS = Path(os.environ.get("FLICKR8K") or REPOSITORY.parent / "shared" / "flickr8k")


@pytest.fixture
def corpus(tmp_path, put_images):
    put_images(tmp_path / "Images", ["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    (tmp_path / "Flickr_8k.trainImages.txt").write_text("b.jpg\na.jpg\n")
    (tmp_path / "Flickr_8k.devImages.txt").write_text("c.jpg\n")
    (tmp_path / "Flickr8k.token.txt").write_text(
        "a.jpg#0\tA dog runs .\n"
        "a.jpg#1\tA  brown\tdog .\n"
        "b.jpg#0\tTwo girls .\n"
        "c.jpg#0\tA boat .\n"
        "other.jpg.1#0\tIn no split .\n"
    )
    return tmp_path


def test_reads_a_split_in_the_order_of_its_list(corpus):
    train = load_captions(corpus, "train")
    assert train.name == "flickr8k"
    assert train.split == "train"
    assert train.image_ids == ("b.jpg", "a.jpg")
    assert train.captions == ("Two girls .", "A dog runs .", "A brown dog .")
    np.testing.assert_array_equal(train.caption_image, [0, 1, 1])
    assert train.caption_image.dtype == np.int64
    assert train.image_paths == (corpus / "Images/b.jpg", corpus / "Images/a.jpg")
    assert load_captions(corpus, "dev").image_ids == ("c.jpg",)


def test_detects_the_layout_and_its_splits(corpus):
    assert detect_format(corpus) == "flickr8k"
    assert splits(corpus) == ["train", "dev"]


def test_val_stands_for_dev_and_other_splits_are_refused(corpus):
    assert load_captions(corpus, "val").split == "dev"
    with pytest.raises(DataError, match="no split 'test'; the splits of this set are: train, dev"):
        load_captions(corpus, "test")


def test_the_folders_of_the_original_distribution(tmp_path, put_images):
    put_images(tmp_path / "Flicker8k_Dataset", ["a.jpg"])
    text = tmp_path / "Flickr8k_text"
    text.mkdir()
    (text / "Flickr8k.token.txt").write_text("a.jpg#0\tA dog .\n")
    (text / "Flickr_8k.testImages.txt").write_text("a.jpg\n")
    assert splits(tmp_path) == ["test"]
    test = load_captions(tmp_path, "test")
    assert test.image_paths == (tmp_path / "Flicker8k_Dataset/a.jpg",)


def test_byte_order_mark_crlf_and_unicode(tmp_path, put_images):
    put_images(tmp_path / "Images", ["größe.jpg", "b.jpg"])
    (tmp_path / "Flickr_8k.trainImages.txt").write_bytes(
        "\ufeffgröße.jpg\r\nb.jpg\r\n\r\n".encode()
    )
    (tmp_path / "Flickr8k.token.txt").write_bytes(
        "\ufeffgröße.jpg#0\t一隻狗 🐶\r\n\r\nb.jpg#0\tline\u2028separator\r\n".encode()
    )
    train = load_captions(tmp_path, "train")
    assert train.image_ids == ("größe.jpg", "b.jpg")
    assert train.captions == ("一隻狗 🐶", "line separator")


def test_a_decomposed_file_name_on_disk_is_found(tmp_path, put_images):
    put_images(tmp_path / "Images", ["cafe\u0301.jpg"])
    (tmp_path / "Flickr_8k.trainImages.txt").write_text("caf\u00e9.jpg\n", "utf-8")
    (tmp_path / "Flickr8k.token.txt").write_text("caf\u00e9.jpg#0\tA café .\n", "utf-8")
    train = load_captions(tmp_path, "train")
    assert train.image_ids == ("caf\u00e9.jpg",)
    assert train.image_paths is not None
    assert train.image_paths[0].is_file()


def test_every_problem_is_reported_and_left_out(corpus):
    split_file, token_file = corpus / "Flickr_8k.trainImages.txt", corpus / "Flickr8k.token.txt"
    split_file.write_text("b.jpg\ngone.jpg\na.jpg\nb.jpg\nd.jpg\n")
    token_file.write_bytes(
        b"a.jpg#0\tA dog runs .\n"
        b"a.jpg#1\t  \n"
        b"a.jpg#0\tAgain .\n"
        b"b.jpg\tno number\n"
        b"b.jpg#0\tTwo girls .\n"
        b"b.jpg#1\tcaf\xe9 .\n"
        b"gone.jpg#0\tA boat .\n"
    )
    train, problems = read_captions(corpus, "train")
    assert train.image_ids == ("b.jpg", "a.jpg")
    assert train.captions == ("Two girls .", "A dog runs .")
    images = corpus / "Images"
    assert set(problems) == {
        Problem(
            split_file, "line 2", f"image 'gone.jpg' is not in {images}; restore or unlist it."
        ),
        Problem(split_file, "line 4", "image 'b.jpg' is listed twice, first at line 1; keep one."),
        Problem(split_file, "line 5", "image 'd.jpg' has no captions; add one or unlist it."),
        Problem(
            token_file,
            "line 2",
            "the caption of image 'a.jpg' is empty; write one or remove the entry.",
        ),
        Problem(token_file, "line 3", "a.jpg#0 is there already on line 1; renumber it."),
        Problem(
            token_file,
            "line 4",
            "'b.jpg\\tno number' is not `name.jpg#k<TAB>caption`; correct the line.",
        ),
        Problem(token_file, "line 6", "is not valid UTF-8; save the file as UTF-8."),
    }
    assert len(problems) == 7
    assert str(problems[0]).startswith(f"{problems[0].file}: line ")


def test_loading_stops_at_the_first_problem_and_counts_the_others(corpus):
    (corpus / "Flickr8k.token.txt").write_text("a.jpg#0\t\nb.jpg#0\t\n")
    with pytest.raises(DataError) as caught:
        load_captions(corpus, "train")
    message = str(caught.value)
    assert "Flickr8k.token.txt: line 1: the caption of image 'a.jpg' is empty" in message
    assert "(3 more problems)" in message
    assert f"user-itr data check {corpus}" in message


def test_a_wrong_images_folder_is_one_error(corpus, tmp_path_factory):
    with pytest.raises(DataError, match=r"none of the 2 images is in .*--images"):
        read_captions(corpus, "train", images=tmp_path_factory.mktemp("empty"))
    with pytest.raises(DataError, match="no such images folder"):
        read_captions(corpus, "train", images=corpus / "nowhere")


def test_no_images_folder_at_all(tmp_path):
    (tmp_path / "Flickr_8k.trainImages.txt").write_text("a.jpg\n")
    (tmp_path / "Flickr8k.token.txt").write_text("a.jpg#0\tA dog .\n")
    with pytest.raises(DataError, match=r"found no images folder \(looked for .*Images"):
        read_captions(tmp_path, "train")


def test_names_that_leave_the_images_folder_are_not_followed(corpus, put_images):
    put_images(corpus, ["secret.jpg"])
    (corpus / "Flickr_8k.trainImages.txt").write_text(
        f"a.jpg\n../secret.jpg\n{corpus}/secret.jpg\n"
    )
    train, problems = read_captions(corpus, "train")
    assert train.image_ids == ("a.jpg",)
    assert [problem.where for problem in problems] == ["line 2", "line 3"]


NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=20
).filter(lambda name: name == name.strip())


@given(NAMES, st.integers(0, 10**6), st.text(st.characters(exclude_characters="\n\r")))
def test_token_lines_round_trip(name, number, caption):
    assert parse_token_line(f"{name}#{number}\t{caption}") == (name, number, caption)


@given(st.text(st.characters(exclude_characters="#")))
def test_a_line_without_a_number_is_malformed(line):
    assert parse_token_line(line) is None


@pytest.mark.flickr8k
@pytest.mark.skipif(
    not CORPUS.is_dir(), reason="no Flickr8K corpus (set FLICKR8K, or put it in ../shared/flickr8k)"
)
@pytest.mark.parametrize(("split", "images"), [("train", 5996), ("dev", 1000)])
def test_the_real_corpus_has_no_problems(split, images):
    if split not in splits(CORPUS):
        pytest.skip(f"this copy of the corpus has no {split} split")
    captioned, problems = read_captions(CORPUS, split)
    assert problems == []
    assert images <= len(captioned) <= 6000
    np.testing.assert_array_equal(np.bincount(captioned.caption_image), [5] * len(captioned))
    assert captioned.image_paths is not None
    assert tuple(path.name for path in captioned.image_paths) == captioned.image_ids
