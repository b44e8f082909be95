"""Bad calls of the REST interface and bad uploads: a status, a sentence, and nothing kept."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from inputs import DEEP, DIGITS, encoded, png, png_header
from outcomes import snapshot
from PIL import Image

pytest.importorskip("fastapi", reason="the extra `app` is not installed")

sys.path.append(str(Path(__file__).parents[1] / "search"))
from colour_encoder import PALETTE, ColourEncoder, paint
from starlette.testclient import TestClient

from user_itr.search.found import photo_id
from user_itr.search.index import ImageIndex
from user_itr.server.app import create_app
from user_itr.server.limits import Limits


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("server")
    for colour in PALETTE:
        paint(home / "photos" / f"{colour}.png", colour)
    paint(home / "photos" / "🐕\n\u202ered.png", "red")
    index = ImageIndex.create_or_open(home / "index", ColourEncoder(), "model")
    index.update(home / "photos", ColourEncoder())
    return home


@pytest.fixture(scope="module")
def client(home: Path) -> TestClient:
    encoder = ColourEncoder()
    index = ImageIndex.open(home / "index")
    limits = Limits(upload_bytes=300_000, upload_pixels=1_000_000)
    app = create_app(index, encoder, hosts=None, limits=limits, cache=home / "cache")
    return TestClient(app, base_url="http://127.0.0.1")


@dataclass(frozen=True)
class Call:
    """A request, its status, and what the sentence must have."""

    name: str
    path: str
    status: int
    says: str = ""
    method: str = "GET"
    options: dict[str, Any] = field(default_factory=dict)


def get(name: str, path: str, status: int, says: str = "", **params: str) -> Call:
    return Call(name, path, status, says, options={"params": params} if params else {})


def page(name: str, content: str | bytes, status: int, says: str = "", **options: Any) -> Call:
    options.setdefault("headers", {"content-type": "application/json"})
    return Call(name, "/api/search/page", status, says, "POST", {"content": content, **options})


def upload(
    name: str, content: bytes, status: int, says: str = "", file: str = "a.jpg", **data: str
) -> Call:
    options = {"files": {"photo": (file, content, "image/jpeg")}, "data": data}
    return Call(name, "/api/search", status, says, "POST", options)


def form(
    name: str, content: bytes, status: int, kind: str = "multipart/form-data; boundary=x"
) -> Call:
    options = {"content": content, "headers": {"content-type": kind}}
    return Call(name, "/api/search", status, "", "POST", options)


def part(field: str, value: bytes) -> bytes:
    head = f'--x\r\nContent-Disposition: form-data; name="{field}"'.encode()
    return head + b"\r\n\r\n" + value + b"\r\n"


S = "/api/search"
CALLS = [
    get("emoji", S, 200, q="🐕 red"),
    get("right to left", S, 200, q="כלב \u202ered"),
    get("a zero byte", S, 200, q="red\0"),
    get("line ends", S, 200, q="red\r\ngreen"),
    get("a quote", S, 200, q="red'; DROP TABLE photos; --"),
    get("2,000 letters", S, 200, q="a" * 2_000),
    get("2,001 letters", S, 422, "q: ", q="a" * 2_001),
    get("bytes that are no UTF-8", S + "?q=%ff%fe", 200),
    get("nothing", S, 400, "nothing to search for"),
    get("blanks", S, 400, "nothing to search for", q=" \t "),
    get("only what is not wanted", S, 400, "says only what is not wanted", q='-"red"'),
    get("an unknown field", S, 422, "colour: ", q="red", colour="1"),
    get("a field of HTML", S, 422, "<b>: ", **{"<b>": "1", "q": "red"}),
    get("a limit of zero", S, 422, "limit: ", q="red", limit="0"),
    get("a negative limit", S, 422, "limit: ", q="red", limit="-1"),
    get("a limit of 5,000 digits", S, 422, "limit: ", q="red", limit=DIGITS),
    get("a limit of NaN", S, 422, "limit: ", q="red", limit="nan"),
    get("a limit of 10^400", S, 422, "limit: ", q="red", limit="1e400"),
    get("an offset beyond", S, 422, "offset: ", q="red", offset="10001"),
    get("the last offset", S, 200, q="red", offset="10000"),
    get("no such day", S, 422, "after: ", q="red", after="2021-02-30"),
    get("the first day", S, 200, q="red", after="0001-01-01"),
    get("the last day", S, 200, q="red", before="9999-12-31"),
    get("days in the wrong order", S, 400, "swap the two", q="red", after="2022-01-01", before="2021-01-01"),
    get("all days", "/api/photos", 200, after="0001-01-01", before="9999-12-31"),
    get("the first day of all", "/api/photos", 200, before="0001-01-01"),
    get("a width of 2^62", S, 422, "min_width: ", q="red", min_width=str(2**62)),
    get("a width of 2^62 - 1", S, 200, q="red", min_width=str(2**62 - 1)),
    get("bytes in the wrong order", S, 400, "swap the two", q="red", min_bytes="9", max_bytes="3"),
    get("a folder with a quote", S, 200, q="red", folder="/photos' OR '1'='1"),
    get("a folder with a zero byte", S, 200, q="red", folder="/a\0b"),
    get("a folder that leads out", S, 200, q="red", folder="../../../etc"),
    get("a folder of nobody", S, 400, "is no path", q="red", folder="~no-such-user"),
    get("a folder of 5,000 letters", S, 422, "folder: ", q="red", folder="a" * 5_000),
    get("a photo of text", S, 422, "similar: ", similar="red"),
    get("a photo that is not there", S, 404, "no such photo", similar="0" * 16),
    get("an id that leads out", "/api/photos/..%2f..%2fetc%2fpasswd", 404),
    get("an id with a quote", "/api/photos/' OR 'a'='a", 422, "id: "),
    get("a size that is none", f"/api/photos/{'0' * 16}/thumbnail", 422, "size: ", size="999999"),
    get("nowhere", "/no/such/route", 404, "Not Found"),
    get("a static folder", "/static/", 404),
    get("a static way out", "/static/..%2f..%2fcli%2fserve.py", 404),
    get("a static zero byte", "/static/app.js%00", 404),
    get("a static long name", "/static/" + "a" * 5_000, 404),
    Call("a method that is none", "/api/photos", 405, "Method Not Allowed", "BREW"),
    page("no JSON", "a dog", 422),
    page("empty", "", 422),
    page("a list", "[]", 422),
    page("deep nesting", "[" * DEEP, 400, "parsing the body"),
    page("a long number", f'{{"query": {DIGITS}}}', 400, "parsing the body"),
    page("latin-1", '{"query": "é"}'.encode("latin-1"), 400, "parsing the body"),
    page("UTF-16", '{"query": "AAAA"}'.encode("utf-16"), 400),
    page("a lone surrogate", '{"query": "\\ud800"}', 422),
    page("a surrogate's folder", '{"query": "AAAA", "folder": "\\ud800"}', 422),
    page("a number", '{"query": 5}', 422, "query: "),
    page("another width", '{"query": "AAAA"}', 400, "search by the picture again"),
    page("NaN", '{"query": "AH4AfgB-AH4AfgB-AH4Afg=="}', 400, "search by the picture again"),
    page("no base64", '{"query": "%%%"}', 400, "search by the picture again"),
    page("a limit of NaN in JSON", '{"query": "AAAA", "limit": NaN}', 422, "limit: "),
    page("a form", "query=AAAA", 422, headers={"content-type": "application/x-www-form-urlencoded"}),
    page("too large", json.dumps({"query": "A" * 400_000}), 413, "over the limit of 0.3 MB"),
    upload("in order", png(), 200),
    upload("one pixel", png((1, 1)), 200),
    upload("CMYK", encoded(Image.new("CMYK", (8, 6)), "JPEG"), 200),
    upload("16 bits", encoded(Image.new("I;16", (8, 6)), "PNG"), 200),
    upload("a palette", encoded(Image.new("P", (8, 6)), "PNG"), 200),
    upload("a name that leads out", png(), 200, file="../../etc/passwd"),
    upload("a name of 4,000 letters", png(), 200, file="a" * 4_000 + ".png"),
    upload("an empty file", b"", 422, "is no picture"),
    upload("text", b"<script>alert(1)</script>", 422, "is no picture", file="<script>.html"),
    upload("a drawing", b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, "is no picture"),
    upload("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\n", 422, "is no picture"),
    upload("30,000 x 30,000", png_header(30_000, 30_000), 422, "is over the limit"),
    upload("above our own limit", png_header(1_001, 1_000), 422, "is over the limit of 1,000,000"),
    upload("cut short", png((64, 64))[:60], 422, "the uploaded picture"),
    upload("too large", bytes(300_001), 413, "over the limit of 0.3 MB"),
    upload("bad words", png(), 400, "says only what is not wanted", q='-"red"'),
    upload("a bad limit", png(), 422, "limit: ", limit="many"),
    upload("long words", png(), 422, "q: ", q="a" * 2_001),
    form("no boundary", b"--x--", 400, "multipart/form-data"),
    form("an open part", b"--x\r\nContent-Disposition: form-data; name=", 422),
    form("a part without a name", b"--x\r\n\r\nred\r\n--x--\r\n", 400),
    form("text for a photo", part("photo", b"red") + b"--x--\r\n", 422),
    form("5,000 parts", part("q", b"red") * 5_000 + b"--x--\r\n", 400),
    form("a charset that makes surrogates", part("_charset_", b"utf-7") + part("q", b"+2AA-") + b"--x--\r\n", 422, "multipart/form-data; boundary=x; charset=utf-7"),
    form("nothing", b"", 422, "application/octet-stream"),
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS, ids=[call.name for call in CALLS])
def test_outcome(client: TestClient, home: Path, call: Call) -> None:
    before = snapshot(home)
    answer = client.request(call.method, call.path, **call.options)
    assert answer.status_code == call.status, answer.text[:500]
    assert answer.headers["content-type"] == "application/json"
    if call.status != 200:
        assert set(answer.json()) == {"error"}
        assert call.says in answer.json()["error"]
        assert "Traceback" not in answer.text
    assert snapshot(home) == before


def test_odd_names_are_sent_as_they_are(client: TestClient, home: Path) -> None:
    path = home / "photos" / "🐕\n\u202ered.png"
    id = photo_id(str(path))
    assert client.get(f"/api/photos/{id}").json()["name"] == path.name
    answer = client.get(f"/api/photos/{id}/file")
    assert answer.content == path.read_bytes()
    assert answer.headers["content-disposition"].isprintable()
    assert "set-cookie" not in answer.headers
