from __future__ import annotations

from pathlib import Path

import pytest
from colour_encoder import PALETTE, ColourEncoder, paint

from user_itr.search.index import ImageIndex


@pytest.fixture
def encoder() -> ColourEncoder:
    return ColourEncoder()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A picture of each palette colour, in two levels of folders."""
    for number, colour in enumerate(PALETTE):
        paint(tmp_path / "photos" / ("even" if number % 2 else ".") / f"{colour}.png", colour)
    return tmp_path / "photos"


@pytest.fixture
def index(tmp_path: Path, encoder: ColourEncoder) -> ImageIndex:
    return ImageIndex.create_or_open(tmp_path / "index", encoder, "model")
