from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from user_itr.search.index import ImageIndex
from user_itr.search.matching import stored
from user_itr.search.matching.match import GOOD, WEAK, match_of
from user_itr.search.matching.reference import FEW, FIRST, Reference, ordinary_sentences
from user_itr.search.query import search

sys.path.append(str(Path(__file__).parents[1]))
from colour_encoder import PALETTE, ColourEncoder, paint

DIM = 12


class RandomTexts(ColourEncoder):
    """Texts are random vectors, so that chance alone makes matches."""

    def __init__(self) -> None:
        super().__init__()
        self.dim = DIM

    def encode_text(self, captions: list[str], batch_size: int = 256) -> np.ndarray:
        return units(len(captions), seed=7)


def units(count: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def reference_of(photos: np.ndarray) -> Reference:
    return Reference.of(RandomTexts(), photos, len(photos))


def plain_deviations(sentence: np.ndarray, ordinary: np.ndarray, photos: np.ndarray) -> float:
    """By how many deviations a best score lies above the ordinary ones: a slow oracle."""
    scores = [float(sentence @ photo) for photo in photos]
    first = sorted(range(len(photos)), key=lambda n: -scores[n])[:FIRST]
    others = [[float(one @ photos[n]) for one in ordinary] for n in first]
    mean = np.mean([np.mean(column) for column in others])
    deviation = np.mean([np.std(column) for column in others])
    return float((scores[first[0]] - mean) / deviation)


def test_the_sentences_are_ordinary_distinct_and_many() -> None:
    sentences = ordinary_sentences()
    assert len(sentences) >= 300
    assert len(set(sentences)) == len(sentences)
    assert all(one == " ".join(one.split()) and one.isascii() for one in sentences)
    lengths = [len(one.split()) for one in sentences]
    assert min(lengths) <= 2
    assert max(lengths) >= 8


@pytest.mark.parametrize("count", [FEW, 33, stored.SAMPLE // 2 + 7])
def test_a_share_is_that_of_sentences_whose_best_photos_fit_worse(count: int) -> None:
    photos = units(count, seed=1)
    reference = reference_of(photos)
    ordinary = units(len(ordinary_sentences()), seed=7)
    some = ordinary if count < 100 else ordinary[:5]
    expected = sorted(plain_deviations(one, ordinary, photos) for one in some)
    if count < 100:
        np.testing.assert_allclose(reference.best, expected, atol=1e-4)
    for deviations in expected:
        assert np.abs(reference.best - deviations).min() < 1e-4
    query = units(1, seed=3)[0]
    scores = np.sort(photos @ query)[::-1]
    first = photos[np.argsort(-(photos @ query))[:FIRST]]
    found = plain_deviations(query, ordinary, photos)
    share = np.mean(reference.best < found)
    assert reference.shares(scores, first)[0] == pytest.approx(share, abs=1 / len(ordinary))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=40), st.integers(1, 40))
def test_a_better_score_never_has_a_worse_match(scores: list[float], photos: int) -> None:
    vectors = units(photos)
    found = reference_of(vectors).shares(sorted(scores), vectors[:FIRST])
    assert found.tolist() == sorted(found.tolist())
    assert 0 <= found.min() <= found.max() <= 1
    order = ["weak", "possible", "good"]
    words = [order.index(match_of(share).word) for share in found]
    assert words == sorted(words)


def test_words_go_by_percent() -> None:
    assert match_of(0.0) == ("weak", 0)
    assert match_of(1.0) == ("good", 100)
    assert [match_of(p / 100 + 1e-9).word for p in (WEAK - 1, WEAK)] == ["weak", "possible"]
    assert [match_of(p / 100 + 1e-9).word for p in (GOOD - 1, GOOD)] == ["possible", "good"]


def test_one_photo_is_not_a_good_match_by_chance() -> None:
    photo = units(1, seed=5)
    reference = reference_of(photo)
    queries = units(2_000, seed=6)
    shares = reference.shares((queries @ photo[0]).tolist(), photo)
    words = [match_of(share).word for share in shares]
    assert words.count("good") < 0.02 * len(words)
    assert words.count("weak") > 0.9 * len(words)


def test_a_file_gives_back_what_was_written_and_damage_gives_nothing() -> None:
    reference = reference_of(units(30))
    content = reference.to_bytes()
    again = Reference.from_bytes(content, DIM)
    assert again is not None
    np.testing.assert_array_equal(again.best, reference.best)
    np.testing.assert_allclose(again.sentences, reference.sentences, atol=1e-3)
    assert again.photos == 30
    for damaged in (b"", b"x" * 100, content[: len(content) // 2], content[:-10]):
        assert Reference.from_bytes(damaged, DIM) is None
    assert Reference.from_bytes(content, DIM + 1) is None


def test_a_model_that_knows_no_words_apart_breaks_nothing() -> None:
    class Deaf(RandomTexts):
        def encode_text(self, captions: list[str], batch_size: int = 256) -> np.ndarray:
            return np.full((len(captions), DIM), DIM**-0.5, np.float32)

    photos = units(40)
    reference = Reference.of(Deaf(), photos, 40)
    assert np.isfinite(reference.best).all()
    assert np.isfinite(reference.shares([0.3, -0.3], photos[:10])).all()


def test_an_index_keeps_its_reference_and_makes_it_anew_where_photos_change(
    tmp_path: Path,
) -> None:
    encoder = ColourEncoder()
    index = ImageIndex.create_or_open(tmp_path / "index", encoder, "model")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    index.update(tmp_path / "photos", encoder)
    assert index.reference() is None  # no photo, nothing to be judged
    assert search(index, encoder, text="red") == []
    paint(tmp_path / "photos" / "red.png", "red")
    index.update(tmp_path / "photos", encoder)
    [hit] = search(index, encoder, text="red")
    assert hit.match is not None
    assert hit.match.word == "good"
    [file] = (tmp_path / "index").glob("matches-*")
    before = file.read_bytes()
    index.update(tmp_path / "photos", encoder)
    assert file.read_bytes() == before
    for colour in PALETTE:
        paint(tmp_path / "photos" / f"{colour}.png", colour)
    index.update(tmp_path / "photos", encoder)
    assert file.read_bytes() != before
    reference = index.reference()
    assert reference is not None
    assert reference.photos == len(PALETTE)


def test_a_large_index_keeps_its_reference_while_few_photos_come_or_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "SAMPLE", 4)
    monkeypatch.setattr(stored, "STALE_SHARE", 0.25)
    encoder = ColourEncoder()
    index = ImageIndex.create_or_open(tmp_path / "index", encoder, "model")
    made_of: list[int] = []
    for colour in PALETTE:
        paint(tmp_path / "photos" / f"{colour}.png", colour)
        index.update(tmp_path / "photos", encoder)
        reference = index.reference()
        assert reference is not None
        made_of.append(reference.photos)
    assert made_of == [1, 2, 3, 4, 4, 6, 6, 6]


def test_an_index_without_its_reference_has_no_matches_until_the_next_update(
    tmp_path: Path,
) -> None:
    encoder = ColourEncoder()
    paint(tmp_path / "photos" / "red.png", "red")
    ImageIndex.create_or_open(tmp_path / "index", encoder, "model").update(
        tmp_path / "photos", encoder
    )
    [file] = (tmp_path / "index").glob("matches-*")
    whole = file.read_bytes()
    for content in (None, whole[:99]):
        file.unlink()
        if content is not None:
            file.write_bytes(content)
        index = ImageIndex.open(tmp_path / "index")
        assert [hit.match for hit in search(index, encoder, text="red")] == [None]
        ImageIndex.open(tmp_path / "index").update(tmp_path / "photos", encoder)
        index = ImageIndex.open(tmp_path / "index")
        assert all(hit.match is not None for hit in search(index, encoder, text="red"))


def test_a_rebuild_has_a_reference_of_its_own(tmp_path: Path) -> None:
    paint(tmp_path / "photos" / "red.png", "red")
    for name in ("first", "second"):
        encoder = ColourEncoder(name)
        index = ImageIndex.rebuild(tmp_path / "index", encoder, name)
        index.update(tmp_path / "photos", encoder)
        index.commit()
    files = [file.name for file in (tmp_path / "index").glob("matches-*")]
    assert files == ["matches-2.npz"]


def test_pages_filters_and_composed_queries(tmp_path: Path) -> None:
    encoder = ColourEncoder()
    for colour in PALETTE:
        for number in range(3):
            paint(tmp_path / "photos" / f"{colour}{number}.png", colour, (12 + number, 8))
    index = ImageIndex.create_or_open(tmp_path / "index", encoder, "model")
    index.update(tmp_path / "photos", encoder)
    whole = search(index, encoder, text="red", k=24)
    assert [hit.match for hit in whole[:3]] == [whole[0].match] * 3
    parts = [search(index, encoder, text="red", k=5, offset=n) for n in range(0, 24, 5)]
    assert [hit for part in parts for hit in part] == whole
    percents = [hit.match.percent for hit in whole if hit.match is not None]
    assert percents == sorted(percents, reverse=True)
    for other in ('"red" - "blue"', '"red" + "blue"'):
        assert {hit.match for hit in search(index, encoder, text=other)} == {None}
    photo = tmp_path / "photos" / "red0.png"
    assert {hit.match for hit in search(index, encoder, text="red", image=photo)} == {None}


def test_a_word_that_the_model_cannot_know_takes_its_share(tmp_path: Path) -> None:
    encoder = ColourEncoder()
    for colour in PALETTE:
        paint(tmp_path / "photos" / f"{colour}.png", colour)
    index = ImageIndex.create_or_open(tmp_path / "index", encoder, "model")
    index.update(tmp_path / "photos", encoder)

    def percent(text: str) -> int:
        [best] = search(index, encoder, text=text, k=1)
        assert best.match is not None
        return best.match.percent

    assert percent("spaceship") == 0
    assert percent("a red spaceship") == pytest.approx(percent("a red thing") / 2, abs=1)
