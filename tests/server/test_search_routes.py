from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import PALETTE, ColourEncoder, paint
from PIL import ExifTags, Image
from starlette.testclient import TestClient

from user_itr.search.found import photo_id
from user_itr.search.index import ImageIndex
from user_itr.search.query import search


def names(answer: dict) -> list[str]:
    return [Path(photo["name"]).stem for photo in answer["photos"]]


def picture(colour: str, size: tuple[int, int] = (64, 48), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, PALETTE[colour]).save(buffer, kind)
    return buffer.getvalue()


def upload(client: TestClient, content: bytes, name: str = "a.png", **fields: object):
    return client.post("/api/search", files={"photo": (name, content)}, data=fields)


def test_words_find_what_the_library_finds(client, index, encoder):
    answer = client.get("/api/search", params={"q": "red", "limit": 5}).json()
    hits = search(index, encoder, text="red", k=5)
    assert [photo["id"] for photo in answer["photos"]] == [hit.id for hit in hits]
    assert [photo["score"] for photo in answer["photos"]] == [hit.score for hit in hits]
    assert [photo["match"] for photo in answer["photos"]] == [hit.match._asdict() for hit in hits]
    assert answer["photos"][0]["match"]["word"] == "good"
    first = answer["photos"][0]
    assert (first["name"], first["width"], first["height"]) == ("red.png", 120, 90)
    assert (answer["total_in_index"], answer["more"], answer["query"]) == (8, True, None)


def test_an_answer_names_words_that_the_model_cannot_know(client):
    said = client.get("/api/search", params={"q": "a spaceship"}).json()
    assert said["remarks"] == ["The model has never or hardly seen: spaceship."]
    assert {photo["match"]["word"] for photo in said["photos"]} == {"weak"}
    assert client.get("/api/search", params={"q": "red"}).json()["remarks"] == []


def test_an_answer_says_whether_its_first_is_a_close_match(client):
    said = [
        client.get("/api/search", params={"q": words}).json()["close"]
        for words in ("red", "a word that is no colour", '"red" - "blue"')
    ]
    assert said == [True, False, None]
    assert client.get("/api/photos").json()["close"] is None


def test_pages_make_one_long_list(client):
    whole = client.get("/api/search", params={"q": "red"}).json()
    assert len(whole["photos"]) == 8
    assert whole["more"] is False
    parts = [
        client.get("/api/search", params={"q": "red", "offset": n, "limit": 3}).json()
        for n in (0, 3, 6)
    ]
    assert [photo for part in parts for photo in part["photos"]] == whole["photos"]
    assert [part["more"] for part in parts] == [True, True, False]


def test_terms_take_away(client):
    answer = client.get("/api/search", params={"q": '"red" + "blue" - "red"'}).json()
    assert names(answer)[0] == "blue"
    assert {photo["match"] for photo in answer["photos"]} == {None}


def test_similar_leaves_the_photo_itself_out_on_every_page(client, photos):
    red = photo_id(str(photos / "odd" / "red.png"))
    whole = client.get("/api/search", params={"similar": red}).json()
    assert len(whole["photos"]) == 7
    assert "red" not in names(whole)
    parts = [
        client.get("/api/search", params={"similar": red, "offset": n, "limit": 3}).json()
        for n in (0, 3, 6)
    ]
    assert [photo for part in parts for photo in part["photos"]] == whole["photos"]
    assert [part["more"] for part in parts] == [True, True, False]
    both = client.get("/api/search", params={"similar": red, "q": "blue"}).json()
    assert names(both)[0] == "blue"


def test_an_upload_and_its_further_pages(client, encoder):
    first = upload(client, picture("green"), limit=3).json()
    assert names(first)[0] == "green"
    assert first["more"] is True
    pages = [first] + [
        client.post(
            "/api/search/page", json={"query": first["query"], "offset": n, "limit": 3}
        ).json()
        for n in (3, 6)
    ]
    found = [name for page in pages for name in names(page)]
    assert sorted(found) == sorted(PALETTE)
    scores = [photo["score"] for page in pages for photo in page["photos"]]
    np.testing.assert_allclose(scores, sorted(scores, reverse=True), atol=1e-3)
    both = upload(client, picture("green"), q="red").json()
    assert set(names(both)[:2]) == {"green", "red"}


def test_limits_on_what_may_be_found(client, photos):
    even = {"folder": str(photos / "even")}
    answer = client.get("/api/search", params={"q": "red", **even, "after": ""}).json()
    assert len(answer["photos"]) == 4
    assert names(upload(client, picture("red"), **even).json()) != []
    assert {photo["folder"] for photo in answer["photos"]} == {str(photos / "even")}
    wide = client.get("/api/photos", params={"min_width": 170}).json()
    assert len(wide["photos"]) == 3
    assert (
        client.get("/api/search", params={"q": "red", "before": "2001-01-01"}).json()["photos"]
        == []
    )


def test_newest_first(client, index):
    answer = client.get("/api/photos", params={"limit": 5}).json()
    assert [photo["id"] for photo in answer["photos"]] == [one.id for one in index.newest(5)]
    assert {photo["score"] for photo in answer["photos"]} == {None}
    assert answer["more"] is True


def test_the_timeline_is_the_list_as_a_whole(client, photos, index, encoder):
    exif = Image.Exif()
    days = {"blue": "2021:07:14", "red": "2021:07:15", "white": "2021:07:14", "black": "2999:01:01"}
    for colour, day in days.items():
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = f"{day} 12:00:00"
        paint(photos / f"dated-{colour}.jpg", colour, (100, 50), exif=exif)
    index.update(photos, encoder)
    whole = client.get("/api/timeline").json()
    assert whole["total_in_index"] == 12
    assert whole["days"] == [
        {"day": "2021-07-15", "photos": 1},
        {"day": "2021-07-14", "photos": 2},
    ]
    assert whole["undated"] == 9
    pages = [client.get("/api/photos", params={"offset": n, "limit": 5}).json() for n in (0, 5, 10)]
    assert [page["more"] for page in pages] == [True, True, False]
    assert {page["state"] for page in pages} == {whole["state"]}
    listed = [photo for page in pages for photo in page["photos"]]
    assert names({"photos": listed[:1]}) == ["dated-red"]
    assert set(names({"photos": listed[1:3]})) == {"dated-blue", "dated-white"}
    assert "dated-black" in names({"photos": listed[3:]}), "no photo is of the year 2999"
    ratios = np.frombuffer(base64.b64decode(whole["ratios"]), "<u2")
    shapes = [photo["width"] / photo["height"] for photo in listed]
    np.testing.assert_allclose(ratios, np.rint(np.multiply(1000, shapes)))
    few = client.get("/api/timeline", params={"after": "2021-07-15", "before": "2021-07-15"}).json()
    assert (few["days"], few["undated"]) == (whole["days"][:1], 0)
    paint(photos / "later.png", "red")
    index.update(photos, encoder)
    assert client.get("/api/photos").json()["state"] != whole["state"]
    assert client.get("/api/photos", params={"offset": 10**6}).json()["photos"] == []


def test_what_is_indexed_later_is_found(client, photos, index, encoder):
    paint(photos / "odd" / "new.png", "red", (333, 222))
    index.update(photos, encoder)
    answer = client.get("/api/search", params={"q": "red", "min_width": 333}).json()
    assert names(answer) == ["new"]
    assert client.get("/api/index").json()["photos"] == 9


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/api/search", 400, "nothing to search for"),
        ("/api/search?q=%20", 400, "nothing to search for"),
        ("/api/search?q=-%22red%22", 400, "only what is not wanted"),
        ("/api/search?q=red&limit=0", 422, "^limit: "),
        ("/api/search?q=red&limit=201", 422, "^limit: "),
        ("/api/search?q=red&offset=10001", 422, "^offset: "),
        ("/api/search?q=red&after=soon", 422, "^after: "),
        ("/api/search?q=red&min_width=-1", 422, "^min_width: "),
        ("/api/search?q=red&colour=1", 422, "^colour: "),
        ("/api/search?q=" + "a" * 2001, 422, "^q: "),
        ("/api/search?q=red&after=2021-01-02&before=2021-01-01", 400, "swap the two"),
        ("/api/search?similar=nothing", 422, "^similar: "),
        ("/api/search?similar=" + "0" * 16, 404, "no such photo"),
        ("/api/photos?limit=x", 422, "^limit: "),
        ("/nowhere", 404, "Not Found"),
    ],
)
def test_mistakes_are_sentences(client, path, status, sentence):
    answer = client.get(path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert re.search(sentence, answer.json()["error"])


@pytest.mark.parametrize("query", ["AAAA", "é", "____", "/////w==", "A" * 22])
def test_queries_that_no_search_gave(client, query):
    answer = client.post("/api/search/page", json={"query": query})
    assert answer.status_code == 400
    assert "search by the picture again" in answer.json()["error"]


def test_uploads_that_are_refused(client):
    for content, status, sentence in (
        (b"no picture", 422, "is no picture that can be read"),
        (b"", 422, "is no picture that can be read"),
        (picture("red")[:60], 422, "the uploaded picture"),
        (picture("red", (1001, 1000)), 422, "1,001,000 pixels is over the limit"),
        (b"\0" * 300_001, 413, "over the limit of 0.3 MB"),
    ):
        answer = upload(client, content)
        assert (answer.status_code, set(answer.json())) == (status, {"error"})
        assert sentence in answer.json()["error"]
    assert client.post("/api/search", data={"q": "red"}).status_code == 422
    assert upload(client, picture("red"), limit="many").status_code == 422


def test_a_body_without_a_length_is_cut_off(client):
    def endless():
        for _ in range(100):
            yield b"\0" * 10_000

    kind = {"content-type": "multipart/form-data; boundary=x"}
    answer = client.post("/api/search", content=endless(), headers=kind)
    assert answer.status_code == 413


def test_many_ask_at_once(client, index: ImageIndex, encoder: ColourEncoder):
    from concurrent.futures import ThreadPoolExecutor

    asked = [f"{one} {other}" for one in PALETTE for other in PALETTE] * 2
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(lambda q: client.get("/api/search", params={"q": q, "limit": 2}), asked)
        )
    for query, answer in zip(asked, answers, strict=True):
        hits = search(index, encoder, text=query, k=2)
        assert [photo["id"] for photo in answer.json()["photos"]] == [hit.id for hit in hits]
