from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `app` is not installed")

sys.path.append(str(Path(__file__).parents[1] / "search"))
from colour_encoder import PALETTE, ColourEncoder, paint
from starlette.testclient import TestClient

from user_itr.search.index import ImageIndex
from user_itr.search.sentences import SentenceStore
from user_itr.server.app import create_app
from user_itr.server.limits import Limits

BASE = "http://127.0.0.1:8765"


@pytest.fixture
def encoder() -> ColourEncoder:
    return ColourEncoder()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A picture of each palette colour, of different sizes, in two folders."""
    for number, colour in enumerate(PALETTE):
        folder = tmp_path / "photos" / ("even" if number % 2 else "odd")
        paint(folder / f"{colour}.png", colour, (120 + 10 * number, 90))
    return tmp_path / "photos"


@pytest.fixture
def index(tmp_path: Path, photos: Path, encoder: ColourEncoder) -> ImageIndex:
    index = ImageIndex.create_or_open(tmp_path / "index", encoder, "model")
    index.update(photos, encoder)
    SentenceStore(index).replace([f"something {colour}" for colour in PALETTE], encoder)
    return index


@pytest.fixture
def client(tmp_path: Path, index: ImageIndex, encoder: ColourEncoder) -> Iterator[TestClient]:
    limits = Limits(upload_bytes=300_000, upload_pixels=1_000_000)
    app = create_app(index, encoder, limits=limits, cache=tmp_path / "cache")
    with TestClient(app, base_url=BASE) as client:
        yield client
