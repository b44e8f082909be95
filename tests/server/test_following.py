"""A rebuild by another model, under a server that goes on answering."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from colour_encoder import PALETTE, ColourEncoder
from fastapi import FastAPI
from starlette.testclient import TestClient

from user_itr.errors import CheckpointError
from user_itr.search.index import ImageIndex
from user_itr.server import following
from user_itr.server.app import create_app
from user_itr.server.following import FollowingApp

BASE = "http://127.0.0.1:8765"

MODELS = {name: ColourEncoder(name) for name in ("colours", "shades", "tints")}


class Server:
    """What `user-itr serve` runs, with the models of the test in place of checkpoints."""

    def __init__(self, index: ImageIndex, cache: Path) -> None:
        self.location, self.cache = index.location, cache
        self.made: list[str] = []
        self.missing = False
        app, fingerprint = self.make()
        self.app = FollowingApp(index.location, fingerprint, app, self.make)

    def make(self) -> tuple[FastAPI, str]:
        if self.missing:
            raise CheckpointError("shades: no such folder")
        index = ImageIndex.open(self.location)
        name = index.manifest.model
        self.made.append(name)
        return create_app(index, MODELS[name], cache=self.cache), MODELS[name].fingerprint


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_SECONDS", -1.0)


@pytest.fixture
def server(tmp_path: Path, photos: Path) -> Server:
    index = ImageIndex.create_or_open(tmp_path / "index", MODELS["colours"], "colours")
    index.update(photos, MODELS["colours"])
    return Server(index, tmp_path / "cache")


@pytest.fixture
def client(server: Server) -> Iterator[TestClient]:
    with TestClient(server.app, base_url=BASE) as client:
        yield client


def rebuilt(server: Server, photos: Path, name: str) -> ImageIndex:
    index = ImageIndex.rebuild(server.location, MODELS[name], name)
    index.update(photos, MODELS[name])
    return index


def first(client: TestClient, colour: str) -> str:
    answer = client.get(f"/api/search?q={colour}")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["photos"][0]["name"])


def model(client: TestClient) -> str:
    return str(client.get("/api/index").json()["model"])


def test_the_old_index_serves_until_the_new_one_is_whole_and_then_that_one(
    client: TestClient, server: Server, photos: Path
) -> None:
    assert model(client) == "colours, 8 colours"
    index = rebuilt(server, photos, "shades")
    assert [first(client, colour) for colour in PALETTE] == [f"{colour}.png" for colour in PALETTE]
    assert model(client) == "colours, 8 colours"
    index.commit()
    assert model(client) == "shades, 8 colours"
    assert [first(client, colour) for colour in PALETTE] == [f"{colour}.png" for colour in PALETTE]
    assert server.made == ["colours", "shades"]
    rebuilt(server, photos, "tints").commit()
    picture = photos.joinpath("odd/red.png").read_bytes()
    assert client.post("/api/search", files={"photo": picture}).status_code == 200
    assert model(client) == "tints, 8 colours"


def test_a_search_that_finds_the_old_index_gone_is_asked_of_the_new_one(
    client: TestClient, server: Server, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOOK_SECONDS", 3600.0)
    assert first(client, "red") == "red.png"
    rebuilt(server, photos, "shades").commit()
    assert first(client, "red") == "red.png"
    assert server.made == ["colours", "shades"]


def test_a_rebuild_by_the_same_model_changes_no_application(
    client: TestClient, server: Server, photos: Path
) -> None:
    rebuilt(server, photos, "colours").commit()
    assert first(client, "blue") == "blue.png"
    assert server.made == ["colours"]


def test_a_model_that_is_missing_is_said_until_it_is_there(
    client: TestClient, server: Server, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.missing = True
    rebuilt(server, photos, "shades").commit()
    with caplog.at_level(logging.WARNING):
        answer = client.get("/api/search?q=red")
    assert answer.status_code == 503
    assert "made again by another model (shades, 8 colours)" in answer.json()["error"]
    assert "shades: no such folder" in caplog.text
    server.missing = False
    assert first(client, "red") == "red.png"


def test_an_index_that_is_gone_is_said_and_the_server_goes_on(
    client: TestClient, server: Server, tmp_path: Path
) -> None:
    (tmp_path / "index").rename(tmp_path / "away")
    assert client.get("/healthz").status_code == 503
    (tmp_path / "away").rename(tmp_path / "index")
    assert first(client, "green") == "green.png"


def test_a_busy_server_is_not_asked_again(
    client: TestClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from user_itr.server import encoding

    monkeypatch.setattr(encoding, "MAX_WAITING", 0)
    answer = client.get("/api/search?q=red")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
