"""Albums, favourites and hidden photos over REST, and who may change them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from colour_encoder import PALETTE
from starlette.testclient import TestClient

from user_itr.search.albums import Albums
from user_itr.search.found import photo_id
from user_itr.search.table import write_lock


def id_of(photos: Path, colour: str) -> str:
    folder = "even" if list(PALETTE).index(colour) % 2 else "odd"
    return photo_id(str(photos / folder / f"{colour}.png"))


@pytest.fixture
def red(photos: Path) -> str:
    return id_of(photos, "red")


def names(client: TestClient, address: str = "/api/photos", **fields: Any) -> list[str]:
    answer = client.get(address, params=fields)
    assert answer.status_code == 200, answer.text
    return sorted(Path(photo["name"]).stem for photo in answer.json()["photos"])


def test_an_album_from_its_making_to_its_end(client, red):
    assert client.get("/api/albums").json() == {"albums": [], "favourites": 0, "hidden": 0}
    made = client.post("/api/albums", json={"name": " Summer ", "photos": [red, "0" * 16]})
    assert made.status_code == 201
    album = made.json()
    assert (album["name"], album["photos"]) == ("Summer", 1)
    place = f"/api/albums/{album['id']}"
    assert names(client, album=album["id"]) == ["red"]
    assert names(client, "/api/search", q="blue", album=album["id"]) == ["red"]
    renamed = client.patch(place, json={"name": "Winter"})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Winter")
    assert client.get(f"/api/photos/{red}").json()["albums"] == [album["id"]]
    changed = client.post(f"{place}/photos", json={"remove": [red]})
    assert changed.json() == {"changed": 1}
    assert names(client, album=album["id"]) == []
    assert client.delete(place).status_code == 204
    for answer in (
        client.delete(place),
        client.patch(place, json={"name": "x"}),
        client.post(f"{place}/photos", json={"add": [red]}),
    ):
        assert answer.status_code == 404
        assert "there is no album" in answer.json()["error"]


def test_favourites_and_hidden_photos(client, red, photos):
    blue = id_of(photos, "blue")
    changed = client.post("/api/photos/marks", json={"photos": [red, blue], "favourite": True})
    assert changed.json() == {"changed": 2}
    assert names(client, favourites="true") == ["blue", "red"]
    listed = client.get("/api/photos").json()["photos"]
    assert {one["id"] for one in listed if one["favourite"]} == {red, blue}
    client.post("/api/photos/marks", json={"photos": [red], "hidden": True})
    assert "red" not in names(client)
    assert "red" not in names(client, "/api/search", q="red")
    assert "red" not in names(client, "/api/search", similar=blue)
    assert names(client, hidden="only") == ["red"]
    assert names(client, favourites="true", hidden="with") == ["blue", "red"]
    assert client.get("/api/albums").json() == {"albums": [], "favourites": 2, "hidden": 1}
    details = client.get(f"/api/photos/{red}").json()
    assert (details["favourite"], details["hidden"]) == (True, True)
    client.post("/api/photos/marks", json={"photos": [red], "hidden": False, "favourite": False})
    assert names(client) == sorted(PALETTE)
    assert names(client, favourites="true") == ["blue"]


def test_an_upload_leaves_hidden_photos_out(client, red, photos):
    client.post("/api/photos/marks", json={"photos": [red], "hidden": True})
    content = (photos / "odd" / "red.png").read_bytes()

    def found(**fields: str) -> set[str]:
        answer = client.post("/api/search", files={"photo": ("x.png", content)}, data=fields)
        return {one["id"] for one in answer.json()["photos"]}

    assert red not in found()
    assert red in found(hidden="with")
    assert found(favourites="true") == set()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"name": "  "}, "the album has no name"),
        ({"name": "x" * 201}, "at most 200 characters"),
        ({"name": "Summer"}, "an album 'Summer' already"),
    ],
)
def test_names_that_are_refused(client, asked, says):
    client.post("/api/albums", json={"name": "Summer"})
    answer = client.post("/api/albums", json=asked)
    assert answer.status_code == 400
    assert says in answer.json()["error"]


@pytest.mark.parametrize(
    "asked",
    [
        {"photos": ["0" * 16]},
        {"photos": ["x"], "hidden": True},
        {"photos": ["0" * 16] * 10_001, "hidden": True},
        {"photos": [], "hidden": True, "more": 1},
    ],
)
def test_changes_that_are_refused(client, asked):
    assert client.post("/api/photos/marks", json=asked).status_code == 422


def test_an_update_of_the_index_delays_no_change(client, index, red):
    with write_lock(index.location):
        answer = client.post("/api/photos/marks", json={"photos": [red], "favourite": True})
    assert answer.json() == {"changed": 1}


CHANGES = [
    ("POST", "/api/albums", {"name": "forged"}),
    ("PATCH", "/api/albums/1", {"name": "forged"}),
    ("DELETE", "/api/albums/1", None),
    ("POST", "/api/albums/1/photos", {"add": []}),
    ("POST", "/api/photos/marks", {"photos": [], "hidden": True}),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"},
    ],
)
def test_other_sites_pages_change_nothing(client, index, method, path, body, headers):
    """A server without a token would do for them what it does for its own page."""
    albums = Albums(index)
    albums.create("mine")
    before = albums.export()
    answer = client.request(method, path, json=body, headers=headers)
    assert answer.status_code == 403
    assert albums.export() == before


def test_a_form_of_any_site_cannot_say_what_to_change(client, index):
    """Old browsers send neither Sec-Fetch-Site nor Origin with it."""
    text = '{"name": "forged"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", None):
        headers = {} if kind is None else {"Content-Type": kind}
        answer = client.post("/api/albums", content=text, headers=headers)
        assert answer.status_code in (400, 422), kind
    assert Albums(index).list() == []


def test_copies_in_a_list_name_the_first_of_them(client, index, encoder, photos):
    red = photos / "odd" / "red.png"
    shutil.copy(red, red.with_name("again.png"))
    index.update(photos, encoder)
    listed = client.get("/api/search", params={"q": "red"}).json()["photos"]
    first, second, *others = listed
    assert {first["name"], second["name"]} == {"again.png", "red.png"}
    assert (first["copy_of"], second["copy_of"]) == (None, first["id"])
    assert {one["copy_of"] for one in others} == {None}
