from __future__ import annotations

import os
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import ColourEncoder, paint
from PIL import ExifTags, Image

from user_itr.errors import ConfigError
from user_itr.search.filters import Filters
from user_itr.search.found import photo_id
from user_itr.search.index import ImageIndex


def camera(taken: str) -> Image.Exif:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
    return exif


@pytest.fixture
def album(tmp_path: Path, index: ImageIndex, encoder: ColourEncoder) -> Path:
    """Three photos with a camera's date, one without, and one with a date that is none."""
    folder = tmp_path / "it's an album"
    for name, taken, size in (
        ("new-year.jpg", "2020:01:01 00:00:00", (30, 20)),
        ("summer.jpg", "2021:07:15 12:30:00", (20, 30)),
        ("evening.jpg", "2021:07:15 23:59:59", (10, 10)),
        ("odd.jpg", "0000:00:00 00:00:00", (10, 11)),
    ):
        paint(folder / name, "red", size, exif=camera(taken))
    paint(folder / "sub" / "scan.png", "blue", (40, 40))
    changed = datetime(2019, 5, 5, 1).timestamp()
    for name in ("odd.jpg", "sub/scan.png"):
        os.utime(folder / name, (changed, changed))
    index.update(folder, encoder)
    return folder


def found(index: ImageIndex, encoder: ColourEncoder, **limits: object) -> set[str]:
    query = encoder.encode_text(["red"])[0]
    filters = Filters(**limits)  # type: ignore[arg-type]
    names = {hit.path.stem for hit in index.search(query, 9, filters=filters)}
    assert names == {facts.path.stem for facts in index.newest(9, filters=filters)}
    return names


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        ({}, {"new-year", "summer", "evening", "odd", "scan"}),
        ({"after": date(2021, 7, 15)}, {"summer", "evening"}),
        ({"before": date(2021, 7, 14)}, {"new-year", "odd", "scan"}),
        ({"before": date(2021, 7, 15)}, {"new-year", "summer", "evening", "odd", "scan"}),
        ({"after": date(2020, 1, 1), "before": date(2020, 1, 1)}, {"new-year"}),
        ({"after": date(2019, 5, 5), "before": date(2019, 5, 5)}, {"odd", "scan"}),
        ({"before": date(2019, 5, 4)}, set()),
        ({"min_width": 30}, {"new-year", "scan"}),
        ({"min_width": 20, "min_height": 30}, {"summer", "scan"}),
        ({"min_bytes": 1 << 20}, set()),
        ({"max_bytes": 1 << 20, "min_width": 40}, {"scan"}),
    ],
)
def test_what_may_be_found(
    album: Path,
    index: ImageIndex,
    encoder: ColourEncoder,
    limits: dict[str, object],
    names: set[str],
) -> None:
    assert found(index, encoder, **limits) == names


def test_folders_with_quotes_and_like_names(
    album: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    paint(album.with_name("it's an album 2") / "far.png", "green")
    index.update(album.with_name("it's an album 2"), encoder)
    assert len(found(index, encoder, folder=album)) == 5
    assert found(index, encoder, folder=album / "sub") == {"scan"}
    assert found(index, encoder, folder=album / "su") == set()


def test_facts(album: Path, index: ImageIndex) -> None:
    path = album / "summer.jpg"
    facts = index.facts(photo_id(str(path)))
    assert facts is not None
    assert (facts.path, facts.width, facts.height) == (path, 20, 30)
    assert facts.taken == datetime(2021, 7, 15, 12, 30)
    assert facts.bytes == path.stat().st_size
    assert abs(facts.modified - datetime.fromtimestamp(path.stat().st_mtime)) < timedelta(seconds=1)
    odd = index.facts(photo_id(str(album / "odd.jpg")))
    assert odd is not None
    assert odd.taken is None
    assert index.facts("0" * 16) is None
    assert index.facts("' OR 'a'='a") is None


def test_newest_first_in_pages(album: Path, index: ImageIndex) -> None:
    names = [facts.path.stem for facts in index.newest(9)]
    assert names[:3] == ["evening", "summer", "new-year"]
    assert set(names[3:]) == {"odd", "scan"}
    pages = [facts.path.stem for n in (0, 2, 4) for facts in index.newest(2, offset=n)]
    assert pages == names
    with pytest.raises(ConfigError, match="cannot be listed"):
        index.newest(0)


def test_embedding_of_a_photo(album: Path, index: ImageIndex, encoder: ColourEncoder) -> None:
    path = album / "sub" / "scan.png"
    embedding = index.embedding_of(photo_id(str(path)))
    assert embedding is not None
    assert embedding.dtype == np.float32
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(embedding, encoder.encode_images([path])[0], atol=3e-4)
    assert index.embedding_of("0" * 16) is None


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"min_width": -1}, "min_width is -1"),
        ({"after": date(2021, 1, 2), "before": date(2021, 1, 1)}, "swap the two"),
        ({"min_bytes": 3, "max_bytes": 2}, "swap the two"),
    ],
)
def test_limits_that_nothing_meets(limits: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Filters(**limits)  # type: ignore[arg-type]
