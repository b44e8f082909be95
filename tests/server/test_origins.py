"""Who asks: proxies that are trusted and others, pages of other sites, cookies, sub-paths."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from colour_encoder import ColourEncoder, paint
from starlette.testclient import TestClient

from user_itr.errors import ConfigError
from user_itr.search.index import ImageIndex
from user_itr.server.app import create_app
from user_itr.server.limits import Limits
from user_itr.server.origins import networks_of
from user_itr.server.tokens import COOKIE

TOKEN = "secret0123456789"
PROXY = ("10.1.2.3", 4242)
FORGED = {"X-Forwarded-For": "8.8.8.8\r\nforged", "X-Forwarded-Proto": "https"}


def serve(
    index: ImageIndex,
    encoder: ColourEncoder,
    tmp_path: Path,
    base_url: str = "http://photos.example",
    client: tuple[str, int] = PROXY,
    **options: Any,
) -> TestClient:
    app = create_app(index, encoder, hosts=None, cache=tmp_path / "cache", **options)
    return TestClient(app, base_url=base_url, client=client, follow_redirects=False)


@pytest.mark.parametrize(
    ("forwarded", "name"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("1.1.1.1, 203.0.113.7", "203.0.113.7"),  # the first is made up
        ("203.0.113.7, 10.9.9.9", "203.0.113.7"),  # by two of our proxies
        ("203.0.113.7:5555", "203.0.113.7"),
        ("[2001:db8::1]:5555", "2001:db8::1"),
        ("x\x1b[31m", "10.1.2.3"),
        ("203.0.113.7, x\x1b[31m", "10.1.2.3"),
        ("", "10.1.2.3"),
    ],
)
@pytest.mark.parametrize("trusts", [True, False])
def test_whose_forwarded_address_counts(
    index: ImageIndex,
    encoder: ColourEncoder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    forwarded: str,
    name: str,
    trusts: bool,
) -> None:
    caplog.set_level(logging.INFO, "user_itr.server")
    proxies = ["10.0.0.0/8"] if trusts else ["192.168.0.0/16"]
    with serve(index, encoder, tmp_path, log="requests", proxies=proxies) as client:
        client.get("/healthz", headers={"X-Forwarded-For": forwarded.encode("latin-1")})
    line = caplog.records[-1].getMessage()
    assert line.startswith(f"{name if trusts else PROXY[0]} GET /healthz 200")
    assert line.isprintable()


def test_an_odd_peer_does_not_reach_the_log(
    index: ImageIndex, encoder: ColourEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "user_itr.server")
    peer = ("1.2.3.4\x1b[2J\nforged", 1)
    with serve(index, encoder, tmp_path, client=peer, log="requests") as client:
        client.get("/healthz")
    assert caplog.records[-1].getMessage().isprintable()


def test_visitors_of_a_proxy_of_this_machine_are_not_this_machine(
    index: ImageIndex, encoder: ColourEncoder, tmp_path: Path
) -> None:
    limits = Limits(requests_per_second=1e-6, requests_burst=3)
    for proxies in ([], ["127.0.0.1"]):
        with serve(
            index, encoder, tmp_path, client=("127.0.0.1", 1), limits=limits, proxies=proxies
        ) as client:
            one, other = {"X-Forwarded-For": "203.0.113.7"}, {"X-Forwarded-For": "203.0.113.8"}
            asked = [client.get("/healthz", headers=one).status_code for _ in range(4)]
            assert asked == [200, 200, 200, 429]
            apart = client.get("/healthz", headers=other).status_code
            assert apart == (200 if proxies else 429)
            assert client.get("/healthz").status_code == 200  # this machine itself


def test_networks_that_are_none() -> None:
    for name in ("somewhere", "10.0.0.1/8", "10.0.0.0/33", ""):
        with pytest.raises(ConfigError, match="--trust-proxy"):
            networks_of([name])


PAGE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "passes"),
    [
        ("GET", "/api/photos", {}, True),
        ("GET", "/api/photos", {"Sec-Fetch-Site": "same-origin"}, True),
        ("GET", "/api/photos", {"Sec-Fetch-Site": "none"}, True),
        ("GET", "/api/photos", {"Sec-Fetch-Site": "cross-site"}, False),
        ("GET", "/api/photos", {"Sec-Fetch-Site": "same-site"}, False),  # another port
        ("HEAD", "/api/photos", {"Sec-Fetch-Site": "cross-site"}, False),
        ("GET", "/", {"Sec-Fetch-Site": "cross-site", **PAGE}, True),  # a link
        ("GET", "/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, False),
        ("GET", "/", {"Sec-Fetch-Site": "cross-site", **PAGE, "Sec-Fetch-Dest": "iframe"}, False),
        ("GET", "/api/photos", {"Sec-Fetch-Site": "cross-site", **PAGE}, False),
        ("POST", "/", {"Sec-Fetch-Site": "cross-site", **PAGE}, False),
        ("POST", "/api/search", {"Origin": "http://photos.example"}, True),
        ("POST", "/api/search", {"Origin": "http://photos.example:80"}, True),
        ("POST", "/api/search", {"Origin": "http://photos.example:8080"}, False),
        ("POST", "/api/search", {"Origin": "http://evil.example"}, False),
        ("POST", "/api/search", {"Origin": "null"}, False),
        ("POST", "/api/search", {"Origin": "http://["}, False),
        (
            "POST",
            "/api/search",
            {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
            True,  # the browser knows better than a proxy that changes Host
        ),
        (
            "POST",
            "/api/search",
            {"Origin": "http://evil.example", "X-Forwarded-Host": "evil.example"},
            False,
        ),
    ],
)
def test_pages_of_other_sites(
    index: ImageIndex,
    encoder: ColourEncoder,
    tmp_path: Path,
    method: str,
    path: str,
    headers: dict[str, str],
    passes: bool,
) -> None:
    with serve(index, encoder, tmp_path) as client:
        answer = client.request(method, path, headers=headers)
    assert (answer.status_code != 403) is passes
    if not passes and method != "HEAD":
        assert "another site" in answer.json()["error"]


def test_an_upload_of_another_site_is_not_decoded(client: TestClient, tmp_path: Path) -> None:
    picture = paint(tmp_path / "query.png", "red").read_bytes()
    for headers, status in (
        ({"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://127.0.0.1:8765", "Sec-Fetch-Site": "same-origin"}, 200),
        ({}, 200),
    ):
        answer = client.post("/api/search", files={"photo": picture}, headers=headers)
        assert answer.status_code == status


def test_a_trusted_proxy_says_which_host_the_browser_asked(
    index: ImageIndex, encoder: ColourEncoder, tmp_path: Path
) -> None:
    asked = {"Origin": "https://team.example", "X-Forwarded-Host": "team.example"}
    for proxies, passes in ((["10.0.0.0/8"], True), ([], False)):
        with serve(index, encoder, tmp_path, proxies=proxies) as client:
            status = client.post("/api/search", headers=asked).status_code
        assert (status != 403) is passes


@pytest.mark.parametrize(
    "odd",
    ["a=b=c", "üñí=x", "a b", "=", ";;", 'x="unfinished', "bad,name=1", "a\x01b=1", "[]={}"],
)
def test_the_cookie_survives_odd_cookies_beside_it(
    index: ImageIndex, encoder: ColourEncoder, tmp_path: Path, odd: str
) -> None:
    with serve(index, encoder, tmp_path, token=TOKEN) as client:
        for cookies in (f"{odd}; {COOKIE}_80={TOKEN}", f"{COOKIE}_80={TOKEN}; {odd}"):
            headers = {"Cookie": cookies.encode("latin-1")}
            assert client.get("/api/index", headers=headers).status_code == 200


def test_two_servers_of_one_host_keep_their_tokens(
    index: ImageIndex, encoder: ColourEncoder, tmp_path: Path
) -> None:
    """A browser sends the cookies of a host to all of its ports."""
    cookies, ports = [], {8765: TOKEN, 8766: TOKEN[::-1]}
    for port, token in ports.items():
        with serve(index, encoder, tmp_path, f"http://localhost:{port}", token=token) as client:
            cookies.append(client.get(f"/?token={token}").headers["set-cookie"].split(";")[0])
    for port, token in ports.items():
        with serve(index, encoder, tmp_path, f"http://localhost:{port}", token=token) as client:
            for both in ("; ".join(cookies), "; ".join(cookies[::-1])):
                assert client.get("/api/index", headers={"Cookie": both}).status_code == 200


def test_a_changed_token_does_not_lock_an_address_out(
    index: ImageIndex, encoder: ColourEncoder, tmp_path: Path
) -> None:
    """A page that is still open asks for hundreds of thumbnails with yesterday's cookie."""
    limits = Limits(guesses_per_second=1e-6, guesses_burst=3)
    stale = {"Cookie": f"{COOKIE}_80=yesterdays0123"}
    with serve(index, encoder, tmp_path, token=TOKEN, limits=limits) as client:
        assert {client.get("/api/photos", headers=stale).status_code for _ in range(50)} == {401}
        assert client.get(f"/?token={TOKEN}").status_code == 303
        for number in range(3):  # other guesses count as ever
            client.get("/api/photos", headers={"Authorization": f"Bearer {number}"})
        assert client.get(f"/?token={TOKEN}").status_code == 429


def test_many_cookies_are_not_many_guesses_for_one(
    index: ImageIndex, encoder: ColourEncoder, tmp_path: Path
) -> None:
    limits = Limits(guesses_per_second=1e-6, guesses_burst=6)
    with serve(index, encoder, tmp_path, token=TOKEN, limits=limits) as client:
        wrong = "; ".join(f"{COOKIE}_80={number}" for number in range(50))
        cookie = {"Cookie": f"{wrong}; {COOKIE}_80={TOKEN}"}
        assert client.get("/api/photos", headers=cookie).status_code == 401
        other = {"Cookie": "; ".join(f"{COOKIE}_80=x{number}" for number in range(50))}
        assert client.get("/api/photos", headers=other).status_code == 401
        assert client.get(f"/?token={TOKEN}").status_code == 429


@pytest.mark.parametrize(
    ("root", "asked", "location", "path"),
    [
        ("", f"/?token={TOKEN}", "/", "/"),
        ("", f"/?q=red+dog&token={TOKEN}&photo=1", "/?q=red+dog&photo=1", "/"),
        ("/photos", f"/?token={TOKEN}&q=%C3%A9", "/photos/?q=%C3%A9", "/photos/"),
        ("/a/b/", f"/a/b/?token={TOKEN}", "/a/b/", "/a/b/"),
        ("/photos", f"/photos?token={TOKEN}", "/photos/", "/photos/"),
    ],
)
def test_the_redirect_keeps_the_query_and_the_sub_path(
    index: ImageIndex,
    encoder: ColourEncoder,
    tmp_path: Path,
    root: str,
    asked: str,
    location: str,
    path: str,
) -> None:
    with serve(index, encoder, tmp_path, token=TOKEN, root=root) as client:
        answer = client.get(asked)
        assert (answer.status_code, answer.headers["location"]) == (303, location)
        assert f"; Path={path}" in answer.headers["set-cookie"]


def test_a_sub_path_that_the_proxy_leaves_or_takes_away(
    index: ImageIndex, encoder: ColourEncoder, tmp_path: Path
) -> None:
    with serve(index, encoder, tmp_path, root="/photos") as client:
        for path in ("/", "/static/app.js", "/api/photos", "/healthz"):
            for asked in (path, f"/photos{path}"):
                assert client.get(asked).status_code == 200, asked
        assert client.get("/photosapi/photos").status_code == 404


@pytest.mark.parametrize("root", ["photos", "//evil.example", "/a b", "/a\r\nb", "/a//b"])
def test_sub_paths_that_are_none(
    index: ImageIndex, encoder: ColourEncoder, tmp_path: Path, root: str
) -> None:
    with pytest.raises(ConfigError, match="--root-path"):
        serve(index, encoder, tmp_path, root=root)
