from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from colour_encoder import ColourEncoder, paint

from user_itr.errors import ConfigError, DataError, IndexStoreError
from user_itr.search.filters import Filters
from user_itr.search.index import ImageIndex
from user_itr.search.query import (
    MINUS_WEIGHT,
    parse_query,
    photo_embedding,
    query_embedding,
    search,
    search_image,
    search_text,
)


@pytest.fixture
def index(tmp_path: Path, photos: Path, encoder: ColourEncoder) -> ImageIndex:
    index = ImageIndex.create_or_open(tmp_path / "index", encoder, "model")
    index.update(photos, encoder)
    return index


def test_text(index: ImageIndex, encoder: ColourEncoder) -> None:
    hits = search_text(index, encoder, "  something blue ", k=2)
    assert [hit.rank for hit in hits] == [1, 2]
    assert hits[0].path.name == "blue.png"
    assert hits[0].score > hits[1].score


def test_image_finds_others_but_itself(
    photos: Path, index: ImageIndex, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(photos / "copy.png", "red", (99, 77))
    index.update(photos, encoder)
    monkeypatch.chdir(photos / "even")
    hits = search_image(index, encoder, Path("..") / "red.png", k=8)
    assert [hit.rank for hit in hits] == list(range(1, 9))
    assert hits[0].path == photos / "copy.png"
    assert photos / "red.png" not in [hit.path for hit in hits]
    own = search_image(index, encoder, photos / "red.png", k=1, exclude_itself=False)
    assert own[0].score > 0.99999
    assert len(search_image(index, encoder, photos / "red.png", k=100)) == 8


def test_an_image_from_elsewhere(tmp_path: Path, index: ImageIndex, encoder: ColourEncoder) -> None:
    query = paint(tmp_path / "elsewhere.jpg", "purple", (900, 700))
    hits = search_image(index, encoder, query, k=3)
    assert hits[0].path.name == "purple.png"
    assert len(hits) == 3


def test_text_and_image_count_the_same(
    tmp_path: Path, photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    both = query_embedding(
        encoder, parse_query("green"), [photo_embedding(encoder, photos / "red.png")]
    )
    apart = encoder.encode_text(["green"])[0] + encoder.encode_images([photos / "red.png"])[0]
    np.testing.assert_allclose(both, apart / np.linalg.norm(apart), atol=1e-6)
    assert both.dtype == np.float32
    elsewhere = paint(tmp_path / "elsewhere.png", "red")
    hits = search(index, encoder, text="green", image=elsewhere, k=2)
    assert {hit.path.name for hit in hits} == {"red.png", "green.png"}


def test_bad_queries(photos: Path, index: ImageIndex, encoder: ColourEncoder) -> None:
    for text in ("", " \n\t"):
        with pytest.raises(ConfigError, match="is empty"):
            search_text(index, encoder, text)
    with pytest.raises(ConfigError, match="nothing to search for"):
        search(index, encoder)
    for k in (0, -1):
        with pytest.raises(ConfigError, match=f"results is {k}"):
            search_image(index, encoder, photos / "red.png", k=k)
    with pytest.raises(DataError, match="cannot be read"):
        search_image(index, encoder, photos / "missing.png")
    with pytest.raises(IndexStoreError, match="made by model"):
        search_text(index, ColourEncoder("other"), "red")


def test_only_what_is_not_wanted(index: ImageIndex) -> None:
    with pytest.raises(ConfigError, match="only what is not wanted"):
        parse_query('-"people"')


def test_what_is_not_wanted_is_taken_away(encoder: ColourEncoder) -> None:
    found = query_embedding(encoder, parse_query('"red" + "green" - "blue"'))
    red, green, blue = encoder.encode_text(["red", "green", "blue"]).astype(np.float64)
    wanted = (red + green) / 2 - MINUS_WEIGHT * blue
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted), atol=1e-6)


def test_weights_multiply_what_they_stand_before(encoder: ColourEncoder) -> None:
    found = query_embedding(encoder, parse_query('2:red + 0.5:"green" - 3:blue'))
    red, green, blue = encoder.encode_text(["red", "green", "blue"]).astype(np.float64)
    wanted = (2 * red + 0.5 * green) / 2 - MINUS_WEIGHT * 3 * blue
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted), atol=1e-6)


def test_pages_and_filters_of_a_search(photos: Path, index: ImageIndex, encoder) -> None:
    index.update(photos, encoder)
    whole = search(index, encoder, text="red", k=8)
    pages = [hit for n in (0, 3, 6) for hit in search(index, encoder, text="red", k=3, offset=n)]
    assert pages == whole
    without = search(index, encoder, image=photos / "red.png", k=8)
    pages = [
        hit
        for n in (0, 3, 6)
        for hit in search(index, encoder, image=photos / "red.png", k=3, offset=n)
    ]
    assert pages == without
    assert [hit.rank for hit in pages] == list(range(1, 8))
    inside = search(index, encoder, text="red", k=8, filters=Filters(folder=photos / "even"))
    assert {hit.path.parent for hit in inside} == {photos / "even"}
    assert len(inside) == 4
