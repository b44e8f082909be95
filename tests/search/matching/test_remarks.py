from __future__ import annotations

import sys
from pathlib import Path

import pytest

from user_itr.runtime.loading import load
from user_itr.search.matching.remarks import known_share, remarks

sys.path.append(str(Path(__file__).parents[1]))
from colour_encoder import ColourEncoder


@pytest.fixture(scope="module")
def shipped():
    return load()


@pytest.mark.parametrize(
    "text",
    [
        "two dogs play in the snow",
        "A man's red jacket!",
        "children, running",
        "dog",
        "in the",
        "1234",
        "",
    ],
)
def test_what_the_shipped_model_knows_is_passed_over(shipped, text):
    assert remarks(shipped, [text]) == []
    assert known_share(shipped, text) == 1


def test_words_that_the_shipped_model_never_saw_are_named(shipped):
    said = remarks(shipped, ["a spaceship over the city", "a Spaceship and a dog and penguins"])
    assert said == ["The model has never or hardly seen: spaceship, penguins."]
    assert known_share(shipped, "a spaceship") == 0
    assert known_share(shipped, "a spaceship on the beach") == 0.5
    many = " ".join(f"qx{letter}z" for letter in "abcdefghijkl")
    assert remarks(shipped, [many])[0].endswith("qxiz, qxjz and 2 more.")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("ein Hund spielt im Schnee", "German"),
        ("un chien court dans la neige", "French"),
        ("un perro corre por la playa", "Spanish"),
        ("两只狗在雪地里玩", "Chinese or Japanese"),
        ("雪の中で遊ぶ犬", "Japanese"),
        ("собака бежит по снегу", "a language in Cyrillic letters"),
    ],
)
def test_other_languages_are_told(shipped, text, language):
    said = remarks(shipped, [text])
    assert said == [f"This looks like {language}, which the model does not know: try English."]
    assert known_share(shipped, text) < 0.4


def test_a_model_that_cannot_tell_says_nothing():
    assert remarks(ColourEncoder(), ["ein Hund spielt im Schnee"]) == []
