from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from user_itr.errors import CheckpointError
from user_itr.model.vocabulary import VOCABULARY_FILE, Vocabulary, content_words, stem
from user_itr.pretrained import DEFAULT, shipped_model

FAMILIES = [
    "dog dogs dog's",
    "run runs running",
    "ride rides riding",
    "jump jumps jumping jumped",
    "puppy puppies",
    "box boxes",
    "beach beaches",
    "horse horses",
    "bus buses",
    "bench benches",
    "swim swims swimming",
    "throw throws throwing",
    "race races racing raced",
]


@pytest.mark.parametrize("family", FAMILIES)
def test_inflections_have_one_stem(family: str) -> None:
    assert len({stem(word) for word in family.split()}) == 1


def test_different_words_have_different_stems() -> None:
    words = [family.split()[0] for family in FAMILIES]
    words += ["king", "ring", "red", "bed", "glass", "grass", "string", "sled", "swing", "this"]
    assert len({stem(word) for word in words}) == len(words)


@given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12))
def test_a_stem_is_never_empty_and_begins_its_word(word: str) -> None:
    found = stem(word)
    assert found
    assert word.startswith(found.removesuffix("y"))


def test_words_count_from_the_fifth_time_on(tmp_path: Path) -> None:
    captions = ["A dog runs."] * 3 + ["two dogs, running"] * 2 + ["a cat"] * 4
    known = Vocabulary.of(captions)
    assert known.unknown("The dogs run with a cat, a Cat and 3 unicorns!") == ["cat", "unicorns"]
    assert known.unknown("in the with") == known.unknown("") == known.unknown("1 2 3") == []
    assert Vocabulary.read(tmp_path) is None
    known.write(tmp_path)
    assert Vocabulary.read(tmp_path) == known
    (tmp_path / VOCABULARY_FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointError, match="copy it again"):
        Vocabulary.read(tmp_path)


def test_content_words() -> None:
    assert content_words("The dog's bowl, and the DOG’s café; 12 x-rays") == [
        "dog's",
        "bowl",
        "café",
        "x",
        "rays",
    ]


def test_the_shipped_vocabulary_is_stems_alone() -> None:
    lines = (shipped_model(DEFAULT) / VOCABULARY_FILE).read_text("utf-8").splitlines()
    assert lines == sorted(set(lines))
    assert 1_500 < len(lines) < 3_000
    assert all(len(line.split()) == 1 for line in lines)
