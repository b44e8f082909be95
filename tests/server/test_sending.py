"""What browsers keep of photos and ask for again, after RFC 9110."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from colour_encoder import paint
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from user_itr.search.found import photo_id
from user_itr.server.sending import disposition, failed_condition

TAG = '"abc"'
DAY = 1_700_000_000  # Tue, 14 Nov 2023 22:13:20 GMT
BEFORE, AT, AFTER = (f"Tue, 14 Nov 2023 22:13:{second} GMT" for second in (19, 20, 21))


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, None),
        ({"If-None-Match": TAG}, 304),
        ({"If-None-Match": f"W/{TAG}"}, 304),
        ({"If-None-Match": f'"x,y", {TAG}'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"other"'}, None),
        ({"If-None-Match": "abc"}, None),
        ({"If-None-Match": '"other"', "If-Modified-Since": AFTER}, None),
        ({"If-Modified-Since": AT}, 304),
        ({"If-Modified-Since": AFTER}, 304),
        ({"If-Modified-Since": BEFORE}, None),
        ({"If-Modified-Since": "yesterday"}, None),
        ({"If-Match": TAG}, None),
        ({"If-Match": "*"}, None),
        ({"If-Match": f"W/{TAG}"}, 412),
        ({"If-Match": '"other"', "If-Unmodified-Since": AFTER}, 412),
        ({"If-Unmodified-Since": AT}, None),
        ({"If-Unmodified-Since": BEFORE}, 412),
        ({"If-Unmodified-Since": AT, "If-None-Match": TAG}, 304),
    ],
)
def test_conditions(asked: dict[str, str], status: int | None) -> None:
    assert failed_condition(Headers(asked), TAG, DAY + 0.7) == status


def test_dates_of_what_has_none() -> None:
    assert failed_condition(Headers({"If-Modified-Since": AFTER}), TAG) is None


@pytest.fixture
def file(photos: Path) -> str:
    return f"/api/photos/{photo_id(str(photos / 'odd' / 'red.png'))}/file"


def test_a_file_that_the_browser_has(client: TestClient, file: str, photos: Path) -> None:
    os.utime(photos / "odd" / "red.png", (DAY, DAY))
    whole = client.get(file)
    assert whole.headers["last-modified"] == AT
    assert whole.headers["cache-control"] == "private, no-cache"
    for asked in (
        {"If-None-Match": whole.headers["etag"]},
        {"If-Modified-Since": whole.headers["last-modified"]},
    ):
        again = client.get(file, headers=asked)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == whole.headers["etag"]
        assert again.headers["cache-control"] == whole.headers["cache-control"]
        assert "content-length" not in again.headers
    assert client.get(file, headers={"If-Match": '"x"'}).status_code == 412


def test_a_file_that_was_replaced_is_sent_anew(client: TestClient, file: str, photos: Path) -> None:
    path = photos / "odd" / "red.png"
    before = client.get(file)
    status = path.stat()
    paint(photos / "odd" / "new.png", "blue", (120, 90)).replace(path)
    os.truncate(path, path.stat().st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = client.get(file, headers={"If-None-Match": before.headers["etag"]})
    assert (after.status_code, after.content) == (200, path.read_bytes())


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=10-", 10, None),
        ("bytes=-7", -7, None),
        ("bytes=0-999999", 0, None),
        ("bytes=-999999", 0, None),
    ],
)
def test_a_part(client: TestClient, file: str, asked: str, start: int, end: int | None) -> None:
    whole = client.get(file).content
    answer = client.get(file, headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == whole[start:end]
    first = start % len(whole)
    told = f"bytes {first}-{first + len(answer.content) - 1}/{len(whole)}"
    assert answer.headers["content-range"] == told
    assert answer.headers["content-length"] == str(len(answer.content))


@pytest.mark.parametrize(
    "asked",
    ["bytes=9-5", "bytes=a-b", "bytes=-", "items=0-1", "bytes=0-1,5-6", "bytes=" + "9" * 50],
)
def test_parts_that_are_none_are_the_whole(client: TestClient, file: str, asked: str) -> None:
    answer = client.get(file, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, client.get(file).content)


@pytest.mark.parametrize("asked", ["bytes=999999-", "bytes=-0", "bytes=999999-9999999"])
def test_parts_that_are_not_there(client: TestClient, file: str, asked: str) -> None:
    answer = client.get(file, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (416, b"")
    size = len(client.get(file).content)
    assert answer.headers["content-range"] == f"bytes */{size}"


def test_a_part_of_what_the_browser_has(client: TestClient, file: str) -> None:
    tag = client.get(file).headers["etag"]
    for condition, status in ((tag, 206), ('"other"', 200), (f"W/{tag}", 200)):
        asked = {"Range": "bytes=1-3", "If-Range": condition}
        assert client.get(file, headers=asked).status_code == status


def test_head_tells_what_get_would_send(client: TestClient, file: str) -> None:
    for path in ("/", "/healthz", "/api/photos", "/static/app.js", file, f"{file[:-4]}thumbnail"):
        whole, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (whole.status_code, b""), path
        for name in ("content-length", "content-type", "etag", "cache-control"):
            if path != "/api/photos" or name != "content-length":  # tells how long it took
                assert head.headers.get(name) == whole.headers.get(name), (path, name)
    assert client.head("/api/photos/0000000000000000/file").status_code == 404
    assert 'method="HEAD"' in client.get("/metrics").text


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1))
def test_the_name_of_a_saved_file_is_read_back(name):
    http = pytest.importorskip("werkzeug.http", reason="comes with flask")
    value = disposition("attachment", name)
    value.encode("ascii")
    assert value.isprintable()
    assert http.parse_options_header(value) == ("attachment", {"filename": name})


def test_old_programs_get_a_name_of_ascii():
    assert disposition("inline", "my photo.jpg") == 'inline; filename="my photo.jpg"'
    assert disposition("attachment", "café 100%.jpg") == (
        "attachment; filename=\"caf_ 100_.jpg\"; filename*=UTF-8''caf%C3%A9%20100%25.jpg"
    )
