from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from user_itr.errors import ConfigError
from user_itr.search.terms import Query, parse_query


@pytest.mark.parametrize(
    ("text", "plus", "minus"),
    [
        ("two dogs", ["two dogs"], []),
        ('"beach" - "people"', ["beach"], ["people"]),
        ('"beach"-"people"', ["beach"], ["people"]),
        ('"beach" -- "people"', ["beach"], ["people"]),
        ('"beach" - people swimming', ["beach"], ["people swimming"]),
        ('"beach", - people, at night', ["at night", "beach"], ["people"]),
        ('"beach" - people - cars + sea', ["beach", "sea"], ["people", "cars"]),
        ('beach - "people"', ["beach"], ["people"]),
        ('beach-"people"', ["beach"], ["people"]),
        ("'beach' - 'people'", ["beach"], ["people"]),
        ("two dogs -snow", ["two dogs"], ["snow"]),
        ("two dogs -snow - night", ["two dogs"], ["snow", "night"]),
        ("dog,-cat", ["dog"], ["cat"]),
        ("dog, -cat, +bird.", ["dog", "bird"], ["cat"]),
        ("dog (-cat)", ["dog"], ["cat"]),
        ("a street -(red car)", ["a street"], ["red car"]),
        ('-"red car" a street +night', ["a street", "night"], ["red car"]),
        ('"a bike" + "the  sunset"', ["a bike", "the sunset"], []),
        ("\u201cbeach\u201d \u2013 \u201cpeople\u201d", ["beach"], ["people"]),
        ("\u201eStrand\u201c \u2212\u201eLeute\u201c", ["Strand"], ["Leute"]),
        ("\u00ab\u00a0plage\u00a0\u00bb \u2014 \u00ab\u00a0gens\u00a0\u00bb", ["plage"], ["gens"]),
        ("beach \u2013people", ["beach"], ["people"]),
        ("beach \u200e\u2212people", ["beach"], ["people"]),
        ("\u6d77 \uff0d\u4eba", ["\u6d77"], ["\u4eba"]),
        ('"beach" -', ["beach"], []),
        ('"beach" - ""', ["beach"], []),
    ],
)
def test_signs_that_are_operators(text: str, plus: list[str], minus: list[str]) -> None:
    assert parse_query(text) == Query(tuple(plus), tuple(minus))


@pytest.mark.parametrize(
    "text",
    [
        "a t-shirt - blue",
        "beach - people",
        "- dogs",
        "dog -",
        "2 + 2",
        "winter at -5 degrees",
        "from -5 to -10 \u00b0C",
        "a loss of -$5 or -.5",
        "un hombre -muy alto- caminando",
        "dog -> cat :-) -_-",
        'say "cheese',
        'a 5" pipe',
        "rock 'n' roll",
        "the dogs' bowl and the cats' basket",
        "at 2:30, in 16:9",
    ],
)
def test_signs_that_are_text(text: str) -> None:
    assert parse_query(text) == Query((text,))


def test_numbers_beside_terms() -> None:
    assert parse_query('"winter" -5 degrees') == Query(("-5 degrees", "winter"))
    assert parse_query('"beach" - 5 people') == Query(("beach",), ("5 people",))


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("2:dog", Query(("dog",), (), (2.0,))),
        ('0.5:"deep snow" dog', Query(("dog", "deep snow"), (), (1.0, 0.5))),
        ("dog -0,5:cat", Query(("dog",), ("cat",), (1.0, 0.5))),
        ('dog -2:"red cat"', Query(("dog",), ("red cat",), (1.0, 2.0))),
        ('"dog" - 2:"cat"', Query(("dog",), ("cat",), (1.0, 2.0))),
        ('"dog" - 2:cat', Query(("dog",), ("cat",), (1.0, 2.0))),
        ('1:"dog" + 1:cat', Query(("dog", "cat"))),
    ],
)
def test_weights(text: str, query: Query) -> None:
    assert parse_query(text) == query
    assert query.is_one_sentence == (text == "2:dog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ('""', "is empty"),
        ('-"people"', "only what is not wanted"),
        ("\u2013people", "only what is not wanted"),
        ('dog -"red car', "quotes .* do not pair"),
        ('"beach - "people"', "quotes .* do not pair"),
        ("0:dog", "weight 0 .* out of range"),
        ("1000:dog", "weight 1000 .* out of range"),
        ("https://example.org/dog.jpg", "is an address"),
        ("like HTTP://example.org", "is an address"),
        ("www.example.org/dog.jpg", "is an address"),
        ("data:image/png;base64,AAAA", "is an address"),
        ("\udcff", "no valid Unicode"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_query(text)


LETTERS = "ab 5\"'-+,;:.()$\u201c\u2013\u2212\u00ab\u2019\u6d77\U0001f436\n"
queries = st.text(max_size=40) | st.text(LETTERS, max_size=30)


@given(queries)
def test_any_text_is_a_query_or_a_mistake(text: str) -> None:
    try:
        query = parse_query(text)
    except ConfigError:
        return
    assert query.plus
    terms = query.plus + query.minus
    assert all(term.strip() == term and term for term in terms)
    assert not query.weights or len(query.weights) == len(terms)


def parsed(text: str) -> Query | None:
    try:
        return parse_query(text)
    except ConfigError:
        return None


@given(queries, st.data())
def test_typographic_forms_are_read_as_those_of_ascii(text: str, data: st.DataObject) -> None:
    forms = {
        '"': "\u201c\u201d\u201e\u00ab\u00bb\u2033\uff02",
        "'": "\u2018\u2019\u201a",
        "-": "\u2010\u2011\u2013\u2014\u2212\uff0d",
        "+": "\uff0b",
    }
    typed = "".join(data.draw(st.sampled_from(forms[c])) if c in forms else c for c in text)
    assert parsed(typed) == parsed(text)


words = st.lists(st.sampled_from(["dog", "t-shirt", "a's", "caf\u00e9", "\u6d77"]), min_size=1)
phrases = words.map(" ".join)


@given(phrases, phrases, st.sampled_from([" - ", "-", " -", "- ", " -- "]), st.booleans())
def test_what_is_excluded_is_never_wanted(
    wanted: str, unwanted: str, sign: str, quoted: bool
) -> None:
    """A quoted phrase after a minus sign is not wanted, whatever stands before."""
    query = parse_query(
        f'"{wanted}"{sign}"{unwanted}"' if quoted else f'{wanted}{sign}"{unwanted}"'
    )
    assert query == Query((wanted,), (unwanted,))
