"""Several servers, each as its own machine would run it, over one index in a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest

pytest.importorskip("obstore", reason="the extra `s3` is not installed")
pytest.importorskip("moto.server", reason="moto is not installed")

from colour_encoder import PALETTE, ColourEncoder, paint
from s3_server import VARIABLES, s3_server
from starlette.testclient import TestClient

from user_itr.search import index as index_module
from user_itr.search.found import PhotoFacts, photo_id
from user_itr.search.index import ImageIndex
from user_itr.search.sentences import SentenceStore
from user_itr.server.app import create_app
from user_itr.server.pictures import GoneError, open_photo

BASE = "http://127.0.0.1:8765"
PLACE = "s3://team/photos"


@pytest.fixture
def servers(
    tmp_path: Path, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[TestClient]]:
    """Two of them, which look for a rebuild at each query; the photos are indexed."""
    monkeypatch.setattr(index_module, "FOLLOW_SECONDS", -1.0)
    with ExitStack() as stack:
        endpoint = stack.enter_context(s3_server("team"))
        for name, value in {**VARIABLES, "AWS_ENDPOINT_URL": endpoint}.items():
            monkeypatch.setenv(name, value)
        index = ImageIndex.create_or_open(PLACE, encoder, "model")
        index.update(photos, encoder)
        SentenceStore(index).replace([f"something {colour}" for colour in PALETTE], encoder)
        yield [
            stack.enter_context(
                TestClient(
                    create_app(ImageIndex.open(PLACE), encoder, cache=tmp_path / "cache"),
                    base_url=BASE,
                )
            )
            for _ in range(2)
        ]


def test_every_server_sees_what_one_writer_commits(
    servers: list[TestClient], photos: Path, encoder: ColourEncoder
) -> None:
    new = paint(photos / "odd" / "new.png", "red", (200, 100))
    for server in servers:
        assert server.get("/api/search?q=red").json()["total_in_index"] == len(PALETTE)
        assert server.get(f"/api/photos/{photo_id(str(new))}").status_code == 404
    ImageIndex.create_or_open(PLACE, encoder, "model").update(photos, encoder)
    for server in servers:
        found = server.get("/api/search?q=red").json()
        assert found["total_in_index"] == len(PALETTE) + 1
        assert {photo["name"] for photo in found["photos"][:2]} == {"red.png", "new.png"}
        details = server.get(f"/api/photos/{photo_id(str(new))}").json()
        assert details["captions"][0]["text"] == "something red"
    again = ImageIndex.rebuild(PLACE, encoder, "model")
    (photos / "odd" / "red.png").unlink()
    again.update(photos, encoder)
    again.commit()
    for server in servers:
        found = server.get("/api/search?q=red").json()
        assert (found["total_in_index"], found["photos"][0]["name"]) == (len(PALETTE), "new.png")


def test_photos_of_another_machine_have_facts_but_no_picture(
    servers: list[TestClient], tmp_path: Path, photos: Path
) -> None:
    red = photo_id(str(photos / "odd" / "red.png"))
    first, second = servers
    assert first.get(f"/api/photos/{red}/thumbnail").status_code == 200
    photos.rename(tmp_path / "not mounted here")
    assert second.get(f"/api/photos/{red}").json()["width"] == 120
    for what in ("file", "thumbnail?size=160"):
        answer = second.get(f"/api/photos/{red}/{what}")
        assert answer.status_code == 404
        assert "not mounted on this machine" in answer.json()["error"]
    # The folder of thumbnails may be one for all.
    assert second.get(f"/api/photos/{red}/thumbnail").status_code == 200


def test_a_path_that_this_machine_cannot_have_is_a_photo_that_is_gone() -> None:
    day = datetime(2024, 5, 1)
    path = Path("/photos") / ("long" * 100 + ".jpg")
    facts = PhotoFacts("0" * 16, path, 1, day, None, 1, 1, path.parent)
    with pytest.raises(GoneError, match="not mounted on this machine"):
        open_photo(facts)
