"""What the server refuses to be used for: guessing, flooding, stalling, and being read along."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colour_encoder import ColourEncoder, paint
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from user_itr.features.preprocessing import Squash
from user_itr.search.found import photo_id
from user_itr.search.index import ImageIndex
from user_itr.server import encoding
from user_itr.server.app import create_app
from user_itr.server.guard import HEADERS
from user_itr.server.limits import MAX_TERMS, Limits
from user_itr.server.origins import WORKING_METHODS
from user_itr.server.rates import CLIENTS, RateLimit, client_name, is_loopback
from user_itr.server.tokens import COOKIE, Tokens

TOKEN = "secret0123456789"
AWAY = ("203.0.113.7", 4242)


def serve(index: ImageIndex, encoder: ColourEncoder, tmp_path: Path, **options: Any) -> TestClient:
    client = options.pop("client", AWAY)
    app = create_app(index, encoder, hosts=None, cache=tmp_path / "cache", **options)
    return TestClient(app, client=client, follow_redirects=False)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_bucket_empties_and_fills() -> None:
    now = 100.0
    limit = RateLimit(2.0, 3, clock=lambda: now)
    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert limit.take("b") == 0
    assert limit.wait("a") == 0.5
    now += 0.25
    assert limit.wait("a") == 0.25
    now += 0.25
    assert limit.wait("a") == 0
    assert limit.take("a") == 0
    assert limit.take("a") == 0.5
    now += 1e6
    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_a_bucket_of_nobody_is_forgotten() -> None:
    limit = RateLimit(1.0, 1, clock=lambda: 0.0)
    for number in range(CLIENTS + 5):
        limit.take(str(number))
    assert len(limit._buckets) == CLIENTS
    assert limit.take("0") == 0
    assert limit.take(str(CLIENTS)) == 1


def test_who_a_client_is() -> None:
    assert client_name("203.0.113.7") == client_name("::ffff:203.0.113.7")
    assert client_name("2001:db8:1:2::1") == client_name("2001:db8:1:2:ffff::9")
    assert client_name("2001:db8:1:2::1") != client_name("2001:db8:1:3::1")
    assert client_name("testclient") == "testclient"
    local = ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1")
    assert all(is_loopback(address) for address in local)
    assert not any(is_loopback(address) for address in ("203.0.113.7", "10.0.0.1", "::2", "x", ""))


def test_too_many_requests(index: ImageIndex, encoder: ColourEncoder, tmp_path: Path) -> None:
    limits = Limits(requests_per_second=0.01, requests_burst=5)
    with serve(index, encoder, tmp_path, limits=limits) as client:
        answers = [client.get("/api/photos") for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 100
    assert "too many requests; try again in" in answers[-1].json()["error"]
    assert all(answers[-1].headers[name] == value for name, value in HEADERS.items())
    with serve(index, encoder, tmp_path, limits=limits, client=("127.0.0.1", 1)) as client:
        assert {client.get("/api/photos").status_code for _ in range(20)} == {200}


def test_tokens_cannot_be_guessed_at_speed(
    index: ImageIndex, encoder: ColourEncoder, tmp_path: Path
) -> None:
    """On this machine as well, in each place that takes a token, and the right one waits too."""
    limits = Limits(guesses_per_second=1e-6, guesses_burst=6)
    for client in (AWAY, ("127.0.0.1", 1)):
        with serve(index, encoder, tmp_path, token=TOKEN, limits=limits, client=client) as asked:
            for _ in range(20):  # nobody guesses who gives no token
                assert asked.get("/api/photos").status_code == 401
            assert asked.get("/api/photos", headers=bearer(TOKEN)).status_code == 200
            assert asked.get("/?token=guess").status_code == 200
            assert asked.get("/api/photos", headers=bearer("other")).status_code == 401
            for number in range(4):
                cookie = {"Cookie": f"{COOKIE}_80={number}"}
                assert asked.get("/api/photos", headers=cookie).status_code == 401
            refused = [
                asked.get("/api/photos", headers=bearer("guess")),
                asked.get("/api/photos", headers=bearer(TOKEN)),
                asked.get(f"/?token={TOKEN}"),
            ]
            for answer in refused:
                assert answer.status_code == 429
                assert "too many wrong tokens" in answer.json()["error"]
                assert "set-cookie" not in answer.headers
            assert asked.get("/healthz").status_code == 200


def test_the_cookie_is_secure_behind_https(
    index: ImageIndex, encoder: ColourEncoder, tmp_path: Path
) -> None:
    for scheme, secure in (("http", False), ("https", True)):
        app = create_app(index, encoder, token=TOKEN, hosts=None, cache=tmp_path / "cache")
        with TestClient(
            app, base_url=f"{scheme}://photos.example", follow_redirects=False
        ) as client:
            cookie = client.get(f"/?token={TOKEN}").headers["set-cookie"]
        assert ("; Secure" in cookie) is secure
        assert "; HttpOnly; SameSite=Strict; Path=/" in cookie


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "9" * 19, "9" * 5_000, "20000001", "1, 2"])
def test_lengths_that_are_refused_unread(client: TestClient, length: str) -> None:
    answer = client.post("/api/search", content=b"x", headers={"Content-Length": length})
    assert (answer.status_code, set(answer.json())) == (413, {"error"})


def ask(app: Any, messages: list[dict[str, Any]], wait: float = 0.0) -> tuple[int, dict[str, Any]]:
    """A POST whose body arrives as `messages`, the last of which may never come."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        await asyncio.sleep(wait)
        raise AssertionError("nobody waited so long")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/api/search",
        "raw_path": b"/api/search",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", b"multipart/form-data; boundary=x")],
        "client": AWAY,
        "server": ("127.0.0.1", 80),
    }
    asyncio.run(app(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body)


def test_a_body_that_never_ends(index: ImageIndex, encoder: ColourEncoder, tmp_path: Path) -> None:
    limits = Limits(body_seconds=0.2)
    app = create_app(index, encoder, hosts=None, cache=tmp_path / "cache", limits=limits)
    start = time.monotonic()
    status, answer = ask(app, [{"type": "http.request", "body": b"--x", "more_body": True}], 60)
    assert (status, set(answer)) == (408, {"error"})
    assert "takes too long" in answer["error"]
    assert time.monotonic() - start < 30


class SlowEncoder(ColourEncoder):
    """Waits in one place until it is let go."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place
        self.let_go = threading.Event()
        self.worker_preprocess = None  # type: ignore[assignment] # as of a model that has none

    def encode_text(self, captions: Any, batch_size: int = 256) -> np.ndarray:
        if self.place == "text":
            self.let_go.wait(30)
        return super().encode_text(captions)

    def preprocess(self, image: Any) -> np.ndarray:
        if self.place == "picture":
            self.let_go.wait(30)
        return Squash(16, 16)(image)


@pytest.mark.parametrize("place", ["text", "picture"])
def test_a_model_that_does_not_answer(index: ImageIndex, tmp_path: Path, place: str) -> None:
    encoder = SlowEncoder(place)
    picture = paint(tmp_path / "query.png", "red").read_bytes()
    with serve(index, encoder, tmp_path, limits=Limits(seconds=0.2)) as client:
        try:
            answer = client.post("/api/search", files={"photo": picture}, data={"q": "red"})
            assert answer.status_code == 503
            assert "busy" in answer.json()["error"]
            assert client.get("/api/photos").status_code == 200
        finally:
            encoder.let_go.set()


def test_a_query_of_many_phrases(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = " ".join(f'"{number}"' for number in range(MAX_TERMS))
    assert client.get("/api/search", params={"q": fits}).status_code == 200
    answer = client.get("/api/search", params={"q": f'{fits} -"more"'})
    assert (answer.status_code, answer.json()["error"][:24]) == (400, "the query has 33 phrases")
    monkeypatch.setattr(encoding, "MAX_WAITING", 0)
    assert client.get("/api/search", params={"q": "green"}).status_code == 503


def test_websockets_are_refused(client: TestClient) -> None:
    for path in ("/", "/api/search", "/nowhere"):
        with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect(path):
            pass
        assert closed.value.code == 1008


@pytest.mark.parametrize(
    "method", ["TRACE", "OPTIONS", "PUT", "DELETE", "PATCH", "CONNECT", "X" * 99]
)
@pytest.mark.parametrize("path", ["/", "/api/photos", "/static/app.js", "/healthz"])
def test_other_methods(client: TestClient, method: str, path: str) -> None:
    secret = {"X-Secret": "echo me", "Origin": "http://evil.example"}
    answer = client.request(method, path, headers=secret)
    assert answer.status_code == (403 if method in WORKING_METHODS else 405)
    assert client.request(method, path).status_code == 405
    assert "echo me" not in answer.text
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert all(answer.headers[name] == value for name, value in HEADERS.items())


def test_invented_methods_do_not_fill_the_metrics(client: TestClient) -> None:
    for number in range(20):
        client.request(f"METHOD{number}", "/api/photos")
    text = client.get("/metrics").text
    assert "METHOD" not in text
    assert 'method="other"' in text


PAYLOADS = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "%0d%0aSet-Cookie: a=b")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_comes_back_as_html(client: TestClient, payload: str) -> None:
    for path, params in (
        ("/api/search", {"q": payload}),
        ("/api/search", {payload: "x"}),
        ("/api/photos", {"limit": payload}),
        (f"/api/photos/{payload}", {}),
        (f"/{payload}", {}),
        ("/", {"q": payload}),
        ("/", {"token": payload}),
    ):
        answer = client.get(path, params=params)
        assert "set-cookie" not in answer.headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        if answer.headers["content-type"].startswith("text/html"):
            assert path == "/"
            assert payload not in answer.text
        else:
            assert answer.headers["content-type"] == "application/json"


def test_folders_are_not_listed(client: TestClient) -> None:
    for path in ("/static", "/static/", "/static//", "/api", "/api/", "/static/%2e%2e/"):
        assert client.get(path).status_code in (404, 405)


def test_links_are_followed_inside_of_the_folder_alone(
    client: TestClient, tmp_path: Path, photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    paint(tmp_path / "private.png", "red", (50, 50))
    (photos / "out.png").symlink_to(tmp_path / "private.png")
    paint(photos / ".kept" / "red.png", "red", (40, 40))  # in the folder, and not found itself
    (photos / "in.png").symlink_to(photos / ".kept" / "red.png")
    index.update(photos, encoder)
    for name, status in (("in.png", 200), ("out.png", 404)):
        for part in ("file", "thumbnail"):
            answer = client.get(f"/api/photos/{photo_id(str(photos / name))}/{part}")
            assert answer.status_code == status, (name, part)
    assert "link out of the indexed folder" in answer.json()["error"]
    red = photos / "odd" / "red.png"
    red.unlink()  # replaced after it was indexed
    red.symlink_to("/etc/passwd")
    assert client.get(f"/api/photos/{photo_id(str(red))}/file").status_code == 404


def test_a_photo_folder_that_is_a_link_itself(
    tmp_path: Path, photos: Path, encoder: ColourEncoder
) -> None:
    index = ImageIndex.create_or_open(tmp_path / "linked", encoder, "model")
    index.update(photos, encoder)
    moved = photos.rename(tmp_path / "moved")
    photos.symlink_to(moved)
    with serve(index, encoder, tmp_path) as client:
        id = photo_id(str(photos / "odd" / "red.png"))
        assert client.get(f"/api/photos/{id}/file").status_code == 200


class FailingEncoder(ColourEncoder):
    def encode_text(self, captions: Any, batch_size: int = 256) -> np.ndarray:
        raise LookupError(f"cannot encode {captions}")


def test_a_defect_of_ours_is_told_without_its_details(
    index: ImageIndex, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(index, FailingEncoder(), tmp_path) as client:
        answer = client.get("/api/search", params={"q": "my secret words"})
    assert (answer.status_code, set(answer.json())) == (500, {"error"})
    assert all(answer.headers[name] == value for name, value in HEADERS.items())
    assert "LookupError" not in answer.text
    assert "GET /api/search failed with LookupError" in caplog.text
    assert "encode_text" in caplog.text
    assert "my secret words" not in caplog.text


@pytest.mark.parametrize(
    ("log", "lines", "words"), [("errors", 0, False), ("requests", 4, False), ("queries", 4, True)]
)
def test_the_log_holds_what_was_asked_for(
    index: ImageIndex,
    encoder: ColourEncoder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    log: str,
    lines: int,
    words: bool,
) -> None:
    caplog.set_level(logging.INFO, "user_itr.server")
    with serve(index, encoder, tmp_path, token=TOKEN, log=log) as client:
        client.get(f"/?token={TOKEN}")
        client.get("/api/search", params={"q": "red secret"})
        client.get("/api/photos", params={"token": TOKEN})
        client.get("/x%0d%0aforged")
    ours = [record.getMessage() for record in caplog.records if record.name == "user_itr.server"]
    assert len(ours) == lines
    text = "\n".join(ours)
    assert TOKEN not in text
    assert ("secret" in text) is words
    assert text.count("\n") == max(0, lines - 1)
    if log != "errors":
        assert ours[1].startswith("203.0.113.7 GET /api/search")
        assert " 200 " in ours[1]


def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By `hmac.compare_digest`, whatever is compared: it is asked for each token given."""
    import hmac

    compared: list[tuple[bytes, bytes]] = []
    real: Callable[[bytes, bytes], bool] = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b))
    tokens = Tokens(TOKEN, Limits())
    for given in ("", "s", TOKEN, TOKEN + "x", "é"):
        assert tokens.is_right(given) is (given == TOKEN)
    assert len(compared) == 5
