from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from colour_encoder import PALETTE, paint
from PIL import Image
from starlette.testclient import TestClient

from user_itr.search.found import photo_id
from user_itr.server.app import create_app
from user_itr.server.decoding import Decoders
from user_itr.server.limits import Limits
from user_itr.server.pictures import PRUNE_EVERY, Pictures, open_photo


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.fixture
def red(photos: Path) -> str:
    return photo_id(str(photos / "odd" / "red.png"))


def test_facts_and_captions(client, photos, red):
    facts = client.get(f"/api/photos/{red}").json()
    path = photos / "odd" / "red.png"
    assert (facts["name"], facts["folder"], facts["path"]) == (
        "red.png",
        str(path.parent),
        str(path),
    )
    assert (facts["width"], facts["height"], facts["bytes"]) == (120, 90, path.stat().st_size)
    assert facts["taken"] is None
    assert facts["captions"][0]["text"] == "something red"
    matches = [caption["match"]["percent"] for caption in facts["captions"]]
    assert matches == sorted(matches, reverse=True)


@pytest.mark.parametrize("size", [160, 320, 640])
def test_thumbnails(tmp_path, client, photos, index, encoder, size):
    big = paint(photos / "odd" / "big.jpg", "orange", (1500, 1000))
    index.update(photos, encoder)
    answer = client.get(f"/api/photos/{photo_id(str(big))}/thumbnail?size={size}")
    assert answer.headers["content-type"] == "image/jpeg"
    assert opened(answer.content).size == (1.5 * size, size)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    again = client.get(f"/api/photos/{photo_id(str(big))}/thumbnail?size={size}")
    assert again.content == answer.content
    known = client.get(
        f"/api/photos/{photo_id(str(big))}/thumbnail?size={size}",
        headers={"If-None-Match": answer.headers["etag"]},
    )
    assert (known.status_code, known.content) == (304, b"")


def test_a_changed_photo_has_another_thumbnail(client, photos, index, encoder, red):
    before = client.get(f"/api/photos/{red}/thumbnail")
    paint(photos / "odd" / "red.png", "blue", (300, 90))
    index.update(photos, encoder)
    after = client.get(f"/api/photos/{red}/thumbnail")
    assert before.headers["etag"] != after.headers["etag"]
    assert opened(after.content).size == (300, 90)


def test_the_file_itself(client, photos, red):
    answer = client.get(f"/api/photos/{red}/file")
    assert answer.content == (photos / "odd" / "red.png").read_bytes()
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == 'inline; filename="red.png"'


def test_formats_that_browsers_do_not_show(client, photos, index, encoder):
    tif = paint(photos / "odd" / "scan.tif", "purple", (200, 100))
    heic = None
    try:
        import pillow_heif
    except ImportError:
        pass
    else:
        pillow_heif.register_heif_opener()
        heic = paint(photos / "odd" / "phone.heic", "purple", (200, 100), format="HEIF")
    index.update(photos, encoder)
    for path in filter(None, (tif, heic)):
        answer = client.get(f"/api/photos/{photo_id(str(path))}/file")
        assert answer.headers["content-type"] == "image/jpeg"
        assert opened(answer.content).size == (200, 100)


def test_content_decides_the_type_and_not_the_name(client, photos, index, encoder):
    liar = photos / "odd" / "page.jpg"
    paint(photos / "odd" / "page.gif", "black").rename(liar)
    index.update(photos, encoder)
    answer = client.get(f"/api/photos/{photo_id(str(liar))}/file")
    assert answer.headers["content-type"] == "image/gif"


def test_files_that_are_gone_or_are_no_images_any_more(client, photos, red):
    path = photos / "odd" / "red.png"
    path.write_text("<script>alert(1)</script>")
    for part in ("file", "thumbnail"):
        answer = client.get(f"/api/photos/{red}/{part}")
        assert (answer.status_code, set(answer.json())) == (422, {"error"})
    path.unlink()
    for part in ("file", "thumbnail"):
        answer = client.get(f"/api/photos/{red}/{part}")
        assert (answer.status_code, set(answer.json())) == (404, {"error"})
        assert "the file is gone" in answer.json()["error"]


@pytest.mark.parametrize(
    "id",
    [
        "0" * 15,
        "0" * 17,
        "G" * 16,
        "..%2F..%2Fetc%2Fpasswd",
        "%2Fetc%2Fpasswd",
        "' OR 'a'='a",
        "0000000000000000%00",
        "0000000000000000%0A",
    ],
)
def test_only_ids_of_the_index(client, id):
    for part in ("", "/file", "/thumbnail"):
        assert client.get(f"/api/photos/{id}{part}").status_code in (404, 422)


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/..%2Fapp.py", "/static/%2e%2e/app.py", "/static/"]
)
def test_static_files_end_at_their_folder(client, path):
    assert client.get(path).status_code == 404


def test_bad_sizes(client, red):
    assert client.get(f"/api/photos/{red}/thumbnail?size=100000").status_code == 422


def test_the_cache_is_bounded(tmp_path, index):
    facts = index.newest(8)
    decoders = Decoders(1, 60.0, 4 << 30)
    photo = open_photo(facts[0])
    size = len(Pictures(tmp_path / "one", 10**9, decoders).jpeg(photo, 160).content)
    pictures = Pictures(tmp_path / "cache", 20 * size, decoders)
    for height in range(100, 100 + PRUNE_EVERY):
        pictures.jpeg(photo, height)
    photo.file.close()
    decoders.close()
    newest = max((tmp_path / "cache").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    os.utime(newest, (4e9, 4e9))
    pictures.prune()
    total = sum(file.stat().st_size for file in (tmp_path / "cache").iterdir())
    assert 0 < total <= 20 * size
    assert newest.exists()


def test_without_a_cache_folder_it_is_only_slower(tmp_path, index, encoder, red):
    (tmp_path / "cache").write_text("a file")
    app = create_app(index, encoder, limits=Limits(), cache=tmp_path / "cache")
    with TestClient(app, base_url="http://localhost") as client:
        answer = client.get(f"/api/photos/{red}/thumbnail")
        assert opened(answer.content).size == (120, 90)


def test_the_index_as_a_whole(client, index, photos):
    assert client.get("/api/index").json() == {
        "photos": len(PALETTE),
        "folders": [{"path": str(photos), "photos": len(PALETTE)}],
        "model": index.manifest.description,
        "sentences": len(PALETTE),
        "version": __import__("user_itr").__version__,
    }


def test_the_photo_is_saved_as_it_is_under_its_name(client, photos, index, encoder):
    tif = paint(photos / "odd" / "scan.tif", "purple", (200, 100))
    index.update(photos, encoder)
    answer = client.get(f"/api/photos/{photo_id(str(tif))}/original")
    assert answer.content == tif.read_bytes()
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == 'attachment; filename="scan.tif"'
    tif.write_text("no image any more")
    assert client.get(f"/api/photos/{photo_id(str(tif))}/original").status_code == 422
