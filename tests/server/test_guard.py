from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from user_itr.search.found import photo_id
from user_itr.server.app import create_app
from user_itr.server.guard import HEADERS
from user_itr.server.tokens import COOKIE

TOKEN = "secret0123456789"
ROUTES = ("/api/photos", "/api/search?q=red", "/api/index", "/metrics", "/openapi.json")


@pytest.fixture
def guarded(tmp_path, index, encoder):
    app = create_app(index, encoder, token=TOKEN, hosts=None, cache=tmp_path / "cache")
    with TestClient(app, base_url="http://photos.example", follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize("route", ROUTES)
def test_a_token_is_needed(guarded, route):
    assert guarded.get(route).status_code == 401
    for wrong in ("secret", TOKEN + "0", "", "é"):
        headers = {"Authorization": f"Bearer {wrong}".encode()}
        assert guarded.get(route, headers=headers).status_code == 401
    assert guarded.get(route, headers={"Authorization": f"Basic {TOKEN}"}).status_code == 401
    assert guarded.get(f"{route}{'&' if '?' in route else '?'}token={TOKEN}").status_code == 401
    assert guarded.get(route, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_photos_need_the_token(guarded, photos):
    red = photo_id(str(photos / "odd" / "red.png"))
    for part in ("", "/file", "/thumbnail"):
        answer = guarded.get(f"/api/photos/{red}{part}")
        assert (answer.status_code, set(answer.json())) == (401, {"error"})


def test_the_address_with_the_token_sets_a_cookie(guarded):
    assert guarded.get("/").status_code == 200
    assert guarded.get("/healthz").json() == {"status": "ok"}
    wrong = guarded.get("/?token=wrong")
    assert "set-cookie" not in wrong.headers
    answer = guarded.get(f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}_80={TOKEN}; HttpOnly; SameSite=Strict")
    assert guarded.get("/api/photos").status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost", 200),
        ("[::1]:8765", 200),
        ("evil.example", 400),
        ("evil.example:8765", 400),
        ("localhost.evil.example", 400),
        ("[", 400),
        ("", 400),
    ],
)
def test_other_sites_cannot_point_their_name_here(client, host, status):
    assert client.get("/api/photos", headers={"Host": host}).status_code == status


def test_every_answer_has_safe_headers(client, photos):
    red = photo_id(str(photos / "odd" / "red.png"))
    for path in ("/", "/api/photos", "/nowhere", "/static/app.js", f"/api/photos/{red}/file"):
        answer = client.get(path, headers={"Origin": "http://evil.example"})
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


def test_the_page_loads_nothing_from_elsewhere(client):
    page = client.get("/").text
    assert "<script>" not in page
    assert "style=" not in page
    assert "//" not in page.replace("http://www.w3.org", "").split("<body>")[0]


def test_metrics_count_and_hold_no_queries(client):
    client.get("/api/search", params={"q": "red secret"})
    client.get("/api/search", params={"q": "red", "limit": 0})
    text = client.get("/metrics").text
    assert "secret" not in text
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    route = ("method", "GET"), ("route", "/api/search")
    assert samples[("user_itr_requests_total", *route, ("status", "200"))] == 1
    assert samples[("user_itr_requests_total", *route, ("status", "422"))] == 1
    assert samples["user_itr_request_seconds_count", route[1]] == 2
    assert samples["user_itr_photos",] == 8


def test_the_interface_is_described(client):
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) == {
        "/api/albums",
        "/api/albums/{album}",
        "/api/albums/{album}/photos",
        "/api/folders",
        "/api/index",
        "/api/names",
        "/api/photos",
        "/api/photos/marks",
        "/api/photos/zip",
        "/api/photos/{id}",
        "/api/photos/{id}/file",
        "/api/photos/{id}/original",
        "/api/photos/{id}/thumbnail",
        "/api/places",
        "/api/search",
        "/api/search/page",
        "/api/suggestions",
        "/api/timeline",
        "/healthz",
        "/metrics",
    }
    parts = schema["components"]["schemas"]
    assert set(parts["FoundPhoto"]["required"]) == set(parts["FoundPhoto"]["properties"])
    assert client.get("/docs").status_code == 404
